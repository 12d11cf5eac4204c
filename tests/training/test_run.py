"""A whole training in a workspace: how it is stopped, saved, resumed, and refused."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet.errors import BenchmarkError, Interrupted
from resnet.files import sha256
from resnet.schema import validate_json
from resnet.training import history, interrupt, messages, schedule
from resnet.training.record import BestOnTest, TrainingRecord
from scripts.checkout import set_params
from stages import train as stage
from tests.support.checkout import ROOT
from tests.support.trainings import run_train_stage, send_after_epoch, write_workspace

OUTPUT = Path("models/model/seed0")
PLATEAU = {
    "train.holdout.fraction": 0.3,
    "recipes.original.plateau_factor": 0.5,
    "recipes.original.plateau_patience": 1,
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace before its first training, to be copied."""
    folder = tmp_path_factory.mktemp("workspace") / "original"
    write_workspace(folder)
    return folder


@pytest.fixture(scope="module")
def stopped(original: Path) -> Path:
    """A workspace whose training was stopped after epoch 2 of 4, on one thread; to be copied."""
    folder = original.with_name("stopped")
    shutil.copytree(original, folder)
    done = run_train_stage(folder, {"OMP_NUM_THREADS": "1"}, stop_after=2)
    assert done.stderr == (
        "train: stopped by SIGTERM after epoch 2 of 4; the next `dvc repro` resumes there\n"
    )
    assert done.returncode == 128 + signal.SIGTERM
    assert not (folder / OUTPUT).exists()
    return folder


@pytest.fixture
def enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make a copy of a workspace the current folder."""
    for variable in ("OTHER_STATE", "DVC_ROOT", "STEPS_PER_CALL", "IMAGES_ON_DEVICE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SAVE_SECONDS", "0")

    def copy(workspace: Path) -> None:
        shutil.copytree(workspace, tmp_path / "workspace")
        monkeypatch.chdir(tmp_path / "workspace")

    return copy


def train() -> None:
    stage.main(argparse.Namespace(variant="model", seed=0))


def record() -> TrainingRecord:
    path = OUTPUT / "training.json"
    return validate_json(TrainingRecord, path.read_text(encoding="utf-8"), str(path))


def weights() -> list[Any]:
    import keras

    return list(keras.models.load_model(OUTPUT / "last.keras").get_weights())


def stores() -> list[str]:
    """The contents of the folders of all trainings, without the hashes in their names."""
    found = Path(".resume").glob("model-*/*")
    return sorted(path.name.partition("-")[0] for path in found)


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


def test_state_of_another_thread_count_is_not_resumed(
    stopped: Path, enter: Callable[[Path], None]
) -> None:
    """In real processes: the next start stops, and says in one line what differs."""
    enter(stopped)
    before = stores()
    done = run_train_stage(Path.cwd(), {"OMP_NUM_THREADS": "2"})
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("train: .resume/model-seed0-")
    assert "has 2 epochs of this training, saved under other conditions: " in line
    assert "environment.OMP_NUM_THREADS: 1 → 2; run it under those conditions again, or" in line
    assert stores() == before


@pytest.mark.parametrize("save_seconds", ["0", "1e9"])
@pytest.mark.usefixtures("device")
def test_state_of_other_conditions_is_resumed_on_demand(
    stopped: Path,
    enter: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    save_seconds: str,
) -> None:
    """The change is recorded, and the resumed state is removed, however often is saved."""
    enter(stopped)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("OTHER_STATE", "resume")
    monkeypatch.setenv("SAVE_SECONDS", save_seconds)
    train()
    printed = capsys.readouterr().out
    assert "under other conditions (environment.OMP_NUM_THREADS: 1 → 2)" in printed
    assert "resuming after epoch 2 of 4" in printed
    after = record()
    assert not after.exact
    first, second = after.starts
    assert (first.epoch, first.changes) == (1, [])
    assert second.epoch == 3
    assert [tuple(change.model_dump().values()) for change in second.changes] == [
        ("environment.OMP_NUM_THREADS", "1", "2")
    ]
    assert after.identity.environment["OMP_NUM_THREADS"] == "2"
    assert set(stores()) - {"identity.json"} == {"result"}


@pytest.mark.usefixtures("device")
def test_resume_under_other_conditions_that_is_stopped_at_once(
    stopped: Path, enter: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is saved under these conditions, so the next start needs no OTHER_STATE."""
    from resnet.training.loop import Training

    def interrupted(*_: Any, **__: Any) -> Iterator[None]:
        raise Interrupted("stopped by SIGTERM", 143)
        yield

    enter(stopped)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("OTHER_STATE", "resume")
    with monkeypatch.context() as patch:
        patch.setattr(Training, "epochs", interrupted)
        with pytest.raises(Interrupted, match=r"after epoch 2 of 4; the next `dvc repro` resumes"):
            train()
    monkeypatch.delenv("OTHER_STATE")
    train()
    assert not record().exact
    assert [start.epoch for start in record().starts] == [1, 3, 3]


