"""dvc.yaml: the deps and the imports of the stages, the artifacts; and DVC's configuration."""

import ast
import shutil
from pathlib import Path

import pytest
import yaml

from resnet.files import read_json, sha256
from scripts.checkout import copy_checkout
from tests.support.checkout import ROOT, run, trained


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


NEUTRAL = {  # modules that no bit of a stage's output depends on: an edit reruns nothing
    "resnet/errors.py": "texts and exit statuses of failures; a stage that fails has no output",
    "resnet/files.py": "how values are written; no array, weight or recorded value depends on it",
    "resnet/strict_yaml.py": "test_strict_yaml.py: every value is the one that DVC's reader gives",
    "resnet/data/download.py": "every file of CIFAR-10 is checked by its SHA-256",
    "resnet/training/interrupt.py": "when a training stops; it resumes bit for bit",
    "resnet/training/messages.py": "what a training prints",
    "resnet/training/preflight.py": "what is checked and said before a training",
    "resnet/training/pending.py": "read by preflight: which trainings are not done",
    "resnet/training/cost.py": "read by preflight: how long trainings take",
}


def closure(path: str) -> set[str]:
    seen, todo = set(), {path}
    while todo:
        name = todo.pop()
        seen.add(name)
        todo |= modules(ROOT / name) - seen
    return seen


@pytest.mark.parametrize("stage", ["fetch", "preprocess", "train", "evaluate", "report"])
def test_deps_are_the_modules_a_stage_imports_less_the_neutral_ones(stage: str) -> None:
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage][
        "deps"
    ]
    code = {dep for dep in declared if dep.endswith(".py")}
    expected = closure(f"stages/{stage}.py")
    if stage == "report":  # compares the code of trainings with what their records say
        expected |= closure("stages/train.py")
        assert "metrics/same-bits.json" in declared
    assert code == expected - NEUTRAL.keys()


def test_the_artifacts_are_the_trained_variants() -> None:
    """A variant that is trained gets an entry, and one that is removed from `variants` loses it."""
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["artifacts"]
    assert sorted(declared) == sorted(trained())
    for name, artifact in declared.items():
        assert artifact["path"] == f"models/{name}"
        assert (artifact["type"], bool(artifact["desc"])) == ("model", True)


def test_dvc_gets_a_model_by_its_name(tmp_path: Path) -> None:
    """From a clone, as checkpoints/README.md shows, where a version is tagged."""
    clone, head = tmp_path / "clone", yaml.safe_load(run(ROOT, "git", "show", "HEAD:dvc.lock"))
    committed = {stage.rpartition("-")[0] for stage in head["stages"]}
    name = next(name for name in reversed(trained()) if f"train@{name}" in committed)
    run(tmp_path, "git", "clone", "--quiet", str(ROOT), str(clone))
    shutil.copy(ROOT / "dvc.yaml", clone)
    run(clone, "git", "commit", "--quiet", "--allow-empty", "--all", "-m", "a commit")
    run(clone, "git", "tag", "-a", f"{name}@v1.0.0", "-m", "a version")
    run(tmp_path, "dvc", "artifacts", "get", str(clone), name)
    folders = sorted(path for path in (tmp_path / name).iterdir())
    assert folders
    for folder in folders:
        record = read_json(folder / "training.json")
        assert record["identity"]["variant"] == name
        assert record["checkpoints"] == {"last.keras": sha256(folder / "last.keras")}


def test_every_stage_is_in_the_pipeline() -> None:
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert {path.stem for path in (ROOT / "stages").glob("[!_]*.py")} == set(declared)


def test_no_stage_imports_what_loads_trained_networks() -> None:
    stages = ("fetch", "preprocess", "train", "evaluate", "report")
    assert not [name for name in stages if "resnet/pretrained.py" in closure(f"stages/{name}.py")]


def test_dvc_sends_nothing_about_its_user(tmp_path: Path) -> None:
    copy_checkout(tmp_path, {})
    ask = ("python", "-c", "from dvc import analytics; print(analytics.is_enabled())")
    more = {"DVC_NO_ANALYTICS": ""}  # .dvc/config alone says so
    assert run(tmp_path, *ask, more=more) == "False\n"
    (tmp_path / ".dvc" / "config").write_text("[core]\n    analytics = true\n")
    assert run(tmp_path, *ask, more=more) == "True\n"
