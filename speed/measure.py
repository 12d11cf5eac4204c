"""The parts of the benchmark, each returning what stands in the JSON: the ways in turns, depths and batches, the host's overheads."""

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

from resnet.errors import BenchmarkError
from scripts.demo import copy_checkout, environment
from speed.worker import ARRAYS, Task, Worker

WAYS = ("ours", "original", "pytorch")
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
    "recipes.original.epochs": 1,
}


def ways(rounds: int, images: int, log: Callable[[str], None]) -> list[dict[str, Any]]:
    """Whole epochs of each way in turns, `rounds` times; a way whose library is not installed is named so."""
    found = []
    for task in (replace(task, images=images) for task in COMPARED):
        workers: dict[str, Worker] = {}
        for way in WAYS:
            try:
                workers[way] = Worker(f"speed.{way}", task)
            except BenchmarkError as error:
                if "No module named 'torch'" not in str(error):
                    raise
                found.append({"way": way, **asdict(task), "missing": "PyTorch is not installed"})
        seconds: dict[str, list[float]] = {way: [] for way in workers}
        for turn in range(rounds):
            for way, worker in workers.items():
                seconds[way].append(worker.epoch())
                log(f"{task}: {way}, round {turn + 1}: {seconds[way][-1]:.1f} s")
        for way, worker in workers.items():
            found.append({"way": way, **asdict(task), **worker.ready, "seconds": seconds[way]})
            worker.close()
    return found


def depths(budget: float, log: Callable[[str], None]) -> list[dict[str, Any]]:
    """Ours alone against depth, at batch 32, and against the batch, for ResNet20v1: compile seconds, and three parts of an epoch.

    A part takes `budget` seconds or so, a whole epoch at most: the first network is tried out, and the others' cost per layer is like.
    """
    tasks = [Task(version, depth, 32, "float32") for version, depth in DEPTHS]
    tasks += [
        Task(1, 20, batch, precision) for precision in ("float32", "bfloat16") for batch in BATCHES
    ]
    few = Worker("speed.ours", replace(tasks[0], images=40 * tasks[0].batch_size))
    layers_per_second = 40 * tasks[0].batch_size * tasks[0].depth / min(few.epoch(), few.epoch())
    few.close()
    found = []
    for task in tasks:
        images = int(
            budget * layers_per_second / task.depth / (1.6 if task.version == 2 else 1)
        )  # version 2 is wider
        part = replace(
            task, images=min(task.images, max(4, images // task.batch_size) * task.batch_size)
        )
        worker = Worker("speed.ours", part)
        found.append(
            {**asdict(part), **worker.ready, "seconds": [worker.epoch() for _ in range(3)]}
        )
        worker.close()
        log(f"{part}: {found[-1]['seconds']}, compiled in {worker.ready['compile_seconds']:.1f} s")
    return found


def overheads(log: Callable[[str], None]) -> dict[str, list[float]]:
    """Seconds of what is not training, five times each, in a copy of the checkout on small synthetic data, ResNet20v1."""
    with tempfile.TemporaryDirectory(prefix="resnet-speed-") as name:
        checkout = Path(name)
        copy_checkout(checkout, SMALL)

        def timed(*command: str, runs: int = 5) -> list[float]:
            seconds = []
            for _ in range(runs):
                start = time.perf_counter()
                subprocess.run(
                    command,
                    cwd=checkout,
                    env=environment(checkout),
                    check=True,
                    capture_output=True,
                )
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
            "train, to the end of compilation": [_first_step(checkout) for _ in range(5)],
        }


def _first_step(checkout: Path) -> float:
    """Seconds from the start of `train` until its first epoch has run, less that epoch's own."""
    shutil.rmtree(
        checkout / ".resume", ignore_errors=True
    )  # else it gives the result of the run before
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
        raise BenchmarkError("train ended before its first epoch did")
    return seconds


def machine() -> dict[str, Any]:
    """Bandwidth and rates of this machine, in a process of its own, which leaves no framework behind in this one."""
    return dict(
        _apart(
            "from resnet import backend; backend.start(); from speed import floor; value = floor.machine()"
        )
    )


def device() -> str:
    """The name of the device that would train."""
    return str(_apart("from resnet import backend; value = backend.start().name"))


def _apart(code: str) -> Any:
    """What a few lines leave in `value`, run by another Python."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import json; print(json.dumps(value))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def check_arrays() -> None:
    """Raise BenchmarkError where the images are not there."""
    if not (ARRAYS / "images.npy").exists():
        raise BenchmarkError(f"{ARRAYS}: no such folder; run `dvc repro preprocess` first")
