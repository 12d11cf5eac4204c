"""A training that is repeated beside what is there, and compared with it."""

import shutil
from pathlib import Path

import pytest

from resnet.files import read_json, write_json
from scripts.checkout import copy_checkout
from tests.support.checkout import SMALL, git, run

CHANGES = {
    **SMALL,
    "recipes.original.epochs": 3,
    "recipes.original.drops": [{"epoch": 1, "factor": 0.1}],
}
RETRAIN = ("python", "-m", "scripts.retrain", "model", "0")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkout = tmp_path_factory.mktemp("retrain") / "checkout"
    copy_checkout(checkout, CHANGES)
    run(checkout, "dvc", "repro", "evaluate@model")
    git(checkout, "add", ".")
    return checkout


@pytest.fixture
def checkout(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "checkout", symlinks=True))


def test_the_same_identity_gives_the_same_bits(trained: Path) -> None:
    before = run(trained, "git", "status", "--porcelain")
    assert "equal: the history to the last digit, the weights to the last bit" in run(
        trained, *RETRAIN
    )
    printed = run(trained, *RETRAIN, "--epochs", "2")
    assert "training 2 of 3 epochs again: " in printed
    assert printed.endswith("equal: the history to the last digit\n")
    assert run(trained, "git", "status", "--porcelain") == before


def test_a_difference_is_an_error_where_the_identity_is_the_same(checkout: Path) -> None:
    history = checkout / "metrics" / "plots" / "history" / "model" / "seed0.csv"
    lines = history.read_text().splitlines()
    column = lines[0].split(",").index("loss")
    values = lines[2].split(",")
    values[column] = str(float(values[column]) + 0.25)
    lines[2] = ",".join(values)
    history.write_text("\n".join(lines) + "\n")
    printed = run(checkout, *RETRAIN, "--epochs", "2", ok=False)
    error = "the identity is the same, but loss differs by up to 0.25, first in epoch 2"
    assert f"retrain: {error}\n" in printed


def test_another_processor_is_said_and_is_no_error(checkout: Path) -> None:
    path = checkout / "metrics" / "provenance" / "model.json"
    provenance = read_json(path)
    provenance["runs"][0]["training"]["identity"]["device"]["processor"] = "another"
    write_json(path, provenance)
    printed = run(checkout, *RETRAIN, "--epochs", "1")
    assert "not the same identity: device.processor: another → " in printed


def test_what_cannot_be_compared_is_refused_before_it_is_trained(checkout: Path) -> None:
    for arguments, text in (
        (("ResNet20v2", "0"), "metrics/ has no results of ResNet20v2 with seed 0"),
        (("ResNet3v3", "0"), "'ResNet3v3' is no section of params.yaml: model, "),
        (("model", "4"), "metrics/ has no results of model with seed 4"),
        (("model", "0", "--epochs", "4"), "--epochs is 4: must be from 1 to 3"),
        (("model", "0", "--epochs", "0"), "--epochs is 0: must be from 1 to 3"),
    ):
        command = ("python", "-m", "scripts.retrain", *arguments)
        printed = run(checkout, *command, ok=False)
        assert printed.startswith(f"retrain: {text}"), printed
        assert printed.count("\n") == 1
    shutil.rmtree(checkout / "data" / "arrays")
    assert "data/arrays: no arrays; run `dvc repro preprocess`" in run(checkout, *RETRAIN, ok=False)
