"""Measure the driver, kill what it runs on, and compare with `dvc repro`.

Starts clusters on this machine. Writes cluster/results.json and renders the tables of
cluster/README.md from it, in about 25 minutes; a part that is not run keeps its last results.
"""

import argparse
import os
import random
import re
import signal
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from cluster import simulated, tables
from cluster.loopback import ONE_THREAD, Cluster, Driver
from cluster.schedule import longest_first, makespan
from faults.outcome import differences, outcome
from faults.workspace import SMALL
from resnet import params
from resnet.device import cpu_name
from resnet.errors import BenchmarkError, command_parser, one_of, run_stage
from resnet.files import read_json, write_json
from resnet.results.store import Store
from resnet.training import resume
from resnet.training.pending import Name
from resnet.training.record import model_folder
from scripts.checkout import ROOT, copy_checkout, environment
from scripts.command import output
from scripts.table import originals

RESULTS = Path(__file__).with_name("results.json")
COUNTS = {2: 2, 8: 8, 32: 32, 100: 8}  # trainings: how many of them at a time
EPOCHS, SECONDS = 10, 3.0  # of a simulated training, and per epoch
STATE, MODEL = 6_600_000, 1_100_000  # bytes: two states of ResNet20v1, and its checkpoint
REAL = {**ONE_THREAD, "SAVE_SECONDS": "0"}
KILLED_EPOCHS = 120  # of the trainings in which something is killed
KILLS = ("node", "worker", "driver") * 2 + ("SIGTERM", "SIGHUP", "SIGINT")


def main(options: argparse.Namespace) -> None:
    """Run the parts; raises BenchmarkError where a result differs from that of `dvc repro`."""
    found = read_json(RESULTS) if RESULTS.exists() else {}
    for part in options.parts or MEASUREMENTS:
        if part == "render":
            continue
        where = {"device": cpu_name(), "load": round(os.getloadavg()[0], 1)}  # of other work
        with tempfile.TemporaryDirectory(prefix="resnet-cluster-") as folder:
            rows = MEASUREMENTS[part](Path(folder))
        found[part] = {**(where if part != "order" else {}), "rows": rows}
        write_json(RESULTS, found)
    tables.render(found)
    if wrong := tables.problems(found):
        raise BenchmarkError(f"{len(wrong)} problems, the first: {wrong[0]}")


def _order(_: Path) -> list[dict[str, Any]]:
    """How long the original's table takes on several GPUs, by its own seconds per epoch."""
    settings = params.load(ROOT / "params.yaml")
    published = {row["network"]: row for row in Store(ROOT / "metrics").published()}
    variants = {name: settings.sections[name] for name in originals(settings)}
    names = [Name(name, seed) for name in variants for seed in settings.seeds]

    def hours(name: Name) -> float:
        variant = variants[name.variant]
        seconds = float(published[variant.network.name]["original_seconds_per_epoch"])
        return seconds * variant.recipe.epochs / 3600

    return [
        {
            "gpus": gpus,
            "longest_first": makespan([], map(hours, longest_first(names, variants)), gpus),
            "as_listed": makespan([], map(hours, names), gpus),
        }
        for gpus in (1, 2, 4, 8, 16, 32)
    ]


