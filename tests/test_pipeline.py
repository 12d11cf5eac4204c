"""The pipeline under a real dvc, on small synthetic data: what runs, and what does not."""

import ast
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from resnet.files import read_json, sha256, write_json
from scripts.demo import copy_checkout, environment, set_params
from scripts.verify import agree
from tests.conftest import ROOT
from tests.support.connections import heard, listening

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
AUTHOR = {
    f"GIT_{who}_{what}": "tests@localhost"
    for who in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}


def run(
    checkout: Path, *command: str, ok: bool = True, more: Mapping[str, str] | None = None
) -> str:
    """What the command prints, both streams; it must end as `ok` says, with `more` in its environment."""
    env = {**environment(checkout), **AUTHOR, **(more or {})}
    done = subprocess.run(
        command,
        cwd=checkout,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == ok, done.stdout
    return done.stdout


def stages(printed: str) -> list[str]:
    return re.findall(r"^Running stage '(.*)':", printed, re.MULTILINE)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A checkout after its first `dvc repro`, committed, and what that printed; never changed by a test."""
    checkout = tmp_path_factory.mktemp("first") / "a checkout"  # with a space
    copy_checkout(checkout, SMALL)
    printed = run(checkout, "dvc", "repro", more=listening(checkout.parent / "connections"))
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
    for name, network in (("model", "ResNet8v1"), ("ResNet11v2", "ResNet11v2")):
        metrics = read_json(checkout / "metrics" / "runs" / f"{name}.json")
        assert (metrics["network"], metrics["data"], metrics["n"], metrics["images"]) == (
            network,
            "synthetic",
            1,
            50,
        )
        digits = (checkout / "metrics" / "predictions" / f"{name}.txt").read_text()
        assert re.fullmatch(r"[01]{50}\n", digits)
        assert digits.count("0") == metrics["errors"]
        assert metrics["accuracy"] == pytest.approx(2 * digits.count("1"))
        confusion = (
            (checkout / "metrics" / "plots" / "confusion" / f"{name}.csv").read_text().splitlines()
        )
        assert sum(int(row.split(",")[2]) for row in confusion[1:]) == 50
        history = (
            (checkout / "metrics" / "plots" / "history" / name / "seed0.csv")
            .read_text()
            .splitlines()
        )
        assert history[0] == "epoch,learning_rate,loss,accuracy,seconds"
        assert len(history) == 2
    page = (checkout / "metrics" / "README.md").read_text(encoding="utf-8")
    assert page.index("Synthetic data") < page.index("| model")
    assert not run(checkout, "git", "status", "--porcelain")
    assert (
        checkout / "data" / "arrays" / "train" / "images.npy"
    ).stat().st_nlink == 2  # in DVC's cache by a link, not a copy


def test_nothing_connects_to_anything(first: tuple[Path, str], warm: Path) -> None:
    """fetch alone does, and not for synthetic data; test_fetch.py has it heard."""
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
    assert read_json(warm / "metrics" / "runs" / "model.json")["network"] == "ResNet14v1"
    assert run(warm, "dvc", "params", "diff", "--md").splitlines()[2].replace("|", " ").split() == [
        "params.yaml",
        "model.n",
        "1",
        "2",
    ]
    rows = run(warm, "dvc", "metrics", "diff", "--md").splitlines()[2:]
    assert {row.split("|")[1].strip() for row in rows if row} == {"metrics/runs/model.json"}


def test_another_variant_trains_alone(warm: Path) -> None:
    printed = run(warm, "dvc", "exp", "run", "-S", "variants=[model,ResNet11v2,ResNet8v1]")
    assert stages(printed) == ["train@ResNet8v1-0", "evaluate@ResNet8v1", "report"]
    same = [
        read_json(warm / "metrics" / "runs" / f"{name}.json")["accuracy"]
        for name in ("model", "ResNet8v1")
    ]
    assert same[0] == same[1]  # the same network, seed and recipe


def test_another_seed_trains_alone(warm: Path) -> None:
    printed = run(warm, "dvc", "exp", "run", "-S", "variants=[model]", "-S", "seeds=[0,1]")
    assert stages(printed) == ["train@model-1", "evaluate@model", "report"]
    metrics = read_json(warm / "metrics" / "runs" / "model.json")
    assert metrics["n"] == 2
    assert [one["seed"] for one in metrics["runs"]] == [0, 1]
    assert "metrics/runs/ResNet11v2.json (not among variants)" in printed


def test_the_originals_hold_out_depends_on_the_test_images_and_is_marked(warm: Path) -> None:
    def deps() -> set[str]:
        lock = yaml.safe_load((warm / "dvc.lock").read_text(encoding="utf-8"))
        return {dep["path"] for dep in lock["stages"]["train@model-0"]["deps"]}

    assert "data/arrays/test" not in deps()
    changes = ("variants=[model]", "train.holdout.split=test", "train.holdout.fraction=1")
    printed = run(
        warm, "dvc", "exp", "run", *(part for change in changes for part in ("-S", change))
    )
    assert stages(printed) == ["train@model-0", "evaluate@model", "report"]
    assert "data/arrays/test" in deps()
    assert {path.name for path in (warm / "models" / "model" / "seed0").iterdir()} == {
        "best.keras",
        "last.keras",
        "history.csv",
        "training.json",
    }
    assert read_json(warm / "metrics" / "runs" / "model.json")["holdout"] == "test"
    assert "(n=1) †" in (warm / "metrics" / "README.md").read_text(encoding="utf-8")


def test_fresh_clone_trains_the_one_model_that_is_asked_for(
    first: tuple[Path, str], tmp_path: Path
) -> None:
    """It has the figures but neither models nor cache; this is what README.md tells its reader to type."""
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", str(first[0]), str(clone))
    printed = run(clone, "dvc", "exp", "run", "-S", "model.n=2", "evaluate@model")
    assert stages(printed) == ["fetch", "preprocess", "train@model-0", "evaluate@model"]
    assert stages(run(clone, "dvc", "repro", "-s", "report")) == ["report"]
    page = (clone / "metrics" / "README.md").read_text(encoding="utf-8")
    assert "ResNet14v1" in page
    assert re.search(
        r"\| ResNet11v2 +\| ResNet11v2", page
    )  # the committed figures of the other stay


def test_wrong_parameter_stops_before_any_work_and_loses_nothing(warm: Path) -> None:
    before = {path: path.read_bytes() for path in (warm / "metrics").rglob("*.*")}
    set_by = yaml.safe_load((warm / "params.yaml").read_text())
    set_by["model"]["n"] = -1
    (warm / "params.yaml").write_text(yaml.safe_dump(set_by))
    printed = run(warm, "dvc", "repro", ok=False)
    assert "train: params.yaml: model.n is -1: must be greater than or equal to 1" in printed
    assert "Traceback" not in printed
    assert {path: path.read_bytes() for path in (warm / "metrics").rglob("*.*")} == before


# --- dvc.yaml and the imports


def modules(path: Path) -> set[str]:
    """The project's modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    files = {name.replace(".", "/") + ".py" for name in found}
    return {name for name in files if (ROOT / name).is_file()}


def closure(path: str) -> set[str]:
    seen, todo = set(), {path}
    while todo:
        name = todo.pop()
        seen.add(name)
        todo |= modules(ROOT / name) - seen
    return seen


@pytest.mark.parametrize("stage", ["fetch", "preprocess", "train", "evaluate", "report"])
def test_deps_are_the_modules_a_stage_imports(stage: str) -> None:
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage][
        "deps"
    ]
    code = [dep for dep in declared if dep.endswith(".py")]
    assert sorted(code) == sorted(closure(f"stages/{stage}.py"))


