"""Real trainings, killed and interrupted: they end with the bits of an undisturbed run."""

import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from demo import set_params
from faults import kills
from resnet.files import read_json


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, kills.Outcome]:
    """A checkout, and what a run in it ends with; its state is forgotten."""
    folder = kills.checkout(tmp_path_factory.mktemp("faults") / "Prüfung mit Leerzeichen 測試")
    kills.finish(folder)
    return folder, kills.outcome(folder)


@pytest.fixture(autouse=True)
def _forgotten(undisturbed: tuple[Path, kills.Outcome]) -> None:
    kills.anew(undisturbed[0])


def test_a_killed_run_ends_with_the_same_bits(undisturbed: tuple[Path, kills.Outcome]) -> None:
    folder, expected = undisturbed
    rng = random.Random(0)
    assert kills.kill(folder, rng)
    assert kills.kill(folder, rng, writing=True)
    assert re.search(r"^going on after epoch \d+ of 12", printed := kills.finish(folder), re.MULTILINE), printed
    assert kills.differences(kills.outcome(folder), expected) == []
    again = kills.finish(folder)  # as after a dvc that was killed before it recorded the stage
    assert "trained already, by a run that DVC did not record" in again
    assert kills.differences(kills.outcome(folder), expected) == []


def test_sigterm_saves_and_a_second_trainer_is_refused(undisturbed: tuple[Path, kills.Outcome]) -> None:
    folder, expected = undisturbed
    env = kills.env(folder, SAVE_SECONDS="30")  # so that nothing is on disk before the signal
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(kills.COMMAND, cwd=folder, env=env, **pipes) as first:  # type: ignore[call-overload]
        while not first.stdout.readline().startswith("epoch 2/"):
            assert first.poll() is None
        first.send_signal(signal.SIGSTOP)
        second = subprocess.run(kills.COMMAND, cwd=folder, env=env, capture_output=True, text=True, check=False)
        first.send_signal(signal.SIGTERM)
        first.send_signal(signal.SIGCONT)
        said = first.stderr.read()
        assert first.wait() == 143
    assert second.returncode == 1
    assert f"models/model/seed0 is being trained already, by process {first.pid} on " in second.stderr
    assert len(second.stderr.splitlines()) == 1
    assert re.fullmatch(r"train: stopped by SIGTERM after epoch \d+ of 12, from where the next `dvc repro` goes on\n", said)
    start = time.monotonic()
    assert re.search(r"^going on after epoch [2-9]", kills.finish(folder), re.MULTILINE)
    about = read_json(folder / kills.FOLDER / "training.json")
    assert len(about["starts"]) == 2
    rows = (folder / kills.FOLDER / "history.csv").read_text().split()[1:]
    assert about["total_seconds"] > sum(float(row.split(",")[-1]) for row in rows)  # both starts
    assert about["total_seconds"] < time.monotonic() - start + 60
    assert kills.differences(kills.outcome(folder), expected) == []


def test_a_loss_that_turns_nan_keeps_the_last_good_state(undisturbed: tuple[Path, kills.Outcome]) -> None:
    folder, _ = undisturbed
    params = folder / "params.yaml"
    before = params.read_text()
    try:
        set_params(params, {"recipes.keras.optimizer": "sgd", "recipes.keras.drops": [{"epoch": 2, "factor": 1e30}]})
        done = subprocess.run(kills.COMMAND, cwd=folder, env=kills.env(folder), capture_output=True, text=True, check=False)
    finally:
        params.write_text(before)
    assert done.returncode == 1
    assert re.fullmatch(r"train: (loss|weights) .* epoch 3, at a learning rate of 1e\+27: lower learning_rate\n", done.stderr), done.stderr
    assert not (folder / kills.FOLDER).exists()
    assert {path.name.split("-")[0] for path in (folder / ".resume").glob("*/epoch*")} == {"epoch1", "epoch2"}
