"""The pipeline under a real dvc on small synthetic images: which stages run, and their errors."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from resnet.files import read_json
from scripts.checkout import copy_checkout, environment, set_params
from tests.support.checkout import run, stages
from tests.support.connections import heard, listening
from tests.support.pages import commands

SMALL = {
    "data.source": "synthetic",
    "data.synthetic": {"train_images": 200, "test_images": 50, "seed": 0},
    "variants": ["model", "ResNet11v2"],
    "seeds": [0],
    "model.n": 1,
    "ResNet11v2": {"version": 2, "n": 1},
    "ResNet8v1": {"version": 1, "n": 1},
    "recipes.original.epochs": 1,
}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A committed checkout after `dvc repro`, and what that printed. No test changes it."""
    checkout = tmp_path_factory.mktemp("first") / "a checkout"  # with a space
    copy_checkout(checkout, SMALL)
    more = {**listening(checkout.parent / "connections"), "PYTHONSAFEPATH": "1"}
    printed = run(checkout, "dvc", "repro", more=more)
    run(checkout, "git", "add", ".")
    run(checkout, "git", "commit", "--quiet", "-m", "first")
    return checkout, printed


@pytest.fixture
def warm(first: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of that checkout with its cache and models."""
    return Path(shutil.copytree(first[0], tmp_path / "warm", symlinks=True))


def test_repro_runs_every_stage_and_writes_every_result(first: tuple[Path, str]) -> None:
    checkout, printed = first
    trained = ["train@model-0", "train@ResNet11v2-0"]
    assert stages(printed) == [
        "fetch",
        "preprocess",
        *trained,
        "evaluate@model",
        "evaluate@ResNet11v2",
        "report",
    ]
    said = [line for line in printed.splitlines() if line.startswith(("up to", "training "))]
    assert said == [
        "up to 2 trainings to run",  # on CIFAR-10, with the hours that they take
        "training 1 of up to 2: model, seed 0",
        "training 2 of up to 2: ResNet11v2, seed 0",
    ]
    folder = checkout / "metrics"
    for name, n in (("model", 1), ("ResNet11v2", 1)):
        metrics = read_json(folder / "runs" / f"{name}.json")
        (recorded,) = read_json(folder / "provenance" / f"{name}.json")["runs"]
        assert recorded["training"]["identity"]["parameters"]["source"] == "synthetic"
        assert recorded["training"]["identity"]["parameters"]["network"]["n"] == n
        assert recorded["training"]["parameter_count"] == metrics["parameters"]
        digits = (folder / "predictions" / f"{name}.txt").read_text()
        assert re.fullmatch(r"[01]{50}\n", digits)
        assert digits.count("0") == recorded["evaluation"]["errors"]
        assert metrics["accuracy"] == pytest.approx(2 * digits.count("1"))
        confusion = (folder / "plots" / "confusion" / f"{name}.csv").read_text().splitlines()
        assert sum(int(row.split(",")[2]) for row in confusion[1:]) == 50
        history = (folder / "plots" / "history" / name / "seed0.csv").read_text()
        assert len(history.splitlines()) == 2
        assert history == (checkout / "models" / name / "seed0" / "history.csv").read_text()
    page = (checkout / "metrics" / "README.md").read_text(encoding="utf-8")
    assert page.index("Synthetic data") < page.index("| model")
    assert not run(checkout, "git", "status", "--porcelain")
    assert (
        checkout / "data" / "arrays" / "train" / "images.npy"
    ).stat().st_nlink == 2  # in DVC's cache by a link, not a copy


def test_synthetic_data_needs_no_network(first: tuple[Path, str], warm: Path) -> None:
    """Only fetch uses the network; tests/stages/test_fetch.py shows that the hook detects it."""
    folder = first[0].parent / "connections"
    run(warm, "python", "-m", "scripts.review", "HEAD", more=listening(folder))
    run(warm, "python", "-m", "scripts.plots", more=listening(folder))
    events = heard(folder)
    assert not [event for event in events if event.kind != "starts"]
    started = "\n".join(event.command for event in events)
    scripts = [
        f"stages.{stage}" for stage in ("fetch", "preprocess", "train", "evaluate", "report")
    ]
    for name in (*scripts, "scripts.review", "scripts.plots", "dvc repro"):
        assert name in started


def test_dvc_sends_nothing_about_its_user(tmp_path: Path) -> None:
    copy_checkout(tmp_path, {})
    ask = ("python", "-c", "from dvc import analytics; print(analytics.is_enabled())")
    assert (
        run(tmp_path, *ask, more={"DVC_NO_ANALYTICS": ""}) == "False\n"
    )  # .dvc/config alone says so
    (tmp_path / ".dvc" / "config").write_text("[core]\n    analytics = true\n")
    assert run(tmp_path, *ask, more={"DVC_NO_ANALYTICS": ""}) == "True\n"


def test_nothing_to_do(warm: Path) -> None:
    printed = run(warm, "dvc", "repro")
    assert stages(printed) == []
    assert "up to date" in printed


def test_exp_run_trains_the_model_under_study_alone(warm: Path) -> None:
    printed = run(warm, "dvc", "exp", "run", "-S", "model.n=2")
    assert stages(printed) == ["train@model-0", "evaluate@model", "report"]
    assert "ResNet14v1, 176,554 parameters" in printed
    assert "training 1 of" not in printed
    assert read_json(warm / "metrics" / "runs" / "model.json")["parameters"] == 176_554
    assert run(warm, "dvc", "params", "diff", "--md").splitlines()[2].replace("|", " ").split() == [
        "params.yaml",
        "model.n",
        "1",
        "2",
    ]
    rows = run(warm, "dvc", "metrics", "diff", "--md").splitlines()[2:]
    assert {row.split("|")[1].strip() for row in rows if row} == {"metrics/runs/model.json"}


def test_an_experiment_in_a_temporary_copy_counts_its_trainings(warm: Path) -> None:
    changes = ("-S", "variants=[model]", "-S", "seeds=[0,1,2]")
    printed = run(warm, "dvc", "exp", "run", "--temp", *changes)
    assert "up to 2 trainings to run" in printed  # seed 0 is in the cache
    assert "training 2 of up to 2: model, seed 2" in printed


def test_another_variant_trains_alone(warm: Path) -> None:
    printed = run(warm, "dvc", "exp", "run", "-S", "variants=[model,ResNet11v2,ResNet8v1]")
    assert stages(printed) == ["train@ResNet8v1-0", "evaluate@ResNet8v1", "report"]
    same = [
        read_json(warm / "metrics" / "runs" / f"{name}.json")["accuracy"]
        for name in ("model", "ResNet8v1")
    ]
    assert same[0] == same[1]  # the same network, seed and recipe


def test_another_seed_trains_alone_and_can_be_undone(warm: Path) -> None:
    """By the commands in README.md, also where the new files are staged."""
    printed = run(warm, "dvc", "exp", "run", "-S", "variants=[model]", "-S", "seeds=[0,1]")
    assert stages(printed) == ["train@model-1", "evaluate@model", "report"]
    metrics = read_json(warm / "metrics" / "runs" / "model.json")
    assert metrics["seeds"] == 2
    runs = read_json(warm / "metrics" / "provenance" / "model.json")["runs"]
    assert [each["training"]["identity"]["seed"] for each in runs] == [0, 1]
    assert re.search(
        r"^ResNet11v2 +ResNet11v2 +1 +.* \(1 seed\)  ", printed, re.MULTILINE
    )  # unlisted
    run(warm, "git", "add", "params.yaml", "metrics")
    pages_commands = commands("README.md")
    start = pages_commands.index("git restore --staged --worktree params.yaml dvc.lock metrics")
    for command in pages_commands[start : start + 3]:
        run(warm, *command.split())
    assert not run(warm, "git", "status", "--porcelain", "params.yaml", "dvc.lock", "metrics")
    assert not (warm / "models" / "model" / "seed1").exists()
    assert stages(run(warm, "dvc", "repro")) == []


def experiment(checkout: Path, *changes: str) -> set[str]:
    """The deps of the training in an experiment, which runs that training and what follows it."""
    printed = run(
        checkout, "dvc", "exp", "run", *(part for each in changes for part in ("-S", each))
    )
    assert stages(printed) == ["train@model-0", "evaluate@model", "report"]
    lock = yaml.safe_load((checkout / "dvc.lock").read_text(encoding="utf-8"))
    return {dep["path"] for dep in lock["stages"]["train@model-0"]["deps"]}


def test_the_test_images_are_a_dependency_only_where_they_are_read(warm: Path) -> None:
    page, model = warm / "metrics" / "README.md", warm / "models" / "model" / "seed0"
    assert re.search(r"\(1 seed\) +\| +\d+\.\d\d \|", page.read_text(encoding="utf-8"))
    deps = experiment(warm, "variants=[model]", "train.watch=none")
    assert "data/arrays/none" in deps
    assert "data/arrays/test" not in deps
    assert re.search(r"\(1 seed\) +\| +– \|", page.read_text(encoding="utf-8"))
    assert "test" not in (model / "history.csv").read_text().splitlines()[0]

    deps = experiment(warm, "train.holdout.split=test", "train.holdout.fraction=1")
    assert "data/arrays/test" in deps
    names = {path.name for path in model.iterdir()}
    files = {"history.csv", "pixel_mean.npy", "training.json"}
    assert names == {"best.keras", "last.keras", *files}
    assert "(1 seed) †" in page.read_text(encoding="utf-8")


OPENED = """\
import os, sys
paths = []
sys.addaudithook(lambda event, args: event == "open" and paths.append(str(args[0])))
sys.argv = ["train", "model", "0"]
import runpy
runpy.run_module("stages.train", run_name="__main__", alter_sys=True)
print(*(path for path in paths if "data/arrays" in path), sep="\\n")
"""


@pytest.mark.parametrize("watch", ["none", "test"])
def test_a_training_that_does_not_watch_opens_no_test_array(warm: Path, watch: str) -> None:
    set_params(warm / "params.yaml", {"train.watch": watch})
    shutil.rmtree(warm / "models")
    opened = run(warm, "python", "-c", OPENED)
    assert "data/arrays/train/images.npy" in opened
    assert ("data/arrays/test" in opened) == (watch == "test")


def test_wrong_parameter_stops_before_any_work_and_loses_nothing(warm: Path) -> None:
    before = {path: path.read_bytes() for path in (warm / "metrics").rglob("*.*")}
    set_by = yaml.safe_load((warm / "params.yaml").read_text())
    set_by["model"]["n"] = -1
    (warm / "params.yaml").write_text(yaml.safe_dump(set_by))
    printed = run(warm, "dvc", "repro", ok=False)
    assert "train: params.yaml: model.n is -1: must be greater than or equal to 1" in printed
    assert "Traceback" not in printed
    assert {path: path.read_bytes() for path in (warm / "metrics").rglob("*.*")} == before


# --- what a stage says when it cannot work


@pytest.fixture
def loose(warm: Path) -> Callable[..., str]:
    """Run a stage in the warm checkout without dvc; it must fail and print one line."""

    def stage(*command: str, **env: str) -> str:
        done = subprocess.run(
            ["python", "-m", *command],
            cwd=warm,
            env={**environment(warm), **env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1, done.stderr
        return done.stderr

    return stage


def test_train_refuses(loose: Any, warm: Path) -> None:
    assert "'ResNet20v1' is not among variants of params.yaml: model, ResNet11v2" in loose(
        "stages.train", "ResNet20v1", "0"
    )
    assert "7 is not among seeds of params.yaml: 0" in loose("stages.train", "model", "7")
    assert "KERAS_BACKEND is 'torch': must be tensorflow or jax" in loose(
        "stages.train", "model", "0", KERAS_BACKEND="torch"
    )
    assert "STEPS_PER_CALL is 'ten': must be a whole number, at least 1" in loose(
        "stages.train", "model", "0", STEPS_PER_CALL="ten"
    )
    assert "IMAGES_ON_DEVICE is 'no': must be 0 or 1" in loose(
        "stages.train", "model", "0", IMAGES_ON_DEVICE="no"
    )
    assert "GPU is '2': must be 0 or 1" in loose("stages.train", "model", "0", GPU="2")
    assert "OTHER_STATE is 'yes': must be resume or ignore" in loose(
        "stages.train", "model", "0", OTHER_STATE="yes"
    )
    shutil.rmtree(warm / "data" / "arrays" / "train")
    assert "images.npy: no such file; run `dvc repro preprocess`" in loose(
        "stages.train", "model", "0"
    )
    assert (warm / "models" / "model" / "seed0" / "last.keras").exists()


def test_verify_compares_the_results_with_what_the_checkpoints_score(
    loose: Callable[..., str], warm: Path
) -> None:
    printed = run(warm, "python", "-m", "scripts.verify")
    assert "verified: model, ResNet11v2: metrics/ contains what the checkpoints score\n" in printed

    code = warm / "resnet" / "training" / "schedule.py"
    code.write_text(code.read_text() + "\n")
    provenance = warm / "metrics" / "provenance" / "model.json"
    recorded = provenance.read_text()
    record = json.loads(recorded)
    record["runs"][0]["evaluation"]["loss"] += 1e-5
    record["runs"][0]["training"]["total_seconds"] += 1
    provenance.write_text(json.dumps(record))
    metrics = warm / "metrics" / "runs" / "model.json"
    summary = metrics.read_text()
    loss = record["runs"][0]["evaluation"]["loss"]
    metrics.write_text(json.dumps({**json.loads(summary), "loss": loss}))
    digits = warm / "metrics" / "predictions" / "model.txt"
    answers = digits.read_text()
    digits.write_text(answers.strip()[::-1] + "\n")  # as many errors, on other images
    printed = run(warm, "python", "-m", "scripts.verify", ok=False)
    folder = "models/model/seed0"
    assert f"{folder}: trained with different code: resnet/training/schedule.py\n" in printed
    where = "metrics/provenance/model.json: seed 0: "
    assert f"{where}not from {folder}/training.json\n" in printed
    assert f"{where}loss is {loss}, but the checkpoint scores " in printed
    assert "metrics/predictions/model.txt: seed 0: " in printed
    assert "verify: 5 mismatches; `dvc repro` updates " in printed  # the code is of two variants

    for path, text in ((provenance, recorded), (metrics, summary), (digits, answers)):
        path.write_text(text)
    set_params(warm / "params.yaml", {"variants": ["model"], "model.learning_rate": 0.5})
    code.write_text(code.read_text()[:-1])
    printed = run(warm, "python", "-m", "scripts.verify", ok=False)
    assert printed.endswith(
        f"{folder}: trained with different parameters than params.yaml has for model\n"
        "verify: 1 mismatch; `dvc repro` updates the results\n"
    )
    shutil.rmtree(warm / "models")
    assert "verify: nothing to verify: no listed variant has both" in loose("scripts.verify")


def test_evaluate_refuses(loose: Callable[..., str], warm: Path) -> None:
    """With one line, and without touching metrics/; tests/results has all the cases."""
    before = (warm / "metrics" / "runs" / "model.json").read_bytes()
    assert "'ResNet8v1' is not among variants of params.yaml: model" in loose(
        "stages.evaluate", "ResNet8v1"
    )
    folder = warm / "models" / "model" / "seed0"
    shutil.copy(warm / "models" / "ResNet11v2" / "seed0" / "last.keras", warm / "other.keras")
    (warm / "other.keras").replace(folder / "last.keras")
    assert "last.keras: damaged, or from another training" in loose("stages.evaluate", "model")
    shutil.rmtree(folder)
    message = "models/model/seed0: no trained model for this seed; run `dvc repro train@model-0`"
    assert message in loose("stages.evaluate", "model")
    assert (warm / "metrics" / "runs" / "model.json").read_bytes() == before


def test_a_users_keras_json_is_ignored(warm: Path) -> None:
    (warm / "keras.json").write_text(
        '{"floatx": "float64", "backend": "torch", "epsilon": 0.1, '
        '"image_data_format": "channels_first"}'
    )
    printed = run(warm, "env", f"KERAS_HOME={warm}", "python", "-m", "stages.evaluate", "model")
    assert "errors on 50 test images" in printed
    assert not run(warm, "git", "diff", "--stat", "metrics/predictions")