@pytest.mark.parametrize("path", sorted(ROOT.glob("[!.]*/**/__init__.py")), ids=str)
def test_a_folders_init_says_what_is_in_it_and_holds_no_code(path: Path) -> None:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    assert all(isinstance(node, ast.Expr) for node in body)
    assert len(body) <= 1


def test_every_stage_is_in_the_pipeline() -> None:
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert {path.stem for path in (ROOT / "stages").glob("[!_]*.py")} == set(declared)


# --- what a stage says when it cannot work


@pytest.fixture
def loose(warm: Path) -> Callable[..., str]:
    """Run a stage in the warm checkout by hand; it must fail with one line."""

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
    assert "usage: python -m stages.train VARIANT SEED" in loose("stages.train", "model")
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
    if not os.environ.get("CUDA_VISIBLE_DEVICES"):
        assert "REQUIRE_GPU is 1, but no GPU was found" in loose(
            "stages.train", "model", "0", REQUIRE_GPU="1", CUDA_VISIBLE_DEVICES="-1"
        )
    shutil.rmtree(warm / "data" / "arrays" / "train")
    assert "images.npy: no such file; run `dvc repro preprocess`" in loose(
        "stages.train", "model", "0"
    )
    assert (warm / "models" / "model" / "seed0" / "last.keras").exists()


