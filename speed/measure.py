"""What is measured: three implementations in turns, our own by depth and batch, and overheads."""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from resnet.data import arrays
from resnet.errors import BenchmarkError
from scripts.checkout import copy_checkout, environment
from scripts.command import output
from speed.worker import TRAINING_IMAGES, Task, Worker

IMPLEMENTATIONS = ("ours", "original", "pytorch")
COMPARED = (Task(1, 20, 32, "float32"), Task(1, 20, 128, "bfloat16"))
DEPTHS = [
    *((1, depth) for depth in (20, 32, 44, 56, 110, 164)),
    *((2, depth) for depth in (20, 56, 110, 164, 1001)),
]
BATCHES = (32, 64, 128, 256)
SMALL = {
    "data.source": "synthetic",
    "data.synthetic": {"train_images": 500, "test_images": 10000, "seed": 0},
    "variants": ["model"],
    "seeds": [0],
    "train.recipe": "original",
    "recipes.original.epochs": 1,
    "train.watch": "none",
}


def implementations(rounds: int, images: int, log: Callable[[str], None]) -> list[dict[str, Any]]:
    """Epochs of each implementation in turns, `rounds` times; PyTorch may not be installed."""
    found = []
    for task in (replace(task, images=images) for task in COMPARED):
        workers: dict[str, Worker] = {}
        missing = []
        for name in IMPLEMENTATIONS:
            try:
                workers[name] = Worker(f"speed.{name}", task)
            except BenchmarkError as error:
                if "No module named 'torch'" not in str(error):
                    raise
                what = {"missing": "PyTorch is not installed"}
                missing.append({"implementation": name, **asdict(task), **what})
        seconds: dict[str, list[float]] = {name: [] for name in workers}
        for turn in range(rounds):
            for name, worker in workers.items():
                seconds[name].append(worker.epoch())
                log(f"{task}: {name}, round {turn + 1}: {seconds[name][-1]:.1f} s")
        for name, worker in workers.items():
            measured = {**worker.ready, "seconds": seconds[name]}
            found.append({"implementation": name, **asdict(task), **measured})
            worker.close()
        found += missing
    return found


def depths(budget: float, log: Callable[[str], None]) -> list[dict[str, Any]]:
    """Our own implementation by depth, at batch 32, and by batch, for ResNet20v1.

    Each record has the compile seconds and those of three parts of an epoch. A part takes about
    `budget` seconds, estimated from the first network's seconds per layer; at least one call of
    several steps, at most an epoch.
    """
    tasks = [Task(version, depth, 32, "float32") for version, depth in DEPTHS]
    tasks += [
        Task(1, 20, batch, precision) for precision in ("float32", "bfloat16") for batch in BATCHES
    ]
    tasks = list(dict.fromkeys(tasks))  # ResNet20v1 is in both
    few = Worker("speed.ours", replace(tasks[0], images=40 * tasks[0].batch_size))
    layers_per_second = 40 * tasks[0].batch_size * tasks[0].depth / min(few.epoch(), few.epoch())
    few.close()
    found = []
    for task in tasks:
        slower = 1.6 if task.version == 2 else 1  # version 2 is wider
        batches = int(budget * layers_per_second / task.depth / slower) // task.batch_size
        images = min(task.images, max(4, batches) * task.batch_size)
        part = replace(task, images=images, whole_calls=True)
        worker = Worker("speed.ours", part)
        found.append(
            {**asdict(part), **worker.ready, "seconds": [worker.epoch() for _ in range(3)]}
        )
        worker.close()
        log(f"{part}: {found[-1]['seconds']}, compiled in {worker.ready['compile_seconds']:.1f} s")
    return found


def overheads(log: Callable[[str], None]) -> dict[str, list[float]]:
    """Seconds of commands around the training, five times each, in a copy with synthetic images."""
    with tempfile.TemporaryDirectory(prefix="resnet-speed-") as name:
        checkout = Path(name)
        copy_checkout(checkout, SMALL)

        def timed(*command: str, runs: int = 5) -> list[float]:
            seconds = []
            for _ in range(runs):
                start = time.perf_counter()
                output(command, checkout, environment(checkout))
                seconds.append(time.perf_counter() - start)
            log(f"{' '.join(command)}: {statistics.median(seconds):.2f} s")
            return seconds

        timed("dvc", "repro", runs=1)
        return {
            "python -c pass": timed("python", "-c", "pass"),
            **{
                f"import stages.{stage}": timed("python", "-c", f"import stages.{stage}")
                for stage in ("fetch", "preprocess", "report")
            },
            "report": timed("python", "-m", "stages.report"),
            "dvc repro, nothing to do": timed("dvc", "repro"),
            "dvc repro --single-item --force report": timed(
                "dvc", "repro", "--single-item", "--force", "report"
            ),
            "evaluate, 10,000 images": timed("python", "-m", "stages.evaluate", "model"),
            "train, until its steps are compiled": [_first_step(checkout) for _ in range(5)],
        }


def _first_step(checkout: Path) -> float:
    """Seconds from the start of `train` to the end of its first epoch, minus those of the epoch."""
    shutil.rmtree(checkout / ".resume", ignore_errors=True)  # else it restores the last result
    start, seconds = time.perf_counter(), 0.0
    command = [sys.executable, "-u", "-m", "stages.train", "model", "0"]
    with subprocess.Popen(
        command, cwd=checkout, env=environment(checkout), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("epoch 1/"):
                seconds = time.perf_counter() - start - float(line.split()[-2])
    if not seconds:
        raise BenchmarkError("train ended before the end of its first epoch")
    return seconds


def machine() -> dict[str, Any]:
    """Bandwidth and rates of this machine, measured by another process."""
    code = "from resnet import backend; backend.start(); from speed import floor"
    return dict(_evaluate(f"{code}; value = floor.machine()"))


def device() -> str:
    """The name of the device that trains on this machine."""
    return str(_evaluate("from resnet import backend; value = backend.start().name"))


def _evaluate(code: str) -> Any:
    """The value of `value` after code that another process runs: this one imports no framework."""
    printed = output([sys.executable, "-c", f"{code}; import json; print(json.dumps(value))"])
    return json.loads(printed.splitlines()[-1])


def check_arrays() -> None:
    """Raise BenchmarkError where the preprocessed images are not all those of CIFAR-10."""
    split = arrays.open_split(arrays.FOLDER / "train")
    if split.source != "cifar10" or len(split.labels) != TRAINING_IMAGES:
        raise BenchmarkError(
            f"{arrays.FOLDER / 'train'}: {len(split.labels):,} images of {split.source}: must be "
            f"CIFAR-10's {TRAINING_IMAGES:,}"
        )
