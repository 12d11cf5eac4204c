"""Kill real trainings at random moments, let them go on, and compare what they end with to an undisturbed run's."""

import io
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from demo import copy_checkout, environment
from resnet.files import read_json

SMALL = {
    "data.source": "synthetic",
    "data.synthetic": {"train_images": 400, "test_images": 100, "seed": 0},
    "variants": ["model"],
    "model.n": 1,
    "recipes.keras.epochs": 12,
    "train.holdout.fraction": 0.2,
}
COMMAND = (sys.executable, "-m", "stages.train", "model", "0")
FOLDER = Path("models/model/seed0")
TIMES = ("seconds_per_epoch", "total_seconds", "compile_seconds", "checkpoint_seconds", "starts", "peak_memory_mb")
VARYING = (*TIMES, "sha256")  # a checkpoint names the day it was saved


class Outcome(NamedTuple):
    """What a run ended with, times apart."""

    weights: dict[str, NDArray[Any]]  # of last.keras and best.keras
    history: list[list[str]]
    about: dict[str, Any]


def checkout(folder: Path) -> Path:
    """A copy of this checkout with small synthetic data, preprocessed; a state is saved after each epoch there."""
    copy_checkout(folder, SMALL)
    for stage in ("fetch", "preprocess"):
        subprocess.run([sys.executable, "-m", f"stages.{stage}"], cwd=folder, env=env(folder), check=True, capture_output=True)
    return folder


def env(folder: Path, **more: str) -> dict[str, str]:
    return {**environment(folder), "SAVE_SECONDS": "0", **more}


def outcome(folder: Path) -> Outcome:
    weights = {}
    for name in ("last", "best"):
        with zipfile.ZipFile(folder / FOLDER / f"{name}.keras") as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
            file.visititems(
                lambda path, item, name=name: weights.update({f"{name}/{path}": item[()]} if isinstance(item, h5py.Dataset) else {})
            )
    rows = [line.split(",")[:-1] for line in (folder / FOLDER / "history.csv").read_text().splitlines()]
    about = {key: value for key, value in read_json(folder / FOLDER / "training.json").items() if key not in VARYING}
    return Outcome(weights, rows, about)


def differences(a: Outcome, b: Outcome) -> list[str]:
    """What differs between two outcomes, by name."""
    names = [name for name in {**a.weights, **b.weights} if not same(a.weights.get(name), b.weights.get(name))]
    return names + [part for part in ("history", "about") if getattr(a, part) != getattr(b, part)]


def same(a: NDArray[Any] | None, b: NDArray[Any] | None) -> bool:
    return a is not None and b is not None and np.array_equal(a, b)


class Killed(NamedTuple):
    """A kill: how many epochs the run had told of in this start when it came, and whether it came within the writing of a state."""

    epochs: int
    writing: bool


def kill(folder: Path, rng: random.Random, *, writing: bool = False) -> Killed | None:
    """Start the training and SIGKILL it at a random moment after an epoch, or as it writes a state; None where it ended first."""
    with subprocess.Popen(COMMAND, cwd=folder, env=env(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        after, told = rng.randrange(6), 0
        for line in process.stdout:
            if line.startswith("on "):
                break
        while told < after and (line := process.stdout.readline()):
            told += line.startswith("epoch ")
        if writing:
            while process.poll() is None and not partials(folder):
                pass
        else:
            time.sleep(rng.uniform(0, 0.5))
        process.kill()
        process.wait()
        if process.returncode != -signal.SIGKILL:
            return None
    return Killed(told, bool(partials(folder)))


def partials(folder: Path) -> list[str]:
    """States that are half written."""
    runs = [path for path in (folder / ".resume").iterdir() if path.name != "locks"] if (folder / ".resume").exists() else []
    return [name for run in runs for name in os.listdir(run) if name.endswith(".partial")]  # noqa: PTH208  # faster


def finish(folder: Path) -> str:
    """Let the training end; what it printed."""
    done = subprocess.run(COMMAND, cwd=folder, env=env(folder), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def anew(folder: Path) -> None:
    """Forget the run that was."""
    for name in (".resume", "models"):
        subprocess.run(["rm", "-rf", str(folder / name)], check=True)