def test_verify_compares_every_figure_with_what_the_checkpoints_score(
    loose: Any, warm: Path
) -> None:
    printed = run(warm, "python", "-m", "scripts.verify")
    assert (
        "model: 8 figures compared, 0 wrong\n" in printed
    )  # 3 of the run, 4 over the runs, the digits
    assert "16 figures checked: metrics/ holds what the checkpoints score\n" in printed

    path, code = (
        warm / "metrics" / "runs" / "model.json",
        warm / "resnet" / "training" / "schedule.py",
    )
    told = read_json(path)
    write_json(path, {**told, "loss": told["loss"] + 1e-9})
    code.write_text(code.read_text() + "\n")
    digits = warm / "metrics" / "predictions" / "model.txt"
    answers = digits.read_text()
    digits.write_text(("0" if answers[0] == "1" else "1") + answers[1:])
    done = subprocess.run(
        ["python", "-m", "scripts.verify"],
        cwd=warm,
        env=environment(warm),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert (
        "models/model/seed0: trained by other code than lies here: resnet/training/schedule.py"
        in lines
    )
    assert any(line.startswith("metrics/runs/model.json: loss is ") for line in lines)
    assert (
        "metrics/predictions/model.txt: seed 0: 1 of 50 images are not as the checkpoint answers"
        in lines
    )
    assert lines[-1].startswith("verify: 4 wrong, of 16 figures; ")

    write_json(path, told)
    digits.write_text(answers)
    set_params(warm / "params.yaml", {"variants": ["model"], "model.learning_rate": 0.5})
    code.write_text(code.read_text()[:-1])
    printed = run(warm, "python", "-m", "scripts.verify", ok=False)
    assert (
        "models/model/seed0: trained with other parameters than params.yaml has for model\nverify: 1 wrong, of 8 figures"
        in printed
    )

    shutil.rmtree(warm / "models")
    assert "verify: nothing to verify: no listed variant has both" in loose("scripts.verify")


@pytest.mark.parametrize(
    ("figure", "apart", "near"),
    [
        ("errors", 2, True),
        ("errors", 3, False),
        ("loss", 9e-5, True),
        ("loss", 2e-4, False),
        ("accuracy", 0.03, False),
    ],
)
def test_elsewhere_two_errors_and_a_little_loss_are_allowed(
    figure: str, apart: float, near: bool
) -> None:
    assert agree(figure, 90.0, 90.0 + apart, 10_000, exact=False) == near
    assert not agree(figure, 90.0, 90.0 + apart, 10_000, exact=True)


def put(path: Path, content: bytes) -> None:
    """Write a file anew, never through what is a link into DVC's cache, perhaps."""
    path.unlink()
    path.write_bytes(content)


def test_evaluate_refuses(loose: Any, warm: Path) -> None:
    before = (warm / "metrics" / "runs" / "model.json").read_bytes()
    folder = warm / "models" / "model" / "seed0"
    checkpoint = folder / "last.keras"
    about, history = read_json(folder / "training.json"), (folder / "history.csv").read_text()

    def refusal(changed: dict[str, Any]) -> str:
        put(folder / "training.json", json.dumps({**about, **changed}).encode())
        return str(loose("stages.evaluate", "model"))

    assert "seed0 holds ResNet11v2 with seed 0; run `dvc repro evaluate@model`" in refusal(
        {"variant": "ResNet11v2"}
    )
    assert "seed0 holds model with seed 1; run" in refusal({"seed": 1})
    assert "seed0 was trained on other data than data/arrays/test holds" in refusal(
        {"pixel_mean_sha256": "0" * 64}
    )
    put(folder / "history.csv", history.replace("0,0.001", "0,fast").encode())
    assert "history.csv, line 2: must be epoch 0 and" in refusal({})
    put(folder / "history.csv", history.encode())
    put(folder / "training.json", b"{}")
    assert "training.json: variant: missing; train this seed anew" in loose(
        "stages.evaluate", "model"
    )
    other = warm / "models" / "ResNet11v2" / "seed0" / "last.keras"
    put(checkpoint, other.read_bytes())
    assert (
        "last.keras: damaged, or another's: its SHA-256 is not the one in training.json"
        in refusal({})
    )
    put(checkpoint, b"PK not a zip")
    assert "last.keras: not a whole Keras checkpoint" in refusal(
        {"sha256": {"last.keras": sha256(checkpoint)}}
    )
    checkpoint.unlink()
    assert "last.keras: no such file; run `dvc checkout models/model/seed0`" in refusal({})
    shutil.rmtree(folder)
    assert (
        "models/model/seed0: no trained model for this seed; run `dvc repro train@model-0`"
        in loose("stages.evaluate", "model")
    )
    assert (warm / "metrics" / "runs" / "model.json").read_bytes() == before


def test_a_users_keras_json_is_not_obeyed(warm: Path) -> None:
    (warm / "keras.json").write_text(
        '{"floatx": "float64", "backend": "torch", "image_data_format": "channels_first", "epsilon": 0.1}'
    )
    printed = run(warm, "env", f"KERAS_HOME={warm}", "python", "-m", "stages.evaluate", "model")
    assert "errors on 50 test images" in printed
    assert not run(warm, "git", "diff", "--stat", "metrics/predictions")


MAKE_HOSTILE = """\
import json, os, sys, zipfile
from resnet import backend
backend.start()
import keras

def other(old, new):  # the same checkpoint with another configuration
    with zipfile.ZipFile(old) as read, zipfile.ZipFile(new, "w") as write:
        for name in read.namelist():
            data = read.read(name)
            if name == "config.json":
                config = json.loads(data)
                layer = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Lambda")
                layer.update(module="os", class_name="system", config="touch harm", registered_name=None)
                data = json.dumps(config)
            write.writestr(name, data)

images = keras.Input((32, 32, 3))
scores = keras.layers.Dense(10, activation="softmax")(keras.layers.Lambda(lambda x: (open("harm", "w"), x[:, 0, 0, :])[1])(images))
keras.Model(images, scores).save("lambda.keras")
other("lambda.keras", "system.keras")
os.remove("harm")
keras.models.load_model("lambda.keras", compile=False, safe_mode=False)
assert os.path.exists("harm"), "the attack is none"
os.remove("harm")
"""


def test_a_checkpoint_is_never_run_as_code(warm: Path) -> None:
    """The same file harms where Keras is told to trust it."""
    run(warm, "python", "-c", MAKE_HOSTILE)
    for name in ("lambda", "system"):
        checkpoint = warm / "models" / "model" / "seed0" / "last.keras"
        checkpoint.unlink()
        shutil.copy(warm / f"{name}.keras", checkpoint)
        before = (warm / "metrics" / "runs" / "model.json").read_bytes()
        printed = run(warm, "python", "-m", "stages.evaluate", "model", ok=False)
        assert re.fullmatch(r"evaluate: models/model/seed0/last\.keras: [^\n]+\n", printed)
        assert not (warm / "harm").exists()
        assert (warm / "metrics" / "runs" / "model.json").read_bytes() == before
