"""Kill real trainings at random moments, let them go on, and compare what they end with to an undisturbed run's."""

import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from resnet.errors import BenchmarkError
from resnet.files import read_json
from scripts.demo import copy_checkout, environment

SMALL = {
    "data.source": "synthetic",
    "data.synthetic": {"train_images": 400, "test_images": 100, "seed": 0},
    "variants": ["model"],
    "seeds": [0],
    "model.n": 1,
    "recipes.original.epochs": 12,
    "train.holdout.fraction": 0.2,
}
COMMAND = (sys.executable, "-m", "stages.train", "model", "0")
FOLDER = Path("models/model/seed0")
TIMES = (
    "seconds_per_epoch",
    "total_seconds",
    "compile_seconds",
    "checkpoint_seconds",
    "starts",
    "peak_memory_mb",
)
VARYING = (*TIMES, "sha256")  # a checkpoint names the day it was saved
MOMENTS = (
    "start",
    "compilation",
    "epoch",
    "state",
    "result",
)  # to aim at; what a kill hit is looked up afterwards


class Outcome(NamedTuple):
    """What a run ended with, times apart."""

    weights: dict[str, NDArray[Any]]  # of last.keras and best.keras
    history: list[list[str]]
    about: dict[str, Any]


def checkout(folder: Path, **changes: Any) -> Path:
    """A copy of this checkout with small synthetic data, preprocessed; a state is saved after each epoch there."""
    copy_checkout(folder, {**SMALL, **changes})
    for stage in ("fetch", "preprocess"):
        subprocess.run(
            [sys.executable, "-m", f"stages.{stage}"],
            cwd=folder,
            env=env(folder),
            check=True,
            capture_output=True,
        )
    return folder


def env(folder: Path, **more: str) -> dict[str, str]:
    """Of a process in that checkout; the same bits on a GPU too."""
    return {**environment(folder), "SAVE_SECONDS": "0", "DETERMINISTIC": "1", **more}


def outcome(folder: Path) -> Outcome:
    weights = {}
    for name in ("last", "best"):
        with (
            zipfile.ZipFile(folder / FOLDER / f"{name}.keras") as archive,
            h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file,
        ):
            file.visititems(
                lambda path, item, name=name: weights.update(
                    {f"{name}/{path}": item[()]} if isinstance(item, h5py.Dataset) else {}
                )
            )
    rows = [
        line.split(",")[:-1] for line in (folder / FOLDER / "history.csv").read_text().splitlines()
    ]
    about = {
        key: value
        for key, value in read_json(folder / FOLDER / "training.json").items()
        if key not in VARYING
    }
    return Outcome(weights, rows, about)


def differences(a: Outcome, b: Outcome) -> list[str]:
    """What differs between two outcomes, by name."""
    names = [
        name
        for name in {**a.weights, **b.weights}
        if not same(a.weights.get(name), b.weights.get(name))
    ]
    return names + [part for part in ("history", "about") if getattr(a, part) != getattr(b, part)]


def same(a: NDArray[Any] | None, b: NDArray[Any] | None) -> bool:
    return a is not None and b is not None and np.array_equal(a, b)


