"""The whole pipeline on small synthetic data, in a temporary copy: the checkout stays as it was. `make demo`"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
SMALL = {
    "data.source": "synthetic",
    "data.synthetic": {"train_images": 2000, "test_images": 500, "seed": 0},
    "variants": ["model", "ResNet11v2"],
    "seeds": [0, 1],
    "model.n": 1,
    "ResNet11v2": {"version": 2, "n": 1},
    "recipes.original.epochs": 4,
}


def copy_checkout(target: Path, changes: Mapping[str, Any]) -> None:
    """Copy the checkout's files, without results and with `changes` to params.yaml (dotted key: value), as a git repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        result = name == "dvc.lock" or (
            name.startswith("metrics/") and name != "metrics/published.csv"
        )
        if (ROOT / name).is_file() and not result:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    set_params(target / "params.yaml", changes)
    subprocess.run(["git", "init", "--quiet"], cwd=target, check=True)


def set_params(path: Path, changes: Mapping[str, Any]) -> None:
    """Set dotted keys of a params.yaml; its comments are lost."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *sections, last = key.split(".")
        section = values
        for name in sections:
            section = section[name]
        section[last] = value
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def environment(checkout: Path) -> dict[str, str]:
    """For `dvc` and the stages in that copy: this Python first on PATH, and DVC's scratch files in the copy."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {
        **os.environ,
        "PATH": path,
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(checkout / ".dvc" / "site"),
    }


def main() -> int:
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="resnet-demo-") as name:
        copy_checkout(Path(name), SMALL)
        status = subprocess.run(
            ["dvc", "repro"], cwd=name, env=environment(Path(name)), check=False
        ).returncode
    if status == 0:
        print(
            f"\nThe demo took {time.monotonic() - start:.0f} s. It ran in a temporary copy: your checkout is as it was."
        )
    return status


if __name__ == "__main__":
    sys.exit(main())
