"""Real trainings, killed and interrupted: they end with the bits of an undisturbed run."""

import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from faults import inputs, kills, pipeline, tables
from faults.__main__ import wrongs
from resnet.files import read_json
from scripts.demo import set_params
from tests.conftest import ROOT


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
    for moment in ("epoch", "state"):
        killed = kills.kill(folder, rng, moment, kills.env(folder))
        assert killed
        assert kills.lost(folder, killed.epoch) <= 1
    assert re.search(
        r"^going on after epoch \d+ of 12", printed := kills.finish(folder), re.MULTILINE
    ), printed
    assert kills.differences(kills.outcome(folder), expected) == []


def test_a_dvc_killed_before_it_recorded_the_training_gets_it_back(
    undisturbed: tuple[Path, kills.Outcome],
) -> None:
    folder, expected = undisturbed
    assert pipeline.kill(folder, random.Random(0), "recorded", "train@model-0")
    assert not pipeline.recorded(folder)
    assert "trained already, by a run that DVC did not record" in pipeline.repro(
        folder, "train@model-0"
    )
    assert pipeline.recorded(folder)
    assert kills.differences(kills.outcome(folder), expected) == []


def test_the_page_has_what_the_full_suite_found() -> None:
    result = read_json(ROOT / "faults" / "results.json")
    assert (ROOT / "faults" / "README.md").read_text(encoding="utf-8") == tables.page(result)
    kills, jax, tried = (len(result[part]["records"]) for part in ("kills", "jax", "inputs"))
    assert kills >= 30
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{kills} kills of trainings and of dvc, {jax} more on JAX" in readme
    assert f"{tried} bad inputs" in readme
    assert wrongs(result) == []


def test_what_differs_is_counted_and_told() -> None:
    kill = {
        "what": "`python -m stages.train`",
        "hit": "in its epochs",
        "epoch": 3,
        "epochs_lost": 1,
        "differ": [],
    }
    place = {"device": "some CPU", "versions": {"keras": "3"}, "seconds": 60, "seed": 7}
    refused = {
        "input": "a|b",
        "command": "python -m stages.train",
        "status": 1,
        "message": "train: `a|b`",
        "problems": [],
    }
    skipped = {"input": "c", "command": "d", "skipped": "e"}
    result = {
        "kills": {**place, "records": [kill, {**kill, "differ": ["last/weights", "history"]}]},
        "inputs": {
            **place,
            "records": [refused, {**refused, "problems": ["lost: metrics/x"]}, skipped],
        },
    }
    page = tables.page(result)
    assert "| SIGKILL of `python -m stages.train`: in its epochs | 2 | 1 |" in page
    assert "| **bad inputs and bad weather** | **2** | **1** |" in page
    assert "| a\\|b | `python -m stages.train` | `` train: `a\\|b` `` |" in page
    assert "**not as it should be: lost: metrics/x**" in page
    assert "not tried: e" in page
    assert wrongs(result) == [
        "`python -m stages.train`, killed in its epochs: last/weights, history",
        "a|b: lost: metrics/x",
    ]


def test_a_changed_a_lost_and_a_new_file_are_found(tmp_path: Path) -> None:
    for name in ("same", "changed", "lost"):
        (tmp_path / name).write_text(name)
    before = inputs.tree(tmp_path)
    (tmp_path / "changed").write_text("other")
    (tmp_path / "lost").unlink()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".half.partial").touch()
    found = inputs.changed(before, inputs.tree(tmp_path))
    assert found == ["changed: changed", "new: folder/.half.partial", "lost: lost"]
    case = inputs.Case("some", inputs.nothing, adds="folder/[^.]*", where="there")
    assert inputs.judge(case, 0, "a\nTraceback", "", found) == [
        "status 0",
        "2 lines",
        "does not say where: there",
        "a traceback",
        *found,
    ]
    assert inputs.judge(case, 1, "not there", "", ["new: folder/state"]) == []


def test_sigterm_saves_and_a_second_trainer_is_refused(
    undisturbed: tuple[Path, kills.Outcome],
) -> None:
    folder, expected = undisturbed
    env = kills.env(folder, SAVE_SECONDS="30")  # so that nothing is on disk before the signal
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(kills.COMMAND, cwd=folder, env=env, **pipes) as first:  # type: ignore[call-overload]
        while not first.stdout.readline().startswith("epoch 2/"):
            assert first.poll() is None
        first.send_signal(signal.SIGSTOP)
        second = subprocess.run(
            kills.COMMAND, cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        first.send_signal(signal.SIGTERM)
        first.send_signal(signal.SIGCONT)
        said = first.stderr.read()
        assert first.wait() == 143
    assert second.returncode == 1
    assert (
        f"models/model/seed0 is being trained already, by process {first.pid} on " in second.stderr
    )
    assert len(second.stderr.splitlines()) == 1
    assert re.fullmatch(
        r"train: stopped by SIGTERM after epoch \d+ of 12, from where the next `dvc repro` goes on\n",
        said,
    )
    start = time.monotonic()
    assert re.search(r"^going on after epoch [2-9]", kills.finish(folder), re.MULTILINE)
    about = read_json(folder / kills.FOLDER / "training.json")
    assert len(about["starts"]) == 2
    rows = (folder / kills.FOLDER / "history.csv").read_text().split()[1:]
    assert about["total_seconds"] > sum(float(row.split(",")[-1]) for row in rows)  # both starts
    assert about["total_seconds"] < time.monotonic() - start + 60
    assert kills.differences(kills.outcome(folder), expected) == []


def test_a_loss_that_turns_nan_keeps_the_last_good_state(
    undisturbed: tuple[Path, kills.Outcome],
) -> None:
    folder, _ = undisturbed
    params = folder / "params.yaml"
    before = params.read_text()
    try:
        set_params(
            params,
            {
                "recipes.original.optimizer": "sgd",
                "recipes.original.drops": [{"epoch": 2, "factor": 1e30}],
            },
        )
        done = subprocess.run(
            kills.COMMAND,
            cwd=folder,
            env=kills.env(folder),
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
    assert not (folder / kills.FOLDER).exists()
    assert {path.name.split("-")[0] for path in (folder / ".resume").glob("*/epoch*")} == {
        "epoch1",
        "epoch2",
    }
