"""The pipeline under a real dvc on small synthetic images: which stages run, and their errors.

A process that imports a framework takes seconds, so each is used for as much as it can show, and
what is not about DVC or a process of its own runs in this one.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from resnet.errors import BenchmarkError
from resnet.files import read_json
from resnet.training.pending import Name, trainings
from scripts.checkout import copy_checkout, environment, set_params
from stages import evaluate, report, train
from tests.support.checkout import AUTHOR, commit, run, stages
from tests.support.connections import heard, listening
from tests.support.pages import commands
from tests.support.results import make_results, write_results

SMALL = {
    "data.source": "synthetic",
    "data.synthetic": {"train_images": 200, "test_images": 50, "seed": 0},
    "variants": ["model"],
    "seeds": [0],
    "model.n": 1,
    "ResNet8v1": {"version": 1, "n": 1},  # the network of model, under another name
    "recipes.original.epochs": 1,
}
KERAS_JSON = (
    '{"floatx": "float64", "backend": "torch", "epsilon": 0.1, '
    '"image_data_format": "channels_first"}'
)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A committed checkout after `dvc repro`, and what that printed. No test changes it.

    The user has a keras.json that nothing must read: verify compares the results without it.
    """
    folder = tmp_path_factory.mktemp("first")
    (folder / "keras.json").write_text(KERAS_JSON)
    checkout = folder / "a checkout"  # with a space
    copy_checkout(checkout, SMALL)
    more = {"PYTHONSAFEPATH": "1", "KERAS_HOME": str(folder), **listening(folder / "connections")}
    printed = run(checkout, "dvc", "repro", more=more)
    commit(checkout)
    return checkout, printed


