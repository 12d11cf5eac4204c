"""A training that was started under other conditions: what becomes of its states and result."""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet.errors import BenchmarkError, Interrupted
from scripts.checkout import set_params
from tests.support.trainings import run_train_stage
from tests.support.workspace import OUTPUT, record, stores, train


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


@pytest.mark.usefixtures("device")
def test_state_of_other_conditions_stays_theirs_until_an_epoch_is_trained(
    stopped: Path, enter: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device without enough memory must not take the state of one that has it."""
    from resnet.training.loop import Training

    def no_memory(*_: Any, **__: Any) -> Iterator[None]:
        raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")
        yield

    enter(stopped)
    before = sorted(Path(".resume").glob("model-*/*"))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("OTHER_STATE", "resume")
    monkeypatch.setattr(Training, "epochs", no_memory)
    with pytest.raises(BenchmarkError, match=r"^out of memory"):
        train()
    assert sorted(Path(".resume").glob("model-*/*")) == before


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
def test_intact_state_is_found_behind_a_damaged_one(
    stopped: Path, enter: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two unfinished trainings under other conditions, the longer one cannot be read."""
    enter(stopped)
    (folder,) = Path(".resume").glob("model-*")
    longer = folder.with_name("model-seed0-longer")
    shutil.copytree(folder, longer)
    (longer / "epoch3-0.npz").write_bytes(b"damaged")
    for state in longer.glob("epoch[12]-*"):
        state.unlink()
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("OTHER_STATE", "resume")
    train()
    assert [start.epoch for start in record().starts] == [1, 3]


@pytest.mark.parametrize("other_state", ["", "resume"])
@pytest.mark.usefixtures("device")
def test_result_of_other_conditions_is_mentioned_and_kept(
    original: Path,
    enter: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    other_state: str,
) -> None:
    """DVC did not record it; a run under the conditions that it was trained under restores it."""
    enter(original)
    set_params(Path("params.yaml"), {"recipes.original.epochs": 1})
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    train()
    first = record()
    shutil.rmtree("models")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("OTHER_STATE", other_state)
    capsys.readouterr()
    train()
    printed = capsys.readouterr().out
    assert "kept, the result of this training under other conditions (environment.OMP_" in printed
    assert "epoch 1/1" in printed
    assert record().exact
    assert stores() == ["identity.json", "identity.json", "result", "result"]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shutil.rmtree("models")
    train()
    assert record() == first


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
def test_state_of_other_images_is_kept_even_where_others_are_resumed(
    stopped: Path,
    enter: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    enter(stopped)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OTHER_STATE", "resume")
    images = np.load("data/arrays/train/images.npy")
    np.save("data/arrays/train/images.npy", images + np.float32(0.1))
    before = stores()
    train()
    printed = capsys.readouterr().out
    assert "kept, a training with other parameters or data (data.0)" in printed
    assert [start.epoch for start in record().starts] == [1]
    assert stores() == sorted([*before, "identity.json", "result"])
