"""The data of the plots over all variants."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from resnet.results import plots
from resnet.results.metrics import Results
from resnet.results.store import Store
from resnet.variant import Network
from tests.support.checkout import ROOT
from tests.support.results import (
    make_device,
    make_results,
    make_run,
    report,
    results_of,
    write_results,
)

NETWORKS = {
    "model": Network(version=1, n=3),
    "ResNet32v1": Network(version=1, n=5),
    "ResNet56v2": Network(version=2, n=6),
}


def results(**changed: dict[str, Any]) -> dict[str, Results]:
    return {
        name: make_results(name, network=NETWORKS[name], **changes)
        for name, changes in changed.items()
    }


def history(*accuracies: float, rate: float = 1e-3, **columns: list[float]) -> pd.DataFrame:
    """A history with these accuracies in percent, an epoch each."""
    frame = pd.DataFrame(
        {"epoch": range(1, len(accuracies) + 1), "accuracy": accuracies, **columns}
    )
    return frame.assign(learning_rate=rate)


def test_curves_are_a_line_per_seed_of_one_variant() -> None:
    drawn = plots.curves(
        "model",
        results(model={"seeds": 2})["model"],
        [history(50, 80), history(60.12345, 90, rate=0.1)],
    )
    assert tuple(drawn.columns) == plots.CURVES
    assert drawn.to_numpy().tolist() == [
        ["ResNet20v1 (model)", 0, "training images, augmented", 1, 50.0, 1e-3],
        ["ResNet20v1 (model)", 0, "training images, augmented", 2, 80.0, 1e-3],
        ["ResNet20v1 (model)", 1, "training images, augmented", 1, 60.123, 0.1],
        ["ResNet20v1 (model)", 1, "training images, augmented", 2, 90.0, 0.1],
    ]


@pytest.mark.parametrize(
    ("columns", "images"),
    [
        ({}, []),
        ({"test_accuracy": [20, 50]}, ["test images"]),
        ({"val_accuracy": [30, 60]}, ["held-out images"]),
        (
            {"val_accuracy": [30, 60], "test_accuracy": [20, 50]},
            ["test images", "held-out images"],
        ),
    ],
)
def test_only_images_that_were_scored_have_a_curve(
    columns: dict[str, Any], images: list[str]
) -> None:
    found = results(model={"seeds": 1})["model"]
    drawn = plots.curves("model", found, [history(50, 80, **columns)])
    assert drawn["images"].unique().tolist() == ["training images, augmented", *images]
    assert plots.curves("model", found, []).empty


def test_variants_with_the_same_learning_rates_share_a_line() -> None:
    histories = {
        "model": [history(50, 80)] * 2,
        "ResNet32v1": [history(40, 70)],
        "ResNet56v2": [history(10, 20, rate=0.1)],
    }
    found = results(model={"seeds": 2}, ResNet32v1={"seeds": 1}, ResNet56v2={"seeds": 1})
    assert plots.rates(found, histories).to_numpy().tolist() == [
        ["ResNet20v1 (model), ResNet32v1", 1, 1e-3],
        ["ResNet20v1 (model), ResNet32v1", 2, 1e-3],
        ["ResNet56v2", 1, 0.1],
        ["ResNet56v2", 2, 0.1],
    ]


def test_seeds_with_different_learning_rates_have_a_line_each() -> None:
    histories = {"model": [history(50, 80), history(50, 80, rate=0.1), history(50, 80)]}
    drawn = plots.rates(results(model={}), histories)
    assert drawn["variants"].unique().tolist() == [
        "ResNet20v1 (model), seed 0 and 2",
        "ResNet20v1 (model), seed 1",
    ]
    assert not drawn.duplicated(["variants", "epoch"]).any()


@pytest.mark.parametrize(
    ("name", "network", "shown"),
    [
        ("model", Network(version=1, n=3), "ResNet20v1 (model)"),
        ("ResNet20v1-short", Network(version=1, n=3), "ResNet20v1-short"),
        ("ResNet164v2", Network(version=2, n=18, form="paper"), "ResNet164v2, paper's form"),
        ("model", Network(version=2, n=18, form="paper"), "ResNet164v2, paper's form (model)"),
    ],
)
def test_labels(name: str, network: Network, shown: str) -> None:
    assert plots.label(name, make_results(name, network=network)) == shown


def test_full_runs_are_beside_the_published_results_and_all_others_in_a_plot_of_their_own() -> None:
    found = results(
        model={}, ResNet32v1={"changes": {"epochs": 12}}, ResNet56v2={"source": "synthetic"}
    )
    drawn = plots.speed(found, Store(ROOT / "metrics").published())
    first = drawn.iloc[0].to_dict()
    assert isinstance(first.pop("label_at"), float)
    assert first == {
        "network": "ResNet20v1 (model)",
        "origin": "this benchmark, recipe original",
        "accuracy": 91.5,
        "low": 91.29,
        "high": 91.71,
        "seconds_per_epoch": 15.26,
        "device": "NVIDIA H100 80GB HBM3",
        "label": "20v1 (model)",
    }
    published = drawn.iloc[1:]
    original = published[published["origin"] == plots.ORIGINAL]
    assert original[["network", "accuracy", "seconds_per_epoch"]].to_numpy().tolist() == [
        ["ResNet20v1", "92.16", "35"],
        ["ResNet32v1", "92.46", "50"],
        ["ResNet44v1", "92.50", "70"],
        ["ResNet56v1", "92.71", "90"],
        ["ResNet110v1", "92.65", "165"],
        ["ResNet56v2", "93.01", "100"],
        ["ResNet110v2", "93.15", "180"],
    ]
    papers = published[published["origin"] == plots.PAPER]
    assert dict(zip(papers["network"], papers["accuracy"], strict=True))["ResNet110v1"] == "93.39"
    assert len(papers) == 7  # three of the papers' networks are not ours: note 2
    assert papers["seconds_per_epoch"].isna().all()
    others = plots.not_comparable(found)
    assert others[["variant", "group"]].to_numpy().tolist() == [
        ["ResNet32v1", "short: 12 of 200 epochs"],
        ["ResNet56v2, synthetic", "synthetic images, not CIFAR-10"],
    ]


def test_a_result_from_two_devices_has_a_point_at_the_time_of_each_and_one_label() -> None:
    runs = [
        make_run(seed=seed, device=make_device(name), seconds=seconds)
        for seed, (name, seconds) in enumerate([("Xeon", 99.0), ("EPYC", 45.0), ("Xeon", 101.0)])
    ]
    drawn = plots.speed({"model": results_of(runs)}, ())
    assert drawn[["device", "seconds_per_epoch", "label"]].to_numpy().tolist() == [
        ["EPYC", 45.0, ""],
        ["Xeon", 100.0, "20v1 (model)"],
    ]
    assert drawn["accuracy"].tolist() == [91.5, 91.5]


def test_another_recipe_is_named_with_its_differences_and_epochs() -> None:
    changes = {"batch_size": 64, "epochs": 400}
    drawn = plots.speed(results(model={"changes": changes}), Store(ROOT / "metrics").published())
    origin = "this benchmark, recipe original with batch_size 64, 400 epochs"
    assert drawn["origin"].iloc[0] == origin


def test_the_confusion_matrix_is_that_of_the_first_variant_with_results(tmp_path: Path) -> None:
    for name in ("ResNet32v1", "ResNet56v2"):
        write_results(tmp_path, make_results(name, network=NETWORKS[name]))
    report(NETWORKS, tmp_path)
    drawn = pd.read_csv(tmp_path / "plots" / "all" / "confusion.csv")
    assert set(drawn["variant"]) == {"ResNet32v1"}


def test_a_class_without_images_has_no_percentage() -> None:
    text = "actual,predicted,images\ncat,cat,9\ncat,dog,1\ndog,cat,0\ndog,dog,0\n"
    counts = {"model": pd.read_csv(io.StringIO(text), dtype=str)}
    drawn = plots.confusion(results(model={}), counts)
    assert drawn["percent"].tolist()[:2] == [90.0, 10.0]
    assert drawn["percent"].isna().tolist() == [False, False, True, True]
