"""How long trainings will take, judged by those that were timed before.

The train stage does not depend on this module: it is read only before a training starts.
"""

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from resnet.device import cpu_name, gpu_unwanted, has_nvidia_driver
from resnet.errors import BenchmarkError
from resnet.schema import validate_json
from resnet.training.messages import duration
from resnet.training.record import MODELS, RECORD, TrainingRecord
from resnet.variant import Network, Variant


class Timed(NamedTuple):
    """A training that was timed."""

    variant: str
    device: str
    gpu: bool
    seconds: float  # per epoch, if possible with all that comes between epochs
    version: int  # of the network: the two differ in seconds per multiply-add
    multiply_adds: int


def multiply_adds(network: Network) -> int:
    """Multiply-adds of one image's forward pass, as resnet.model counts them without Keras."""
    paper = network.form == "paper"
    if network.version == 1:
        widths = [(16, 16), (32, 32), (64, 64)]
    else:
        widths = [(16, 64), (32, 128), (64, 256)] if paper else [(16, 64), (64, 128), (128, 256)]
    kernels = [3, 3] if network.version == 1 else [1, 3, 1]
    total, channels = 32 * 32 * 9 * 3 * 16, 16
    for stage, (inner, outer) in enumerate(widths):
        positions = (32 >> stage) ** 2
        projected = (network.version == 2) or (stage > 0 and not paper)
        for block in range(network.n):
            if block == 0 and projected:
                total += positions * channels * outer
            width = channels
            for i, size in enumerate(kernels):
                filters = outer if i == len(kernels) - 1 else inner
                total += positions * size**2 * width * filters
                width = filters
            channels = outer
    return total + channels * 10


def timed(folder: Path = MODELS) -> list[Timed]:
    """The trainings whose records are below models/; damaged ones are left out."""
    found = []
    for path in sorted(folder.glob(f"*/seed*/{RECORD}")):
        try:
            record = validate_json(TrainingRecord, path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError, BenchmarkError):
            continue
        identity = record.identity
        if identity.parameters.source == "cifar10":
            found.append(
                Timed(
                    identity.variant,
                    identity.device.name,
                    identity.device.gpu,
                    _seconds(record),
                    identity.parameters.network.version,
                    multiply_adds(identity.parameters.network),
                )
            )
    return found


def _seconds(record: TrainingRecord) -> float:
    """Seconds per epoch on the device that finished the training."""
    if any(start.changes for start in record.starts):  # the total may be of several devices
        return record.seconds_per_epoch
    return record.total_seconds / record.epochs


def estimate(trainings: Iterable[Variant], known: Iterable[Timed]) -> str:
    """How long trainings take here, and which measurements that follows from; empty if unknown.

    Each is scaled from the measured training that is nearest in multiply-adds, if possible one on
    this device, and among those one of the same version. The epochs that an interrupted training
    has already done are counted, too.
    """
    variants, backend = list(trainings), os.environ.get("KERAS_BACKEND", "tensorflow")
    gpu = has_nvidia_driver() and not gpu_unwanted(backend)
    measured = [each for each in known if each.gpu == gpu]  # a CPU says nothing about a GPU
    if not measured or not variants:
        return ""
    here = [each for each in measured if gpu or each.device == cpu_name()]
    seconds, used = 0.0, dict[str, None]()
    for variant in variants:
        own, version = multiply_adds(variant.network), variant.network.version
        devices = here or measured
        among = [each for each in devices if each.version == version] or devices
        nearest = min(among, key=lambda each: abs(math.log(each.multiply_adds / own)))
        seconds += variant.recipe.epochs * nearest.seconds * own / nearest.multiply_adds
        used[f"{nearest.variant} on {nearest.device}"] = None
    return f"about {duration(seconds)}, judging by {', '.join(used)}"
