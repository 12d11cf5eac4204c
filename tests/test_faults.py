"""Short forms of what `make faults` does, with real trainings, and the tests of its own parts."""

import random
import re
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faults import inputs, kills, pipeline, tables, workspace
from faults.__main__ import problems
from faults.cases import CASES, Case
from faults.damage import nothing
from faults.outcome import Outcome, differences, outcome, without_seconds, without_times
from faults.workspace import MODEL, STATES, TRAIN
from resnet.files import read_json
from scripts.checkout import set_params
from tests.support.checkout import ROOT


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A checkout, and the outcome of an undisturbed training in it."""
    folder = workspace.checkout(tmp_path_factory.mktemp("faults") / "Prüfung mit Leerzeichen 測試")
    workspace.finish(folder)
    return folder, outcome(folder)


@pytest.fixture(autouse=True)
def _reset(request: pytest.FixtureRequest) -> None:
    if "undisturbed" in request.fixturenames:
        workspace.reset(request.getfixturevalue("undisturbed")[0])


def test_a_killed_training_ends_bit_identical(undisturbed: tuple[Path, Outcome]) -> None:
    folder, expected = undisturbed
    rng = random.Random(0)
    for moment in ("epoch", "state"):
        killed = kills.kill(folder, rng, moment, workspace.env(folder))
        assert killed
        assert kills.epochs_lost(folder, killed.epoch) <= 1
    printed = workspace.finish(folder)
    assert re.search(r"^resuming after epoch \d+ of 12", printed, re.MULTILINE), printed
    assert differences(outcome(folder), expected) == []
    record = read_json(folder / MODEL / "training.json")
    assert len(record["starts"]) > 1
    history = (folder / MODEL / "history.csv").read_text().splitlines()
    column = history[0].split(",").index("seconds")
    seconds = sum(float(row.split(",")[column]) for row in history[1:])
    assert record["total_seconds"] > seconds  # of the epochs of all starts


def test_a_dvc_killed_before_it_records_the_training_restores_it(
    undisturbed: tuple[Path, Outcome],
) -> None:
    folder, expected = undisturbed
    assert pipeline.kill(folder, random.Random(0), "recorded", "train@model-0")
    assert not pipeline.recorded(folder)
    assert pipeline.RESTORED in pipeline.repro(folder, "train@model-0")
    assert pipeline.recorded(folder)
    assert differences(outcome(folder), expected) == []


def test_sigterm_saves_and_a_second_process_is_refused(
    undisturbed: tuple[Path, Outcome],
) -> None:
    folder, expected = undisturbed
    env = workspace.env(folder, SAVE_SECONDS="30")  # so nothing is on disk before the signal
    with subprocess.Popen(
        TRAIN, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout
        assert first.stderr
        while not first.stdout.readline().startswith("epoch 2/"):
            assert first.poll() is None
        first.send_signal(signal.SIGSTOP)
        second = subprocess.run(
            TRAIN, cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        first.send_signal(signal.SIGTERM)
        first.send_signal(signal.SIGCONT)
        error = first.stderr.read()
        assert first.wait() == 143
    assert second.returncode == 1
    busy = f"models/model/seed0 is being trained by process {first.pid} on "
    assert busy in second.stderr
    assert len(second.stderr.splitlines()) == 1
    stopped = re.fullmatch(
        r"train: stopped by SIGTERM after epoch (\d+) of 12; the next `dvc repro` resumes there\n",
        error,
    )
    assert stopped
    assert f"resuming after epoch {stopped[1]} of 12" in workspace.finish(folder)
    assert differences(outcome(folder), expected) == []


def test_a_loss_that_becomes_nan_keeps_the_last_good_state(
    undisturbed: tuple[Path, Outcome],
) -> None:
    folder, _ = undisturbed
    params = folder / "params.yaml"
    before = params.read_text()
    diverging = {
        "recipes.original.optimizer": "sgd",
        "recipes.original.drops": [{"epoch": 2, "factor": 1e30}],
    }
    try:
        set_params(params, diverging)
        done = subprocess.run(
            TRAIN,
            cwd=folder,
            env=workspace.env(folder),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        params.write_text(before)
    assert done.returncode == 1
    assert re.fullmatch(
        r"train: (loss|weights) .* epoch 3, at a learning rate of 1e\+27: lower learning_rate\n",
        done.stderr,
    ), done.stderr
    assert not (folder / MODEL).exists()
    states = {path.name.split("-")[0] for path in (folder / STATES).glob("*/epoch*")}
    assert states == {"epoch1", "epoch2"}


def test_the_page_has_the_recorded_results() -> None:
    result = read_json(ROOT / "faults" / "results.json")
    assert (ROOT / "faults" / "README.md").read_text(encoding="utf-8") == tables.page(result)
    kills, jax, inputs = (len(result[part]["records"]) for part in ("kills", "jax", "inputs"))
    assert kills >= 30
    page = " ".join((ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").split())
    assert f"{kills} kills of trainings and of dvc, {jax} more on JAX" in page
    assert f"and {inputs} bad inputs and I/O failures" in page
    assert problems(result) == []


def test_case_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_problems_are_counted_and_shown() -> None:
    kill = {
        "what": "`python -m stages.train`",
        "moment": "during an epoch",
        "epoch": 3,
        "epochs_lost": 1,
        "differences": [],
    }
    place = {"device": "some CPU", "versions": {"keras": "3"}, "seconds": 60, "seed": 7}
    refused = {
        "case": "a|b",
        "command": "python -m stages.train",
        "status": 1,
        "message": "train: `a|b`",
        "problems": [],
    }
    skipped = {"case": "c", "command": "d", "skipped": "e"}
    different = {**kill, "differences": ["last/weights", "history"]}
    failed = {**refused, "problems": ["lost: metrics/x"]}
    result = {
        "kills": {**place, "records": [kill, different]},
        "inputs": {**place, "records": [refused, failed, skipped]},
    }
    page = re.sub(" +", " ", tables.page(result))
    assert "| SIGKILL of `python -m stages.train`, during an epoch | 2 | 1 |" in page
    assert "| **bad inputs and I/O failures** | **2** | **1** |" in page
    assert "| a\\|b | `python -m stages.train` | `` train: `a\\|b` `` |" in page
    assert "**problem: lost: metrics/x**" in page
    assert "not tried: e" in page
    assert "No kill lost more than 1 epoch already printed" in page
    assert problems(result) == [
        "`python -m stages.train`, killed during an epoch: last/weights, history",
        "a|b: lost: metrics/x",
    ]


def test_a_partial_result_of_an_earlier_kill_does_not_count(tmp_path: Path) -> None:
    """It stays until the next one is written; the second kill then hits something else."""
    starting: Any = SimpleNamespace(epoch=0, device_found=False)  # a process of faults.process
    partial = (tmp_path / MODEL).with_name(f".{MODEL.name}.partial")
    partial.mkdir(parents=True)
    left = kills.partial_result(tmp_path)
    assert kills.moment_hit(tmp_path, starting, left) == "while starting"
    while kills.partial_result(tmp_path) == left:  # by a clock of milliseconds
        (partial / "last.keras").touch()
        (partial / "last.keras").unlink()
    assert kills.moment_hit(tmp_path, starting, left) == "while writing the result"
    partial.rmdir()
    assert kills.moment_hit(tmp_path, starting, left) == "while starting"


def test_a_kill_may_cost_one_epoch() -> None:
    assert kills.judged({"epochs_lost": 1}, [])["differences"] == []
    assert kills.judged({"epochs_lost": 2}, ["history"])["differences"] == [
        "history",
        "2 epochs lost",
    ]


def test_a_changed_a_lost_and_a_new_file_are_found(tmp_path: Path) -> None:
    for name in ("same", "changed", "lost"):
        (tmp_path / name).write_text(name)
    before = inputs.hashes(tmp_path)
    (tmp_path / "changed").write_text("other")
    (tmp_path / "lost").unlink()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".half.partial").touch()
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "ignored").touch()
    found = inputs.changes(before, inputs.hashes(tmp_path))
    assert found == ["changed: changed", "new: folder/.half.partial", "lost: lost"]
    case = Case("some", nothing, new_files="folder/[^.]*", location="here")
    assert inputs.judge(case, 0, "a\nTraceback", "", found) == [
        "status 0",
        "2 lines",
        "does not name here",
        "a traceback",
        *found,
    ]
    assert inputs.judge(case, 1, "it is here", "", ["new: folder/state"]) == []


def test_a_command_that_must_warn_is_judged_by_its_output() -> None:
    case = Case("some", nothing, output="warning: .*damaged")
    assert inputs.judge(case, 0, "", "a\nwarning: x is damaged\nb", ["changed: x"]) == []
    assert inputs.judge(case, 1, "", "warning", []) == ["status 1", "no such line"]


def test_only_times_are_ignored_in_a_comparison() -> None:
    start = {"epoch": 1, "changes": []}
    record = {"epochs": 3, "total_seconds": 1.0, "starts": [start], "identity": {"seed": 0}}
    resumed = {**record, "total_seconds": 2.0, "starts": [start, {**start, "epoch": 2}]}
    assert without_times([record]) == without_times([resumed])
    other = {"key": "device.name", "before": "a", "after": "b"}
    changed = {**record, "starts": [start, {"epoch": 2, "changes": [other]}]}
    assert without_times(record) != without_times(changed)
    assert without_times(record) != without_times({**record, "identity": {"seed": 1}})
    history = "epoch,loss,seconds,val_loss\n1,0.5,3.25,0.75\n"
    assert without_seconds(history) == "epoch,loss,val_loss\n1,0.5,0.75\n"
