"""The states of a run on disk: whole or not there, the last two kept, a damaged one noticed; one trainer a run; signals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from resnet.errors import BenchmarkError, Interrupted
from resnet.training import interrupt, resume
from tests.conftest import ROOT


def state(epochs: int) -> resume.Saved:
    return resume.Saved(
        epochs, {"weights": np.full(1000, epochs, np.float32)}, {"losses": [0.1] * epochs}
    )


@pytest.fixture
def store(tmp_path: Path) -> resume.Store:
    made = resume.Store(tmp_path / "runs" / "run")
    for epochs in (9, 10, 11):
        made.save(state(epochs))
    return made


def epochs_there(store: resume.Store) -> list[int]:
    return sorted(int(path.name.split("-")[0][5:]) for path in store.folder.iterdir())


def test_the_last_two_are_kept_and_the_last_is_read(store: resume.Store) -> None:
    assert epochs_there(store) == [10, 11]
    saved = store.load()
    assert saved is not None
    assert (saved.epochs, saved.notes) == (11, {"losses": [0.1] * 11})
    np.testing.assert_array_equal(saved.arrays["weights"], np.full(1000, 11, np.float32))
    assert resume.Store(store.folder.parent / "other").load() is None


@pytest.mark.parametrize("damage", ["cut", "bit", "empty"])
def test_a_damaged_state_is_reported_and_the_one_before_used(
    store: resume.Store, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for epochs in (11, 10):
        (path,) = store.folder.glob(f"epoch{epochs}-*")
        content = path.read_bytes()
        flipped = content[:700] + bytes([content[700] ^ 1]) + content[701:]
        path.write_bytes({"cut": content[:-1], "bit": flipped, "empty": b""}[damage])
        saved = store.load()
        assert (saved.epochs if saved else 0) == {11: 10, 10: 0}[epochs]
        assert f"epoch{epochs}-" in (said := capsys.readouterr().out)
        assert "damaged" in said


def test_no_space_left_loses_nothing(store: resume.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        BenchmarkError,
        match="No space left on device: the state after epoch 12 was not saved, that after epoch 11 is",
    ):
        store.save(state(12))
    assert epochs_there(store) == [10, 11]


def test_what_a_kill_left_half_written_goes(store: resume.Store) -> None:
    (store.folder / ".epoch12.partial").write_bytes(b"half")
    assert store.load() is not None
    assert epochs_there(store) == [10, 11]


def test_a_result_takes_the_place_of_the_states_until_dvc_has_recorded_it(
    store: resume.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "seed0"
    result.mkdir()
    (result / "last.keras").write_bytes(b"weights")
    (result / "training.json").write_text("{}\n")
    store.keep_result(result)
    assert [path.name for path in store.folder.iterdir()] == [f"result-{resume.dvc_hash(result)}"]
    assert store.give_result(tmp_path / "again")
    assert (tmp_path / "again" / "last.keras").read_bytes() == b"weights"

    lock = tmp_path / "dvc.lock"
    for text in (
        "",
        "not: [yaml",
        "stages: 3\n",
        "stages: {other: {outs: [{path: a, md5: 00.dir}]}}\n",
    ):
        lock.write_text(text)
        resume.forget_recorded(store.folder.parent, lock)
        assert store.folder.exists()
    lock.write_text(
        f"stages: {{train@model-0: {{outs: [{{path: a, md5: {resume.dvc_hash(result)}}}]}}}}\n"
    )
    resume.forget_recorded(store.folder.parent, lock)
    assert not store.folder.exists()

    store.keep_result(result)
    next(store.folder.glob("result-*/last.keras")).write_bytes(b"other")
    assert not store.give_result(tmp_path / "again")
    assert "damaged" in capsys.readouterr().out


def test_a_second_trainer_is_told_which_process_has_the_run_and_a_kill_frees_it(
    tmp_path: Path,
) -> None:
    hold = "import sys, time; from pathlib import Path; from resnet.training import resume\n"
    hold += "with resume.alone(Path(sys.argv[1]), 'x'): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "a" / "lock")], cwd=ROOT, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(
                BenchmarkError, match=f"model is being trained already, by process {holder.pid} on "
            ),
            resume.alone(tmp_path / "a" / "lock", "model"),
        ):
            pass
        holder.kill()
    with resume.alone(tmp_path / "a" / "lock", "model"):
        pass


def signalled(number: signal.Signals) -> None:
    with interrupt.raised():
        os.kill(os.getpid(), number)
        time.sleep(1)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_first_signal_raises_and_the_second_does_not_wait(
    number: signal.Signals, status: int
) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(Interrupted) as caught:
            signalled(number)
        assert caught.value.status == status
        assert signal.getsignal(signal.SIGINT) is signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
    with interrupt.raised():
        pass
    assert signal.getsignal(signal.SIGINT) is before[0]