@pytest.mark.parametrize("other_state", ["", "resume"])
@pytest.mark.usefixtures("device")
def test_state_whose_identity_cannot_be_read_is_not_abandoned(
    stopped: Path,
    enter: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    other_state: str,
) -> None:
    enter(stopped)
    monkeypatch.setenv("OTHER_STATE", other_state)
    (identity,) = Path(".resume").glob("model-*/identity.json")
    identity.write_text("{}", encoding="utf-8")
    before = stores()
    message = "but its identity cannot be read, so they cannot be resumed: set OTHER_STATE=ignore"
    with pytest.raises(BenchmarkError, match=message):
        train()
    assert stores() == before


@pytest.mark.usefixtures("device")
def test_damaged_states_of_other_conditions_are_no_resume(
    stopped: Path, enter: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(stopped)
    for state in Path(".resume").glob("model-*/epoch*.npz"):
        state.write_bytes(b"damaged")
    monkeypatch.setenv("OTHER_STATE", "resume")
    train()
    assert record().exact
    assert [start.epoch for start in record().starts] == [1]


@pytest.mark.usefixtures("device")
def test_state_of_other_conditions_is_ignored_on_demand(
    stopped: Path,
    enter: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    enter(stopped)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("OTHER_STATE", "ignore")
    train()
    printed = capsys.readouterr().out
    assert "ignored, since it was saved under other conditions (environment.OMP_NUM" in printed
    assert "epoch 1/4" in printed
    assert record().exact
    assert [start.epoch for start in record().starts] == [1]


@pytest.mark.usefixtures("device")
def test_state_of_other_parameters_is_kept(
    stopped: Path,
    enter: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is mentioned, and the training with the new parameters starts."""
    enter(stopped)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    set_params(Path("params.yaml"), {"recipes.original.epochs": 1})
    before = stores()
    train()
    printed = capsys.readouterr().out
    assert "kept, a training with other parameters or data (" in printed
    assert "parameters.recipe.epochs: 4 → 1" in printed
    assert record().epochs == 1
    assert stores() == sorted([*before, "identity.json", "result"])


@pytest.mark.usefixtures("device")
def test_best_epoch_is_the_result_where_images_are_held_out(
    original: Path, enter: Callable[[Path], None]
) -> None:
    enter(original)
    changes = {"train.holdout.fraction": 0.3, "recipes.original.epochs": 2}
    set_params(Path("params.yaml"), changes)
    train()
    done = record()
    rows = (OUTPUT / "history.csv").read_text(encoding="utf-8").splitlines()
    accuracies = [
        float(row.split(",")[rows[0].split(",").index("val_accuracy")]) for row in rows[1:]
    ]
    assert done.checkpoint == "best.keras"
    assert done.checkpoint_epoch == 1 + accuracies.index(max(accuracies))
    assert done.checkpoints == {
        name: sha256(OUTPUT / name) for name in ("best.keras", "last.keras")
    }
    same = done.checkpoints["best.keras"] == done.checkpoints["last.keras"]
    assert same == (done.checkpoint_epoch == 2)


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