class Running:
    """A command at work in a checkout, in a process group of its own; what it prints goes to a file, which outlives its readers."""

    def __init__(self, folder: Path, command: Sequence[str], env: dict[str, str]):
        self.log = folder / ".dvc" / "tmp" / "printed.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                command, cwd=folder, env=env, stdout=file, stderr=file, start_new_session=True
            )

    @property
    def printed(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def epoch(self) -> int:
        """The last epoch that was told of in this start; 0 before one was."""
        told: list[str] = re.findall(r"^epoch (\d+)/", self.printed, re.MULTILINE)
        return int(told[-1]) if told else 0

    def wait_for(self, there: Callable[[], Any]) -> bool:
        """Whether it came, before the command ended."""
        while not there():
            if self.process.poll() is not None:
                return bool(there())
        return True

    def kill(self, group: bool = False) -> bool:
        """SIGKILL to the process alone, or to all of its group; whether it was still there to be killed."""
        if self.process.poll() is None:
            if group:
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        return self.process.wait() == -signal.SIGKILL


class Killed(NamedTuple):
    """A kill: what it hit, and the last epoch that the run had told of in this start."""

    where: str
    epoch: int


def kill(folder: Path, rng: random.Random, moment: str, env: dict[str, str]) -> Killed | None:
    """Start the training and SIGKILL it at about that moment; None where it ended first."""
    run = Running(folder, COMMAND, env)
    if moment == "start":
        time.sleep(rng.uniform(0, 3))
    elif moment == "result":
        run.wait_for(lambda: partial_result(folder))
        time.sleep(rng.uniform(0, 0.2))
    else:
        run.wait_for(lambda: re.search(r"^on ", run.printed, re.MULTILINE))
    if moment == "compilation":
        time.sleep(rng.uniform(0, 1))
    elif moment in ("epoch", "state"):
        after = rng.randint(1, 6)
        run.wait_for(lambda: len(re.findall(r"^epoch \d+/", run.printed, re.MULTILINE)) >= after)
        if moment == "state":
            run.wait_for(lambda: partial_states(folder))
        else:
            time.sleep(rng.uniform(0, 0.3))
    return Killed(hit(folder, run), run.epoch) if run.kill() else None


def hit(folder: Path, run: Running) -> str:
    """What a training that was killed was at."""
    if (folder / FOLDER).exists():
        return "after the result was written"
    if partial_result(folder):
        return "while it wrote the result"
    if partial_states(folder):
        return "while it wrote a state"
    if run.epoch:
        return "in its epochs"
    return (
        "while it compiled" if re.search(r"^on ", run.printed, re.MULTILINE) else "while it started"
    )


def partial_states(folder: Path) -> list[str]:
    """States that are half written."""
    return [name for run in runs(folder) for name in os.listdir(run) if name.endswith(".partial")]  # noqa: PTH208  # faster


def partial_result(folder: Path) -> bool:
    return (folder / FOLDER).with_name(f".{FOLDER.name}.partial").exists()


def lost(folder: Path, epoch: int) -> int:
    """How many epochs, of those told of, neither a state nor a kept result on disk holds."""
    if any(path for run in runs(folder) for path in run.glob("result-*")):
        return 0
    return epoch - max(
        (epochs_of(path) for run in runs(folder) for path in run.glob("epoch*.npz")), default=0
    )


def epochs_of(state: Path) -> int:
    """How many epochs a state's file name says it comes after."""
    return int(state.name.split("-")[0].removeprefix("epoch"))


def runs(folder: Path) -> list[Path]:
    kept = folder / ".resume"
    return [path for path in kept.iterdir() if path.name != "locks"] if kept.exists() else []


def finish(folder: Path, **more: str) -> str:
    """Let the training end; what it printed."""
    done = subprocess.run(
        COMMAND, cwd=folder, env=env(folder, **more), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkError(
            f"the training ended with {done.returncode}: {' '.join(done.stderr.split())}"
        )
    return done.stdout


def anew(folder: Path) -> None:
    """Forget the run that was."""
    for name in (".resume", "models"):
        shutil.rmtree(folder / name, ignore_errors=True)


def trainings(
    folder: Path,
    moments: Sequence[str],
    rng: random.Random,
    log: Callable[[str], None],
    **more: str,
) -> list[dict[str, Any]]:
    """Kill trainings at those moments, some three to five a run, then let the run end; a record a kill, with what then differed.

    A run that ends before a kill of it comes is compared all the same, and that kill tried anew in another.
    """
    anew(folder)
    finish(folder, **more)
    expected = outcome(folder)
    left, found, tries = list(moments), [], 0
    while left:
        anew(folder)
        records: list[dict[str, Any]] = []
        for moment in sorted(
            left[: rng.randint(3, 5)], key=MOMENTS.index
        ):  # the result's comes last: it ends the epochs
            tries += 1
            if killed := kill(folder, rng, moment, env(folder, **more)):
                left.remove(moment)
                epochs = {"epoch": killed.epoch, "epochs_lost": max(0, lost(folder, killed.epoch))}
                records.append({"what": "`python -m stages.train`", "hit": killed.where, **epochs})
        finish(folder, **more)
        differ = differences(outcome(folder), expected)
        found += [{**record, "differ": differ} for record in records]
        log(
            f"{len(found)} of {len(moments)} kills of a training: {', '.join(differ) or 'the same bits'}"
        )
        if tries > 3 * len(moments):
            raise BenchmarkError(
                f"only {len(found)} of {len(moments)} kills came before the training had ended, in {tries} tries"
            )
    return found
