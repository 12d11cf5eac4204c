"""A whole training in a workspace: how it is stopped, saved, resumed, and refused."""

import csv
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from resnet import pretrained
from resnet.data import arrays
from resnet.errors import BenchmarkError, Interrupted
from resnet.files import sha256
from resnet.training import draws, history, interrupt, messages, schedule
from resnet.training.record import BestOnTest
from scripts.checkout import set_params
from tests.support.checkout import ROOT
from tests.support.trainings import send_after_epoch
from tests.support.workspace import OUTPUT, record, stores, train

PLATEAU = {
    "train.holdout.fraction": 0.3,
    "recipes.original.plateau_factor": 0.5,
    "recipes.original.plateau_patience": 1,
}


def weights() -> list[Any]:
    import keras

    return list(keras.models.load_model(OUTPUT / "last.keras").get_weights())


def without_seconds(row: str) -> list[str]:
    """A row of history.csv without its fifth value."""
    values = row.split(",")
    return values[:4] + values[5:]


@pytest.mark.parametrize("changes", [{}, PLATEAU], ids=["", "with a plateau"])
@pytest.mark.usefixtures("device")
def test_resumed_training_has_the_same_bits(
    original: Path,
    enter: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
) -> None:
    """Stopped by a signal, and compared with a training that was not; test_interrupt.py has all."""
    enter(original)
    set_params(Path("params.yaml"), changes)
    no_loss_is_lower = partial(schedule.plateau_scale, min_delta=100.0)
    monkeypatch.setattr(schedule, "plateau_scale", no_loss_is_lower)
    train()
    whole, whole_weights = record(), weights()
    whole_epochs = (OUTPUT / "history.csv").read_text(encoding="utf-8")
    assert whole.exact
    assert [start.epoch for start in whole.starts] == [1]
    assert stores() == ["identity.json", "result"]
    rows = [line.split(",") for line in whole_epochs.splitlines()]
    rates = [row[rows[0].index("learning_rate")] for row in rows[1:]]
    assert float(rates[2]) == float(rates[0]) * (0.5 if changes else 1.0)
    accuracies = [float(row[rows[0].index("test_accuracy")]) for row in rows[1:]]
    best = accuracies.index(max(accuracies)) + 1
    assert whole.best_on_test == BestOnTest(epoch=best, accuracy=max(accuracies))
    np.testing.assert_array_equal(
        np.load(OUTPUT / "pixel_mean.npy"), np.load("data/arrays/train/pixel_mean.npy")
    )
    shutil.rmtree(".resume")
    shutil.rmtree("models")

    handlers = {number: signal.getsignal(number) for number in interrupt.SIGNALS}
    with monkeypatch.context() as patch:
        patch.setattr(messages, "print_epoch", send_after_epoch(signal.SIGHUP, 2))
        with pytest.raises(Interrupted) as caught:
            train()
    for each, handler in handlers.items():
        signal.signal(each, handler)
    assert str(caught.value) == (
        "stopped by SIGHUP after epoch 2 of 4; the next `dvc repro` resumes there"
    )
    assert caught.value.status == 128 + signal.SIGHUP
    assert "epoch2" in stores()
    capsys.readouterr()
    train()
    assert "resuming after epoch 2 of 4" in capsys.readouterr().out.splitlines()
    for expected, actual in zip(whole_weights, weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)
    resumed = record()
    assert resumed.checkpoints == {path.name: sha256(path) for path in OUTPUT.glob("*.keras")}
    assert resumed.identity == whole.identity
    assert resumed.exact
    assert [start.epoch for start in resumed.starts] == [1, 3]
    text = history.read(OUTPUT / "history.csv", 4)
    assert [without_seconds(line) for line in text.splitlines()] == [
        without_seconds(line) for line in whole_epochs.splitlines()
    ]


@pytest.mark.usefixtures("device")
def test_result_that_dvc_did_not_record_is_restored(
    original: Path, enter: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    enter(original)
    set_params(Path("params.yaml"), {"recipes.original.epochs": 1})
    train()
    before = record()
    shutil.rmtree("models")
    capsys.readouterr()
    train()
    assert "already trained by a run that DVC did not record" in capsys.readouterr().out
    assert record() == before


@pytest.mark.usefixtures("device")
def test_result_that_dvc_recorded_is_trained_again(
    original: Path, enter: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """By a training that DVC starts in spite of its record: RETRAIN=1 dvc repro --force."""
    enter(original)
    set_params(Path("params.yaml"), {"recipes.original.epochs": 1})
    train()
    (kept,) = Path(".resume").glob("model-*/result-*")
    outs = [{"path": str(OUTPUT), "md5": kept.name.removeprefix("result-")}]
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"train@model-0": {"outs": outs}}}))
    shutil.rmtree("models")
    capsys.readouterr()
    train()
    printed = capsys.readouterr().out
    assert "already trained" not in printed
    assert "epoch 1/1 " in printed


@pytest.fixture
def beside(original: Path, enter: Callable[[Path], None], tmp_path: Path) -> Path:
    """A second workspace like the current one, whose DVC_ROOT is to be the current one."""
    enter(original)
    set_params(Path("params.yaml"), {"recipes.original.epochs": 2})
    return Path(shutil.copytree(Path.cwd(), tmp_path / "beside"))