@pytest.fixture
def warm(first: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of that checkout with its cache and models."""
    return Path(shutil.copytree(first[0], tmp_path / "warm", symlinks=True))


def counts(printed: str) -> list[str]:
    """What is said of how many trainings there are."""
    lines = printed.splitlines()
    return [line for line in lines if re.match(r"(up to )?\d+ trainings?\b|training \d", line)]


def test_repro_runs_every_stage_and_writes_every_result(first: tuple[Path, str]) -> None:
    checkout, printed = first
    assert stages(printed) == ["fetch", "preprocess", "train@model-0", "evaluate@model", "report"]
    assert counts(printed) == ["1 training to run"]  # on CIFAR-10, with the hours that it takes
    folder = checkout / "metrics"
    metrics = read_json(folder / "runs" / "model.json")
    (recorded,) = read_json(folder / "provenance" / "model.json")["runs"]
    assert recorded["training"]["identity"]["parameters"]["source"] == "synthetic"
    assert recorded["training"]["identity"]["parameters"]["network"]["n"] == 1
    assert recorded["training"]["parameter_count"] == metrics["parameters"]
    digits = (folder / "predictions" / "model.txt").read_text()
    assert re.fullmatch(r"[01]{50}\n", digits)
    assert digits.count("0") == recorded["evaluation"]["errors"]
    assert metrics["accuracy"] == pytest.approx(2 * digits.count("1"))
    confusion = (folder / "plots" / "confusion" / "model.csv").read_text().splitlines()
    assert sum(int(row.split(",")[2]) for row in confusion[1:]) == 50
    history = (folder / "plots" / "history" / "model" / "seed0.csv").read_text()
    assert len(history.splitlines()) == 2
    assert history == (checkout / "models" / "model" / "seed0" / "history.csv").read_text()
    page = (checkout / "metrics" / "README.md").read_text(encoding="utf-8")
    assert page.index("Synthetic data") < page.index("| model")
    assert not run(checkout, "git", "status", "--porcelain")
    images = checkout / "data" / "arrays" / "train" / "images.npy"
    assert images.stat().st_nlink == 2  # in DVC's cache by a link, not a copy


def test_synthetic_data_needs_no_network(first: tuple[Path, str]) -> None:
    """Only fetch uses the network; tests/stages/test_fetch.py shows that the hook detects it."""
    events = heard(first[0].parent / "connections")
    assert not [event for event in events if event.kind != "starts"]
    started = "\n".join(event.command for event in events)
    names = [f"stages.{name}" for name in ("fetch", "preprocess", "train", "evaluate", "report")]
    for name in (*names, "dvc repro"):
        assert name in started


def experiment(checkout: Path, *arguments: str) -> str:
    """Run an experiment; returns what it prints. `arguments` are options and changes KEY=VALUE."""
    changes = [part for each in arguments for part in (["-S", each] if "=" in each else [each])]
    return run(checkout, "dvc", "exp", "run", *changes)


def undo(checkout: Path) -> None:
    """Undo an experiment by the commands of docs/experiments.md."""
    listed = commands("docs/experiments.md")
    start = listed.index("git restore --staged --worktree params.yaml dvc.lock metrics")
    for command in listed[start : start + 3]:
        run(checkout, *command.split())
    assert not run(checkout, "git", "status", "--porcelain")


def kill_experiment(checkout: Path, change: str) -> None:
    """Start an experiment, and kill it with all its processes where its training starts."""
    with subprocess.Popen(
        ["dvc", "exp", "run", "-S", change],
        cwd=checkout,
        env={**environment(checkout), **AUTHOR},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        assert any(counts(line) for line in process.stdout)
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def test_experiments_train_what_changes_and_can_be_undone(warm: Path) -> None:
    """One after another, as a user tries one idea after another."""
    # another variant and another seed, in a temporary copy; seed 0 of model is in the cache
    more = ("variants=[model,ResNet8v1]", "seeds=[0,1]")
    printed = experiment(warm, "--temp", *more, "train@model-1", "train@ResNet8v1-0")
    trained = [stage.removeprefix("train@").split("-") for stage in stages(printed)]
    assert sorted(trained) == [["ResNet8v1", "0"], ["model", "1"]]  # in the order that dvc chose
    assert counts(printed) == [
        "up to 2 trainings to run",
        f"training 1 of up to 2: {trained[0][0]}, seed {trained[0][1]}",
        f"training 2 of up to 2: {trained[1][0]}, seed {trained[1][1]}",
    ]
    assert not run(warm, "git", "status", "--porcelain")

    # what was trained there is not trained again
    printed = experiment(warm, "variants=[model,ResNet8v1]")
    assert "'train@ResNet8v1-0' is cached - skipping run" in printed
    assert stages(printed) == ["evaluate@ResNet8v1", "report"]
    runs = warm / "metrics" / "runs"
    scores = [read_json(runs / f"{name}.json")["nll"] for name in ("model", "ResNet8v1")]
    assert scores[0] == scores[1]  # the same network, seed and recipe
    commit(warm)

    # the model under study alone, with a key that its section has not
    printed = experiment(warm, "model.n=2", "++model.batch_size=50")
    assert stages(printed) == ["train@model-0", "evaluate@model", "report"]
    assert "ResNet14v1, 176,554 parameters" in printed
    assert counts(printed) == ["1 training to run"]
    assert read_json(runs / "model.json")["parameters"] == 176_554
    rows = run(warm, "dvc", "params", "diff", "--md").splitlines()[2:]
    assert [row.replace("|", " ").split() for row in rows if row] == [
        ["params.yaml", "model.batch_size", "-", "50"],
        ["params.yaml", "model.n", "1", "2"],
    ]
    rows = run(warm, "dvc", "metrics", "diff", "--md").splitlines()[2:]
    assert {row.split("|")[1].strip() for row in rows if row} == {"metrics/runs/model.json"}
    undo(warm)
    assert "ResNet14v1" not in (warm / "metrics" / "README.md").read_text(encoding="utf-8")

    # another seed, without ResNet8v1, which stays in the tables; the new files are staged
    printed = experiment(warm, "variants=[model]", "seeds=[0,1]")
    assert "'train@model-1' is cached - skipping run" in printed
    assert stages(printed) == ["evaluate@model", "report"]
    assert read_json(runs / "model.json")["seeds"] == 2
    recorded = read_json(warm / "metrics" / "provenance" / "model.json")["runs"]
    assert [each["training"]["identity"]["seed"] for each in recorded] == [0, 1]
    assert re.search(r"^ResNet8v1 +ResNet8v1 +1 +.* \(1 seed\)  ", printed, re.MULTILINE)
    run(warm, "git", "add", "params.yaml", "metrics")
    undo(warm)
    assert not (warm / "models" / "model" / "seed1").exists()

    # one that is killed, after which params.yaml is staged
    kill_experiment(warm, "++model.epochs=300")
    assert run(warm, "git", "status", "--porcelain") == "M  params.yaml\n"
    assert "+  epochs: 300" in run(warm, "git", "diff", "--staged").splitlines()
    assert not (warm / "models" / "model" / "seed0").exists()
    run(warm, "git", "restore", "params.yaml")
    assert run(warm, "git", "status", "--porcelain") == "M  params.yaml\n"  # so --staged is needed
    undo(warm)
    assert (warm / "models" / "model" / "seed0" / "last.keras").exists()

    printed = run(warm, "dvc", "repro")
    assert stages(printed) == []
    assert "up to date" in printed


def test_an_added_key_needs_plus_signs(warm: Path) -> None:
    """As docs/experiments.md says."""
    printed = run(warm, "dvc", "exp", "run", "-S", "model.epochs=3", ok=False)
    assert "To append to your config use +model.epochs=3" in printed
    assert not run(warm, "git", "status", "--porcelain")


def run_here(stage: ModuleType) -> None:
    """Run a stage of model with seed 0 in this process."""
    stage.main(argparse.Namespace(variant="model", seed=0))


def test_the_test_images_are_a_dependency_only_where_they_are_read(
    warm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dvc.repo import Repo

    def deps() -> set[str]:
        with Repo(".") as repo:
            found = {dep.def_path for dep in trainings(repo)[Name("model", 0)].deps}
        return found - {"params.yaml"}

    monkeypatch.chdir(warm)
    page, model = Path("metrics", "README.md"), Path("models", "model", "seed0")
    lock = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"]
    assert {dep["path"] for dep in lock["train@model-0"]["deps"]} == deps()
    assert "data/arrays/test" in deps()
    assert re.search(r"\(1 seed\) +\| +\d+\.\d\d \|", page.read_text(encoding="utf-8"))

    test = Path("data", "arrays", "test").rename("elsewhere")
    with pytest.raises(BenchmarkError, match=r"^data/arrays/test/\S+: no such file"):
        run_here(train)
    set_params(Path("params.yaml"), {"train.watch": "none"})
    arrays = {path for path in deps() if "arrays/" in path}
    assert arrays == {"data/arrays/train", "data/arrays/none"}
    run_here(train)
    assert "test" not in (model / "history.csv").read_text().splitlines()[0]
    test.rename(Path("data", "arrays", "test"))
    run_here(evaluate)
    run_here(report)
    assert re.search(r"\(1 seed\) +\| +– \|", page.read_text(encoding="utf-8"))

    changes = {"train.holdout.split": "test", "train.holdout.fraction": 1}
    set_params(Path("params.yaml"), changes)
    assert "data/arrays/test" in deps()
    run_here(train)
    names = {path.name for path in model.iterdir()}
    files = {"history.csv", "pixel_mean.npy", "training.json"}
    assert names == {"best.keras", "last.keras", *files}
    run_here(evaluate)
    run_here(report)
    assert "(1 seed) †" in page.read_text(encoding="utf-8")


def test_wrong_parameter_stops_before_any_work_and_loses_nothing(warm: Path) -> None:
    before = {path: path.read_bytes() for path in (warm / "metrics").rglob("*.*")}
    set_by = yaml.safe_load((warm / "params.yaml").read_text())
    set_by["model"]["n"] = -1
    (warm / "params.yaml").write_text(yaml.safe_dump(set_by))
    printed = run(warm, "dvc", "repro", ok=False)
    assert "train: params.yaml: model.n is -1: must be greater than or equal to 1" in printed
    assert "Traceback" not in printed
    assert {path: path.read_bytes() for path in (warm / "metrics").rglob("*.*")} == before


SCORES_THEN_MISMATCHES = """\
from resnet.errors import command_parser, run_stage
from scripts import verify
verify.verify = lambda *_: print("the scores") or ["a mismatch"]
run_stage(verify.main, command_parser("scripts.verify", ""))
"""


def test_verify_prints_the_scores_before_the_mismatches(warm: Path) -> None:
    """Also where both streams go to one pipe, in which Python buffers one of them."""
    code, more = SCORES_THEN_MISMATCHES, {"PYTHONUNBUFFERED": ""}
    printed = run(warm, "python", "-c", code, ok=False, more=more)
    assert printed.splitlines()[:2] == ["the scores", "a mismatch"]
    assert printed.splitlines()[2].startswith("verify: 1 mismatch; ")


def test_verify_compares_the_results_with_what_the_checkpoints_score(
    warm: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exactly, although another process scored them, for a user with a keras.json."""
    from scripts import verify

    def verified() -> str:
        """What verify prints in this process."""
        reason = ""
        try:
            verify.main(argparse.Namespace())
        except BenchmarkError as error:
            reason = f"verify: {error}\n"
        captured = capsys.readouterr()
        return captured.out + captured.err + reason

    monkeypatch.chdir(warm)
    assert verified().endswith("verified: model: metrics/ contains what the checkpoints score\n")
    set_params(warm / "params.yaml", {"variants": ["model", "ResNet32v1"]})
    write_results(warm / "metrics", make_results("ResNet32v1", seeds=2))
    unchecked = "not checked, since models/ lacks the weights: ResNet32v1, seeds 0, 1\n"
    assert verified().endswith(f"contains what the checkpoints score\n{unchecked}")
    set_params(warm / "params.yaml", {"variants": ["model"]})

    path = warm / "metrics" / "plots" / "confusion" / "model.csv"
    text = path.read_text()
    wrong = [c for line in text.splitlines()[1:] if (c := line.split(","))[0] != c[1]]
    actual, predicted, most = max(wrong, key=lambda c: int(c[2]))
    other = next(c[1] for c in wrong if c[0] == actual and c[2] == "0")
    moved = text.replace(f"{actual},{other},0\n", f"{actual},{other},{most}\n")
    path.write_text(moved.replace(f"{actual},{predicted},{most}\n", f"{actual},{predicted},0\n"))
    assert "plots/confusion/model.csv: the checkpoints have other counts\n" in verified()
    path.write_text(text)
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
    printed = verified()
    folder = "models/model/seed0"
    assert f"{folder}: trained with different code: resnet/training/schedule.py\n" in printed
    where = "metrics/provenance/model.json: seed 0: "
    assert f"{where}not from {folder}/training.json\n" in printed
    assert f"{where}loss is {loss}, but the checkpoint scores " in printed
    assert "metrics/predictions/model.txt: seed 0: " in printed
    assert "verify: 4 mismatches; `dvc repro` updates " in printed

    for path, text in ((provenance, recorded), (metrics, summary), (digits, answers)):
        path.write_text(text)
    set_params(warm / "params.yaml", {"model.learning_rate": 0.5})
    code.write_text(code.read_text()[:-1])
    *_, line, last = verified().splitlines()
    assert line == f"{folder}: trained with different parameters than params.yaml has for model"
    assert last.startswith("verify: 1 mismatch; `dvc repro` updates stale results, and `dvc repro")


# --- what a stage says when it cannot work


def refused(checkout: Path, *command: str, **env: str) -> str:
    """What a command that must fail prints, without dvc: one line."""
    printed = run(checkout, "python", "-m", *command, ok=False, more=env)
    assert len(printed.splitlines()) == 1, printed
    return printed


def test_train_refuses(warm: Path) -> None:
    """Arguments and variables that are wrong: tests/training/test_run.py."""
    assert "KERAS_BACKEND is 'torch': must be tensorflow or jax" in refused(
        warm, "stages.train", "model", "0", KERAS_BACKEND="torch"
    )
    assert "GPU is '2': must be 0 or 1" in refused(warm, "stages.train", "model", "0", GPU="2")
    shutil.rmtree(warm / "data" / "arrays" / "train")
    assert "images.npy: no such file; run `dvc repro preprocess`" in refused(
        warm, "stages.train", "model", "0"
    )
    assert (warm / "models" / "model" / "seed0" / "last.keras").exists()


def test_evaluate_and_verify_refuse(warm: Path) -> None:
    """With one line, and without touching metrics/; tests/results has all the cases."""
    before = (warm / "metrics" / "runs" / "model.json").read_bytes()
    assert "'ResNet8v1' is not among variants of params.yaml: model" in refused(
        warm, "stages.evaluate", "ResNet8v1"
    )
    folder = warm / "models" / "model" / "seed0"
    (warm / "other.keras").write_bytes((folder / "last.keras").read_bytes()[:-1])
    (warm / "other.keras").replace(folder / "last.keras")
    assert "last.keras: damaged, or from another training" in refused(
        warm, "stages.evaluate", "model"
    )
    shutil.rmtree(folder)
    message = "models/model/seed0: no trained model for this seed; run `dvc repro train@model-0`"
    assert message in refused(warm, "stages.evaluate", "model")
    assert (warm / "metrics" / "runs" / "model.json").read_bytes() == before
    shutil.rmtree(warm / "models")
    assert "verify: nothing to verify: no listed variant has both" in refused(
        warm, "scripts.verify"
    )
