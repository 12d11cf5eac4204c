"""What the three ways of training have in common: each is a process that trains an epoch whenever it is told to.

`python -m speed.ours TASK`, TASK being JSON, prints a line once it is warm and then, for each line on its standard input, trains
an epoch and prints how long that took. So several ways stand ready on one machine, and take turns.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from resnet.data import arrays
from resnet.errors import BenchmarkError

ARRAYS = Path("data/arrays/train")
TRAINING_IMAGES = 50_000  # of CIFAR-10


@dataclass(frozen=True)
class Task:
    """The network, batch and precision, and the images that one measured epoch takes: the first so many of the training set."""

    version: int
    depth: int
    batch_size: int
    precision: str  # float32 or bfloat16
    images: int = TRAINING_IMAGES


class Way(Protocol):
    """One way of training, compiled and warm once it is made."""

    compile_seconds: float  # the first steps, less what they take later
    about: dict[str, Any]  # device, versions and settings

    def epoch(self) -> float:
        """Train an epoch; return its mean loss, which proves that the device is done."""


def serve(make: Callable[[Task, arrays.Split], Way]) -> None:
    """Run a way as a process, as this module's docstring says."""
    start = time.perf_counter()
    way = make(Task(**json.loads(sys.argv[1])), arrays.open_split(ARRAYS))
    ready = {
        "start_seconds": time.perf_counter() - start,
        "compile_seconds": way.compile_seconds,
        **way.about,
    }
    print(json.dumps(ready), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        loss = way.epoch()
        print(json.dumps({"seconds": time.perf_counter() - start, "loss": loss}), flush=True)


class Worker:
    """The other end: a way's process, from where the turns are given."""

    def __init__(self, module: str, task: Task):
        self._module = module
        command = [sys.executable, "-m", module, json.dumps(asdict(task))]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.ready = self._answer()

    def epoch(self) -> float:
        """Have it train an epoch; returns seconds, as the process itself timed them."""
        assert self._process.stdin
        self._process.stdin.write("epoch\n")
        self._process.stdin.flush()
        return float(self._answer()["seconds"])

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("{"):  # a library's chatter is not ours
                return dict(json.loads(line))
        said = self._process.communicate()[1]  # waits until it is gone
        raise BenchmarkError(f"{self._module} ended: {said.strip()}")
