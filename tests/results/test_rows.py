"""metrics/results.csv, read back by another reader of CSV."""

import csv
from pathlib import Path

import pytest

from resnet.results import rows
from resnet.variant import Network
from tests.support.results import HELD_OUT, make_results, report, write_results

MODEL = make_results(seeds=2, accuracies=[91.5, 92.0], seconds=[15.0, 16.5])
SHORT = make_results(
    "ResNet32v1",
    seeds=1,
    network=Network(version=1, n=5),
    changes={"epochs": 12},
    holdout=HELD_OUT,
    best_on_test=None,
)


@pytest.fixture
def found(tmp_path: Path) -> list[dict[str, str]]:
    for each in (MODEL, SHORT):
        write_results(tmp_path, each)
    networks = {"model": MODEL.network, "ResNet32v1": SHORT.network}
    report(networks, tmp_path, lambda name, _results: name == "model")
    with (tmp_path / "results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_per_seed(found: list[dict[str, str]]) -> None:
    assert [(row["variant"], row["seed"]) for row in found] == [
        ("model", "0"),
        ("model", "1"),
        ("ResNet32v1", "0"),
    ]
    assert found[1] == {
        "variant": "model",
        "seed": "1",
        "data": "cifar10",
        "network": "ResNet20v1",
        "form": "original",
        "holdout": "no hold-out (last epoch)",
        "recipe": "original",
        "epochs": "200",
        "checkpoint_epoch": "200",
        "accuracy": "92.0",
        "nll": "0.32",
        "ece": "4.3",
        "loss": "0.43",
        "errors": "800",
        "images": "10000",
        "best_epoch_on_test": "150",
        "best_accuracy_on_test": "92.25",
        "seconds_per_epoch": "16.5",
        "total_seconds": "3052.0",
        "parameters": "274442",
        "precision": "float32",
        "device": "NVIDIA H100 80GB HBM3",
        "backend": "tensorflow",
        "keras": "3.15.1",
        "stale": "True",
    }


def test_a_value_that_is_not_known_is_an_empty_cell(found: list[dict[str, str]]) -> None:
    row = found[2]
    assert (row["best_epoch_on_test"], row["best_accuracy_on_test"]) == ("", "")
    assert (row["epochs"], row["stale"]) == ("12", "False")
    assert row["holdout"] == "best epoch on a held-out 0.1 of the training set"


def test_nothing_trained_gives_the_header_alone() -> None:
    frame = rows.frame({})
    assert frame.empty
    assert list(frame.columns) == list(rows.Row.model_fields)
