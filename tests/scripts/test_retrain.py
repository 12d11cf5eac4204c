"""A training that is repeated beside what is there, and compared with it."""

import argparse
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from resnet.data import arrays
from resnet.errors import BenchmarkError
from resnet.files import read_json, write_json
from resnet.training.record import model_folder
from scripts import retrain
from scripts.checkout import copy_checkout, environment, set_params
from tests.support.checkout import SMALL, git, run
from tests.support.command import call
from tests.support.results import make_device, make_run

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


@pytest.fixture(scope="module")
def again(trained: Path) -> Path:
    """The folder of two epochs that were trained again."""
    folder = trained.with_name("again")
    code = "from pathlib import Path; from scripts import retrain; retrain.train('model', 0, 2, {})"
    run(trained, "python", "-c", code.format(f"Path({str(folder)!r})"))
    return folder / model_folder("model", 0)


@pytest.fixture
def compared(
    checkout: Path,
    again: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[[], str]:
    """What is printed of two epochs, in this process and without training them once more."""
    monkeypatch.chdir(checkout)
    for name, value in environment(checkout).items():
        monkeypatch.setenv(name, value)

    def train(variant: str, seed: int, epochs: int, folder: Path) -> None:
        assert (variant, seed, epochs) == ("model", 0, 2)
        shutil.copytree(again, folder / model_folder(variant, seed))

    def compare() -> str:
        retrain.main(argparse.Namespace(variant="model", seed=0, epochs=2))
        return capsys.readouterr().out

    monkeypatch.setattr(retrain, "train", train)
    return compare


def edit_loss(checkout: Path) -> None:
    """Add 0.25 to the loss of the second epoch in metrics/."""
    history = checkout / "metrics" / "plots" / "history" / "model" / "seed0.csv"
    lines = history.read_text().splitlines()
    column = lines[0].split(",").index("loss")
    values = lines[2].split(",")
    values[column] = str(float(values[column]) + 0.25)
    lines[2] = ",".join(values)
    history.write_text("\n".join(lines) + "\n")


def test_the_same_identity_gives_the_same_bits(trained: Path) -> None:
    """Also where the arrays are missing, which are made again."""
    before = run(trained, "git", "status", "--porcelain")
    shutil.rmtree(trained / arrays.FOLDER)
    printed = run(trained, *RETRAIN)
    assert "training 3 of 3 epochs again: " in printed
    assert printed.endswith("equal: the history to the last digit, the weights to the last bit\n")
    assert (trained / arrays.FOLDER / "train" / "images.npy").exists()
    assert run(trained, "git", "status", "--porcelain") == before


def test_the_first_epochs_are_compared_with_as_many(compared: Callable[[], str]) -> None:
    printed = compared()
    assert "training 2 of 3 epochs again: " in printed
    assert printed.endswith("equal: the history to the last digit\n")


def test_a_difference_is_an_error_where_the_identity_is_the_same(
    checkout: Path, compared: Callable[[], str]
) -> None:
    edit_loss(checkout)
    error = "the identity is the same, but loss differs by up to 0.25, first in epoch 2"
    with pytest.raises(BenchmarkError, match=f"^{error}$"):
        compared()


def test_another_processor_is_said_and_is_no_error(
    checkout: Path, compared: Callable[[], str]
) -> None:
    path = checkout / "metrics" / "provenance" / "model.json"
    provenance = read_json(path)
    provenance["runs"][0]["training"]["identity"]["device"]["processor"] = "another"
    write_json(path, provenance)
    assert "not the same identity: device.processor: another → " in compared()


def test_what_cannot_be_equal_is_said_before_it_is_trained(
    checkout: Path, compared: Callable[[], str]
) -> None:
    set_params(checkout / "params.yaml", {"recipes.original.l2": 0.5})
    why = "it cannot be equal: trained with different parameters than params.yaml has for model"
    assert compared().startswith(f"{why}\ntraining 2 of 3 epochs again: ")


def test_a_recorded_training_under_several_conditions_cannot_be_repeated(
    checkout: Path, compared: Callable[[], str]
) -> None:
    path = checkout / "metrics" / "provenance" / "model.json"
    provenance = read_json(path)
    change = {"key": "device.processor", "before": "another", "after": "this"}
    provenance["runs"][0]["training"]["starts"].append({"epoch": 3, "changes": [change]})
    write_json(path, provenance)
    edit_loss(checkout)
    printed = compared()
    assert "the recorded training was resumed under other conditions\nloss differs by" in printed


def test_a_gpu_repeats_the_bits_only_on_demand() -> None:
    exact, other = (
        make_run(device=make_device(deterministic=value)).training for value in (True, False)
    )
    assert retrain.inexact(exact, exact) == ""
    assert retrain.inexact(exact, other).startswith("a GPU repeats the bits only with DETERMINIST")


def test_nan_and_columns_of_one_history_alone_are_differences() -> None:
    record = make_run().training
    old = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0], "test_loss": [2.0, 1.0]})
    nan = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, math.nan], "test_loss": [2.0, 1.0]})
    assert list(retrain.differences(record, old, record, old)) == []
    assert list(retrain.differences(record, nan, record, nan)) == []
    (line,) = retrain.differences(record, old, record, nan)
    assert line == "loss differs by up to nan, first in epoch 2"
    (line,) = retrain.differences(record, old, record, old.drop(columns="test_loss"))
    assert line == "only one history has test_loss"


def test_other_weights_of_the_same_epoch_are_a_difference() -> None:
    record, other = (make_run(checkpoints={"last.keras": digit * 64}).training for digit in "34")
    old = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0]})
    assert list(retrain.differences(record, old, record, old)) == []
    assert list(retrain.differences(record, old, other, old)) == ["the weights differ"]
    fewer = other.model_copy(update={"epochs": 1})
    assert list(retrain.differences(record, old, fewer, old[:1])) == []


def test_what_cannot_be_compared_is_refused_before_it_is_trained(checkout: Path) -> None:
    for arguments, text in (
        (("ResNet20v2", "0"), "metrics/ has no results of ResNet20v2 with seed 0"),
        (("ResNet3v3", "0"), "'ResNet3v3' is no section of params.yaml: model, "),
        (("model", "4"), "metrics/ has no results of model with seed 4"),
        (("model", "0", "--epochs", "4"), "--epochs is 4: must be from 1 to 3"),
        (("model", "0", "--epochs", "0"), "--epochs is 0: must be from 1 to 3"),
    ):
        status, printed, error = call(checkout, "scripts.retrain", *arguments)
        assert (status, printed) == (1, "")
        assert error.startswith(f"retrain: {text}"), error
        assert error.count("\n") == 1
