"""Copies of this checkout in which the pipeline can run without touching its results.

`make demo`, `make faults`, `make speed` and the tests work in such copies.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from scripts.git import elsewhere, git

ROOT = Path(__file__).resolve().parents[1]
INPUTS = (  # no results, although they are in such folders
    "metrics/published.csv",
    "metrics/same-bits.json",
    "checkpoints/README.md",
)


def copy_checkout(target: Path, changes: Mapping[str, Any]) -> None:
    """Copy this checkout's files, without its results, into a new git repository.

    `changes` maps dotted keys of params.yaml to their values in the copy. What git tracks is copied
    as it is in the working tree, and so are new Python files beside it, but nothing else that is
    not tracked. Raises BenchmarkError where git cannot read this checkout.
    """
    for name in source_files():
        if not _is_result(name):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    set_params(target / "params.yaml", changes)
    git("init", "--quiet", cwd=target)


def source_files() -> list[str]:
    """The files of this checkout that git tracks, and new Python files in the same folders."""
    tracked = [os.fsdecode(name) for name in git("ls-files", "-z", cwd=ROOT).split(b"\0")]
    new = git("ls-files", "-z", "--others", "--exclude-standard", "*.py", cwd=ROOT).split(b"\0")
    folders = {Path(name).parts[0] for name in tracked if "/" in name}
    beside = [name for name in map(os.fsdecode, new) if name.split("/")[0] in folders]
    return [name for name in [*tracked, *beside] if name and (ROOT / name).is_file()]


def commit(folder: Path, message: str) -> None:
    """Commit everything in a copy, as an author of its own and without the user's hooks."""
    git("add", ".", cwd=folder)
    settings = (
        "user.name=CIFAR-10 ResNet",
        "user.email=resnet@localhost",
        "commit.gpgsign=false",
        "core.hooksPath=/dev/null",
    )
    options = [word for setting in settings for word in ("-c", setting)]
    git(*options, "commit", "--quiet", "-m", message, cwd=folder)


def _is_result(name: str) -> bool:
    """Whether this file comes from a training."""
    if name in INPUTS:
        return False
    return name == "dvc.lock" or name.startswith(("metrics/", "checkpoints/"))


def set_params(path: Path, changes: Mapping[str, Any]) -> None:
    """Set dotted keys of a params.yaml. The file's comments are lost."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *sections, last = key.split(".")
        section = values
        for name in sections:
            section = section[name]
        section[last] = value
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def environment(checkout: Path) -> dict[str, str]:
    """Return the environment in which `dvc` and the stages run in a copy.

    The running Python comes first on PATH, and DVC keeps its scratch files inside the copy.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {
        **elsewhere(os.environ),
        "PATH": path,
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(checkout.resolve() / ".dvc" / "tmp" / "site"),
    }
