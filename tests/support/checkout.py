"""Running commands in copies of the checkout, and in the checkout's own git repository."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from resnet import params
from scripts.checkout import environment, set_params

ROOT = Path(__file__).resolve().parents[2]
SMALL = {  # params.yaml of a checkout with one training of seconds
    "data.source": "synthetic",
    "data.synthetic": {"train_images": 100, "test_images": 20, "seed": 0},
    "variants": ["model"],
    "seeds": [0],
    "model.n": 1,
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
    """Run a command in a copy and return both its streams, in the order they were written.

    It must succeed, or fail where `ok` is False. `more` is added to its environment.
    """
    done = subprocess.run(
        command,
        cwd=checkout,
        env={**environment(checkout), **AUTHOR, **(more or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == ok, done.stdout
    return done.stdout


def git(checkout: Path, *arguments: str) -> None:
    """Run git in a copy."""
    run(checkout, "git", *arguments)


def commit(checkout: Path, message: str = "a commit") -> None:
    """Commit everything in a copy."""
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "-m", message)


def undone() -> dict[str, Any]:
    """Changes to params.yaml that undo what the experiments of README.md change.

    A user may keep those, and the tests must pass then.
    """
    return {
        "variants": ["model", "ResNet20v1-short", "ResNet20v2-short", "ResNet20v1-paper"],
        "seeds": [0, 1, 2],
        "model": {"version": 1, "n": 3},
    }


def project_values() -> dict[str, Any]:
    """The values of the project's params.yaml, without an experiment that was kept."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return {**values, **undone()}


def project_params(folder: Path, changes: Mapping[str, Any]) -> params.Params:
    """Those values with changes by dotted key, which are written to params.yaml in a folder."""
    path = folder / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    set_params(path, {**undone(), **changes})
    return params.load(path)


def stages(printed: str) -> list[str]:
    """Return the stages that `dvc repro` or `dvc exp run` says it ran, in order."""
    return re.findall(r"^Running stage '(.*)':", printed, re.MULTILINE)


def trained() -> list[str]:
    """The variants that this checkout's params.yaml lists and its dvc.lock records as trained."""
    params, lock = (
        yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
        for name in ("params.yaml", "dvc.lock")
    )
    names = {name.rpartition("-")[0] for name in lock["stages"] if name.startswith("train@")}
    return [variant for variant in params["variants"] if f"train@{variant}" in names]
