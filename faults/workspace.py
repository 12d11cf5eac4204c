"""A small checkout in which one training takes seconds, and the commands that run there."""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

from scripts.checkout import copy_checkout, environment
from scripts.command import output

SMALL = {
    "data.source": "synthetic",
    "data.synthetic": {"train_images": 400, "test_images": 100, "seed": 0},
    "variants": ["model"],
    "seeds": [0],
    "model.n": 1,
    "train.recipe": "original",
    "recipes.original.epochs": 12,
    "train.holdout.fraction": 0.2,
}
TRAIN = (sys.executable, "-m", "stages.train", "model", "0")
MODEL = Path("models/model/seed0")
STATES = Path(".resume")
# what a training prints that does not start over
RESUMED = re.compile(r"^resuming after epoch \d+ of|already trained", re.MULTILINE)


def checkout(folder: Path, **changes: Any) -> Path:
    """Copy this checkout to `folder`, with small preprocessed synthetic images."""
    copy_checkout(folder, {**SMALL, **changes})
    for stage in ("fetch", "preprocess"):
        output([sys.executable, "-m", f"stages.{stage}"], folder, env(folder))
    return folder


def env(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a process there: a state after each epoch, bit-identical on a GPU too."""
    return {**environment(folder), "SAVE_SECONDS": "0", "DETERMINISTIC": "1", **more}


def finish(folder: Path, **more: str) -> str:
    """Run the training to its end; returns what it printed."""
    return output(TRAIN, folder, env(folder, **more))


def reset(folder: Path) -> None:
    """Remove the states and the results of the training."""
    for name in (STATES, "models"):
        shutil.rmtree(folder / name, ignore_errors=True)


def trainings(folder: Path) -> list[Path]:
    """The folders of the saved states, one per training."""
    states = folder / STATES
    return [path for path in states.iterdir() if path.name != "locks"] if states.exists() else []
