"""Train on many GPUs or machines what is not trained yet, then evaluate and report here.

`reproduce` does what `make reproduce` does, and `table` what `make table` does. Each finds the
trainings that `dvc repro` would run, runs them on the nodes of a Ray cluster, puts their results in
DVC's cache and run cache, and calls `dvc repro`, which finds them there. It is safe to interrupt:
the next call resumes. cluster/README.md describes the environment variables and all the rest.
"""

import argparse
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cluster import checkout, connection, worker
from cluster.connection import Slots
from cluster.console import Console
from cluster.driver import Driver
from cluster.events import Inputs
from cluster.workers import Workers
from resnet import backend, params
from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.params import Params
from resnet.training import cost, identity, pending, preflight
from resnet.training.pending import Name
from scripts import locks, table
from scripts.repository import repository

LOCK = Path("requirements/cluster.lock")
THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")
# JAX, not TensorFlow, takes three quarters of a GPU's memory at once, and leaves none for a second
# training: https://docs.jax.dev/en/latest/gpu_memory_allocation.html
PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"
# why a training is not recorded at the end
CHANGED = "its inputs have changed since it started"
ADDED = "it was added to params.yaml after the start"
REMOVED = "it was removed from params.yaml after the start; DVC's cache has its result"
PART = 64 * 2**20  # bytes of an input in one object of Ray's
VARIABLES = (  # those of docs/environment.md that a training reads and that are not set by Ray
    *identity.SETTINGS,
    *("KERAS_BACKEND", "GPU", "JAX_PLATFORMS", "DETERMINISTIC", "TF32", "XLA", "IMAGES_ON_DEVICE"),
    *("SAVE_SECONDS", "OTHER_STATE", "TF_CPP_MIN_LOG_LEVEL"),
)


def main(arguments: argparse.Namespace) -> None:
    """Train, evaluate and report; raises BenchmarkError at the end if a training failed."""
    logging.getLogger("dvc").setLevel(logging.WARNING)  # hides what `stale` would log
    connection.check_address(arguments.address)
    asked, versions = Slots.from_environment(), _versions()
    with ExitStack() as stack:
        checkout.hold(stack)  # before params.yaml is edited, which another driver reads at its end
        settings = params.load()
        variants, seeds = list(settings.variants), list(settings.seeds)
        if arguments.command == "table":
            variants = list(dict.fromkeys(arguments.variants)) or table.originals(settings)
            settings = table.add_to_listed(variants, arguments.seeds)
            seeds = arguments.seeds or seeds
        wanted = [Name(variant, seed) for variant in variants for seed in seeds]
        table.dvc("repro", "preprocess")
        checkout.forget_lost()
        failed = train(arguments.address, asked, versions, settings, wanted)
        record(wanted, failed, everything=arguments.command == "reproduce")


def record(wanted: Sequence[Name], failed: Mapping[Name, str], *, everything: bool) -> None:
    """Record what is trained, evaluate and report; raises BenchmarkError that names what is not.

    Code and params.yaml may have been edited since the start, so a `dvc repro` of all could train
    here. `everything` says whether it is wanted of all that params.yaml lists, as it is now.
    """
    table.dvc("repro", "preprocess")  # after an edit, the trainings are stale only with its output
    checkout.forget_lost()
    listed, stale = checkout.listed(), checkout.stale()
    if everything and not stale:
        table.dvc("repro")
    else:
        if trained := [name.stage for name in wanted if name in listed and name not in stale]:
            table.dvc("repro", *trained)
        variants = {name.variant: None for name in wanted if name in listed}
        table.evaluate(list(variants), stale)
    reasons = {
        **{name: REMOVED for name in wanted if name not in listed},
        **{name: CHANGED for name in wanted if name in stale},
        **failed,
        **{name: ADDED for name in stale if everything and name not in wanted},
    }
    if reasons:
        number = len({*wanted, *reasons})
        why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise BenchmarkError(f"{len(reasons)} of {number} not trained: {why}")


def train(
    address: str,
    asked: Slots,
    versions: Mapping[str, str | None],
    settings: Params,
    wanted: Collection[Name],
) -> dict[Name, str]:
    """Train those of `wanted` that `dvc repro` would train; returns which failed, and why.

    Raises BenchmarkError where it cannot start, and Interrupted after a signal.
    """
    with ExitStack() as stack:
        repo = stack.enter_context(repository())
        stages = pending.trainings(repo)
        names = [name for name in pending.pending(repo) if name in wanted]
        if not names:
            print("nothing to train", flush=True)
            return {}
        if not backend.flag("RETRAIN", default=False):
            for name in names:
                preflight.refuse_held(stages[name], name)
        checkout.hold_outputs(stack, names)
        variants = settings.variants
        time = cost.estimate([variants[name.variant] for name in names], cost.timed())
        plural = "s" * (len(names) != 1)
        print(f"{len(names)} training{plural} to run{time and f': {time}'}", flush=True)
        connection.connect(address, checkout.log("ray"))
        stack.callback(connection.disconnect)
        stack.enter_context(connection.errors())
        nodes, console = connection.nodes(), Console()
        slots = asked.on(nodes, len(names))
        several = any(node.slots(slots) > 1 for node in nodes)
        if several and not slots.gpu and not set(THREADS) & set(os.environ):
            console.event(f"each training uses all CPUs of its node, unless {THREADS[0]} is set")
        inputs = put_inputs([stages[name] for name in names])
        workers = Workers(inputs, slots, versions, console)
        values, removed = checkout.environment(VARIABLES)
        if not asked.gpu:  # however that was requested
            values["GPU"] = "0"
        if slots.gpu and slots.per_gpu > 1:
            values[PREALLOCATE] = os.environ.get(PREALLOCATE, "false")
        driver = Driver(repo, names, settings, (values, removed), workers, console)
        driver.run()
        sent, received = (size / 1e6 for size in (inputs.bytes, driver.received))
        console.event(f"{sent:.1f} MB to each node, {received:.1f} MB of states and results back")
        return driver.failed


def put_inputs(stages: Sequence[Any]) -> Inputs:
    """Put what the trainings read into Ray's object store, from which each node fetches it once."""
    import ray

    files = checkout.inputs(stages)
    parts: dict[str, list[Any]] = {}
    for name, path in files.items():
        with path.open("rb") as file:
            parts[name] = [ray.put(part) for part in iter(lambda: file.read(PART), b"")]
    size = sum(path.stat().st_size for path in files.values())
    return Inputs(checkout.digest(files), parts, size)


def _versions() -> dict[str, str | None]:
    """The versions here of Python, of all that the lock pins, and of JAX where it trains."""
    versions, _ = locks.read(LOCK)
    jax = ("jax", "jaxlib") if os.environ.get("KERAS_BACKEND") == "jax" else ()
    return {name: worker.installed_version(name) for name in ("Python", *versions, *jax)}


if __name__ == "__main__":
    parser = command_parser("cluster", __doc__)
    parser.add_argument("address", metavar="CLUSTER", help="local, or HOST:PORT of Ray's head node")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("reproduce", help="all variants that params.yaml lists")
    table_parser = commands.add_parser("table", help="the original's, or those that are named")
    table_parser.add_argument("variants", metavar="VARIANT", nargs="*")
    table_parser.add_argument("--seeds", metavar="SEED", nargs="+", type=int, default=[])
    run_stage(main, parser)
