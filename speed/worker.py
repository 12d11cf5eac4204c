"""Worker processes, one per implementation, that train an epoch when they are told to.

`python -m speed.ours TASK`, where TASK is JSON, compiles, prints a line, and then, for each line on
its standard input, trains an epoch and prints the seconds. So several implementations take turns on
one machine, without startup and compilation in between.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from resnet.data import arrays
from resnet.errors import BenchmarkError
from resnet.results.recipes import PUBLISHED
from scripts.command import last_line

TRAINING_IMAGES = 50_000  # of CIFAR-10
ORIGINAL = PUBLISHED["original"]  # what all implementations train with, whatever params.yaml has


@dataclass(frozen=True)
class Task:
    """What is trained in a measured epoch."""

    version: int
    depth: int
    batch_size: int
    precision: str  # float32 or bfloat16
    images: int = TRAINING_IMAGES  # the first ones of the training set
    whole_calls: bool = False  # ours: fewer or more images, for calls as long as in a whole epoch


class Implementation(Protocol):
    """An implementation of the training; its steps are compiled when it is constructed."""

    compile_seconds: float  # how much longer the first steps take than later ones
    about: dict[str, Any]  # device, versions and settings

    def epoch(self) -> float:
        """Train an epoch; returns its mean loss, for which the device must have finished."""


def serve(make: Callable[[Task, arrays.Split], Implementation]) -> None:
    """Run an implementation as a worker process."""
    implementation = make(
        Task(**json.loads(sys.argv[1])), arrays.open_split(arrays.FOLDER / "train")
    )
    ready = {"compile_seconds": implementation.compile_seconds, **implementation.about}
    print(json.dumps(ready), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        implementation.epoch()
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


class Worker:
    """A worker process, as the process that starts it sees it."""

    def __init__(self, module: str, task: Task):
        self._module = module
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - `close` closes it
        command = [sys.executable, "-m", module, json.dumps(asdict(task))]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,  # not a pipe, which would fill: it is read only after a failure
            text=True,
        )
        self.ready = self._answer()

    def epoch(self) -> float:
        """Train an epoch; returns the seconds that the worker measured."""
        assert self._process.stdin
        self._process.stdin.write("epoch\n")
        self._process.stdin.flush()
        return float(self._answer()["seconds"])

    def close(self) -> None:
        """Close its input, and wait until it ends."""
        self._process.communicate()
        self._errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("{"):  # libraries may print other lines
                return dict(json.loads(line))
        self._process.communicate()
        self._errors.seek(0)
        with self._errors:
            reason = last_line(self._errors.read(), self._process.returncode)
        raise BenchmarkError(f"{self._module}: {reason}")