def _scale(folder: Path) -> list[dict[str, Any]]:
    """The driver's time and bytes with simulated trainings on two nodes."""
    rows = []
    for count, at_a_time in COUNTS.items():
        checkout = simulated.write(
            folder / str(count),
            seeds=count,
            epochs=EPOCHS,
            seconds=SECONDS,
            state_bytes=STATE,
            model_bytes=MODEL,
        )
        output(["dvc", "repro", "--quiet", "preprocess"], checkout, environment(checkout))
        cluster = Cluster()
        try:
            for _ in range(2):
                cluster.add(cpus=at_a_time // 2)
            rows.append({"at_a_time": at_a_time, **_timed(checkout, cluster, count)})
        finally:
            cluster.stop()
        print(rows[-1], flush=True)
    return rows


def _timed(checkout: Path, cluster: Cluster, count: int) -> dict[str, Any]:
    start = time.monotonic()
    driver = Driver(checkout, cluster.address, HOME=str(cluster.folder))
    process = psutil.Process(driver.process.pid)
    driver.wait_for(r"^\S+-\d+ on ")
    first, cpu_before = time.monotonic(), sum(process.cpu_times()[:2])
    for _ in range(count):
        driver.wait_for(r" is trained, ")
    last, cpu = time.monotonic(), sum(process.cpu_times()[:2])
    printed = driver.end()
    megabytes = re.findall(r"([\d.]+) MB", printed)
    return {
        "trainings": count,
        "start_seconds": first - start,
        "seconds": last - first,
        "driver_cpu_seconds": (cpu - cpu_before) / count,
        "megabytes_to_a_node": float(megabytes[0]),
        "megabytes_back": float(megabytes[1]) / count,
        "dvc_seconds": (time.monotonic() - last) / count,
    }


def _checkout(folder: Path, **changes: Any) -> Path:
    copy_checkout(folder, {**SMALL, **changes})
    _dvc(folder, "repro", "--quiet", "preprocess")
    return folder


def _dvc(folder: Path, *arguments: str) -> None:
    output(["dvc", *arguments], folder, {**environment(folder), **REAL, "GPU": "0"})


def _trainings(folder: Path) -> list[dict[str, Any]]:
    """Six trainings one after another, then on two nodes, with one thread each."""
    changes = {
        "variants": ["model", "ResNet11v2"],
        "ResNet11v2": {"version": 2, "n": 1},
        "seeds": [0, 1, 2],
        "recipes.original.epochs": 60,
    }
    plain, other = (_checkout(folder / name, **changes) for name in ("plain", "cluster"))
    start = time.monotonic()
    _dvc(plain, "repro")
    alone = time.monotonic() - start
    cluster = Cluster()
    try:
        for _ in range(2):
            cluster.add()
        start = time.monotonic()
        Driver(other, cluster.address, HOME=str(cluster.folder), **REAL).end()
        both = time.monotonic() - start
    finally:
        cluster.stop()
    names = [(variant, seed) for variant in ("model", "ResNet11v2") for seed in (0, 1, 2)]
    equal = sum(_different(plain, other, variant, seed) == [] for variant, seed in names)
    return [
        {
            "trainings": len(names),
            "equal": equal,
            "one_after_another_seconds": alone,
            "two_nodes_seconds": both,
        }
    ]


def _different(a: Path, b: Path, variant: str, seed: int) -> list[str]:
    folder = model_folder(variant, seed)
    return differences(outcome(a, folder), outcome(b, folder))


def _kills(folder: Path) -> list[dict[str, Any]]:
    """Kill nodes, workers and drivers while two real trainings run.

    There are as many kills in a pair of trainings as come before one ends; then the other may, and
    both are compared with undisturbed ones.
    """
    changes = {"seeds": [0, 1], "recipes.original.epochs": KILLED_EPOCHS}
    plain, left, rng = _checkout(folder / "plain", **changes), list(KILLS), random.Random(0)
    _dvc(plain, "repro")
    rows: list[dict[str, Any]] = []
    for tried in range(len(KILLS)):
        other, cluster = _checkout(folder / f"cluster{tried}", **changes), Cluster()
        found = []
        try:
            nodes = [cluster.add(), cluster.add()]
            while left and (row := _kill(left[0], other, cluster, nodes, rng)):
                found.append(row)
                left.pop(0)
            Driver(other, cluster.address, HOME=str(cluster.folder), **REAL).end()
        finally:
            cluster.stop()
        names = [
            f"seed {seed}: {n}" for seed in (0, 1) for n in _different(plain, other, "model", seed)
        ]
        rows += [{**row, "differences": names} for row in found]
        print(*rows[len(rows) - len(found) :], sep="\n", flush=True)
        if not left:
            return rows
    raise BenchmarkError(f"{len(left)} of {len(KILLS)} kills were not in time; run it again")


def _kill(
    what: str, checkout: Path, cluster: Cluster, nodes: list[Any], rng: random.Random
) -> dict[str, Any] | None:
    """Kill something while trainings run; None where they ended before."""
    driver = Driver(checkout, cluster.address, HOME=str(cluster.folder), **REAL)
    start = sum(_epochs(checkout).values())
    while sum((before := _epochs(checkout)).values()) < start + rng.randint(1, 4):
        if driver.process.poll() is not None:
            driver.end()
            return None
        time.sleep(0.05)
    if what == "node":
        Cluster.raylet(nodes.pop(0)).kill()
        nodes.append(cluster.add())
    elif what == "worker":
        psutil.wait_procs([_kill_worker(cluster)])
    resumed = {}
    if what in ("node", "worker"):
        (lost,) = re.findall(r"is lost: (model-\d+) ", driver.wait_for("is lost: model-"))
        if lost in before:  # what it resumes from counts: a new start would give the same bits
            line = driver.wait_for(f"^{lost}: resuming after epoch |^{lost} is trained, ")
            resumed[lost] = int((re.findall(r"resuming after epoch (\d+)", line) or [0])[0])
        what_ends, status = signal.SIGTERM, 143
    else:
        what_ends = signal.SIGKILL if what == "driver" else signal.Signals[what]
        status = -9 if what == "driver" else 128 + what_ends
    driver.kill(what_ends)
    done = re.findall(r"^(model-\d+) is trained, ", driver.end(status), re.MULTILINE)
    after = {**_epochs(checkout), **dict.fromkeys(done, KILLED_EPOCHS), **resumed}
    return {"what": what, "epochs": sum(before.values()), "kept": kept(before, after)}


def kept(before: Mapping[str, int], after: Mapping[str, int]) -> int:
    """How many epochs of the states before are left; no gain elsewhere hides a loss."""
    return sum(min(after.get(name, 0), epochs) for name, epochs in before.items())


def _kill_worker(cluster: Cluster) -> psutil.Process:
    """Kill a process that runs a training's worker on a node."""
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if command.startswith("ray::Worker") and str(cluster.folder) in process.environ().get(
            "TMPDIR", ""
        ):
            process.kill()
            return process
    raise BenchmarkError("no worker is running")


def _epochs(checkout: Path) -> dict[str, int]:
    """How many epochs the last states below .resume/ have, by training."""
    stores = [resume.Store(folder) for folder in (checkout / ".resume").glob("model-seed*-*")]
    return {re.sub("seed|-[^-]+$", "", store.folder.name): store.epochs for store in stores}


MEASUREMENTS = {"order": _order, "scale": _scale, "trainings": _trainings, "kills": _kills}

if __name__ == "__main__":
    command = command_parser("cluster.measure", __doc__)
    names = (*MEASUREMENTS, "render")
    command.add_argument("parts", nargs="*", type=one_of(names), help=", ".join(names))
    run_stage(main, command)