@pytest.mark.usefixtures("device")
def test_two_workspaces_never_run_the_same_training_at_once(
    beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they share .resume/, as the copies do in which DVC runs experiments."""
    refused: list[str] = []

    def train_beside(*_: Any) -> None:
        """After an epoch of the first; a lock that is opened twice is as that of two processes."""
        if refused:
            return
        with monkeypatch.context() as patch, chdir(beside):
            patch.setenv("DVC_ROOT", str(workspace))
            refused.append("it was trained twice")
            with pytest.raises(BenchmarkError) as caught:
                train()
            refused[:] = [str(caught.value)]

    workspace = Path.cwd()
    monkeypatch.setattr(messages, "print_epoch", train_beside)
    train()
    (text,) = refused
    assert text.startswith(f"model with seed 0 is being trained by process {os.getpid()} on ")
    assert not (beside / "models").exists()
    assert record().epochs == 2


@pytest.mark.usefixtures("device")
def test_state_of_a_copy_is_resumed_in_the_main_checkout(
    beside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: Any) -> None:
        raise Interrupted("stopped by SIGTERM", 143)

    with monkeypatch.context() as patch, chdir(beside):
        patch.setenv("DVC_ROOT", str(Path.cwd().with_name("workspace")))
        patch.setattr(messages, "print_epoch", stop)
        with pytest.raises(Interrupted, match="after epoch 1 of 2; the next `dvc repro` resumes"):
            train()
    assert not (beside / ".resume").exists()
    assert "epoch1" in stores()
    train()
    assert "resuming after epoch 1 of 2" in capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("device")
def test_best_epoch_is_the_result_where_images_are_held_out(
    original: Path, enter: Callable[[Path], None]
) -> None:
    """All images are of one class, so the first epoch learns it and no later one is better."""
    import keras

    enter(original)
    changes = {
        "train.holdout.fraction": 0.3,
        "recipes.original.epochs": 2,
        "recipes.original.batch_size": 8,
        "recipes.original.optimizer": "sgd",
        "recipes.original.learning_rate": 0.3,
    }
    set_params(Path("params.yaml"), changes)
    np.save("data/arrays/train/labels.npy", np.zeros(70, np.int32))
    train()
    done = record()
    assert (done.checkpoint, done.checkpoint_epoch) == ("best.keras", 1)
    assert done.checkpoints == {
        name: sha256(OUTPUT / name) for name in ("best.keras", "last.keras")
    }
    assert done.checkpoints["best.keras"] != done.checkpoints["last.keras"]

    with (OUTPUT / "history.csv").open(encoding="utf-8") as file:
        first, _ = csv.DictReader(file)
    best = keras.models.load_model(OUTPUT / "best.keras")
    best.compile(loss=keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    split = arrays.open_split(arrays.FOLDER / "train")
    _, held_out = draws.holdout_indices(70, 0.3)
    loss, accuracy = best.evaluate(split.images[held_out], split.labels[held_out], verbose=0)
    assert float(first["val_loss"]) == pytest.approx(loss, rel=1e-5)
    assert float(first["val_accuracy"]) == pytest.approx(100 * accuracy)
    loaded = pretrained.load("model").get_weights()
    for actual, expected in zip(loaded, best.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.usefixtures("device")
def test_weights_that_are_not_finite_leave_the_state_before_them(
    original: Path, enter: Callable[[Path], None]
) -> None:
    """The only step of epoch 2 has a finite loss, but a gradient that the rate makes infinite."""
    enter(original)
    changes = {
        "recipes.original.batch_size": 64,
        "recipes.original.optimizer": "sgd",
        "recipes.original.learning_rate": 1e38,
        "recipes.original.l2": 1e3,
        "recipes.original.warmup": {"epochs": 1, "factor": 1e-45, "depth": 0},
    }
    set_params(Path("params.yaml"), changes)
    message = (
        r"^weights that are not finite after epoch 2, at a learning rate of 1e\+38: "
        "lower learning_rate$"
    )
    with pytest.raises(BenchmarkError, match=message):
        train()
    assert stores() == ["epoch1", "identity.json"]
    assert not OUTPUT.exists()


@pytest.mark.usefixtures("device")
def test_hold_out_of_no_image_stops_before_training(
    original: Path, enter: Callable[[Path], None]
) -> None:
    enter(original)
    set_params(Path("params.yaml"), {"train.holdout.fraction": 0.005})
    with pytest.raises(BenchmarkError, match=r"^train\.holdout\.fraction is 0\.005, which is less"):
        train()
    assert not OUTPUT.exists()


@pytest.mark.parametrize("name", ["models", "data"])
def test_symbolic_link_is_refused_before_training(
    original: Path, enter: Callable[[Path], None], name: str
) -> None:
    enter(original)
    elsewhere = Path("elsewhere").absolute()
    if Path(name).exists():
        Path(name).rename(elsewhere)
    Path(name).symlink_to(elsewhere)
    with pytest.raises(BenchmarkError, match=f"^{name} is a symbolic link, which DVC refuses"):
        train()
    assert not Path(".resume").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model", "²"], "argument SEED: invalid int value: '²'"),
        (["model", "7"], "train: 7 is not among seeds of params.yaml: 0"),
        (["ResNet20v2", "0"], "train: 'ResNet20v2' is not among variants of params.yaml: model"),
        (["model"], "the following arguments are required: SEED"),
    ],
)
def test_command_line_that_names_no_training(
    original: Path, arguments: list[str], message: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stages.train", *arguments],
        cwd=original,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (1 if message.startswith("train: ") else 2)
    assert done.stderr.splitlines()[-1].endswith(message)
    assert "Traceback" not in done.stderr
