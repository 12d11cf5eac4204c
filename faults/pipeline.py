"""Kill a real `dvc repro`, run it again, and compare with an undisturbed one."""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from faults import kills, workspace
from faults.outcome import results
from faults.process import Running
from resnet.errors import BenchmarkError

REPRO = ("dvc", "repro")
KINDS = ("alone", "saved", "group", "recorded", "anywhere")
DVC, ALL = "`dvc repro`, not its children", "`dvc repro` and its children"
CONTINUED = "during the training, which continued"
TERMINATED = "during the training, which was then ended by SIGTERM"
TRAINED = "after the training, before dvc recorded it"
RESTORED = "already trained by a run that DVC did not record"


def repro(folder: Path, *targets: str) -> str:
    """Run `dvc repro`; returns what it printed. Raises BenchmarkError where it fails."""
    status, printed = _try_repro(folder, *targets)
    if status:
        reason = " ".join(printed.split())
        raise BenchmarkError(f"dvc repro ended with status {status}: {reason}")
    return printed


def _try_repro(folder: Path, *targets: str) -> tuple[int, str]:
    done = subprocess.run(
        [*REPRO, *targets],
        cwd=folder,
        env=workspace.env(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def kill(
    folder: Path, rng: random.Random, kind: str, *targets: str, seconds: float = 0.0
) -> dict[str, Any] | None:
    """Start `dvc repro` and kill it; returns a record, None where it ended before.

    "alone": dvc only, while it trains. The training continues, as the next `dvc repro` must say.
    "saved": the same, but the training is then ended by SIGTERM, as that message advises.
    "group": dvc and its children, while it trains.
    "recorded": dvc only, after the training has ended and before dvc.lock contains its stage.
    "anywhere": dvc and its children, at a random moment of the `seconds` that a pipeline takes.

    No process is left afterwards.
    """
    run = Running(folder, (*REPRO, *targets), workspace.env(folder))
    if kind == "anywhere":
        time.sleep(rng.uniform(0, seconds))
        if not run.kill(group=True):
            return None
        stages = re.findall(r"^Running stage '(\w+)", run.printed, re.MULTILINE)
        where = f"during {stages[-1]}" if stages else "before the first stage"
        return {"what": ALL, "moment": f"at a random moment: {where}"}
    if kind == "recorded":
        run.wait_for(lambda: "/seed0: trained in " in run.printed)
        run.process.send_signal(signal.SIGSTOP)  # so that it cannot record the stage
        _wait_for_end(_training_process(run))
        in_time = run.kill() and not recorded(folder)
        return {"what": DVC, "moment": TRAINED} if in_time else None
    return _kill_while_training(folder, rng, kind, run, *targets)


def _kill_while_training(
    folder: Path, rng: random.Random, kind: str, run: Running, *targets: str
) -> dict[str, Any] | None:
    after = rng.randint(1, 6)
    run.wait_for(lambda: run.epoch >= after)
    time.sleep(rng.uniform(0, 0.3))
    training = _training_process(run)
    if not run.kill(group=kind == "group"):
        return None
    if kind == "group":
        lost = kills.epochs_lost(folder, run.epoch)
        moment = "during the training"
        return {"what": ALL, "moment": moment, "epoch": run.epoch, "epochs_lost": lost}
    record = {"what": DVC, "moment": CONTINUED, "epoch": run.epoch}
    status, printed = _try_repro(folder, *targets)
    if not status:  # the training had ended by then, and its result is there
        return None
    if training:
        lines = [line for line in printed.splitlines() if line.startswith("train: ")]
        if len(lines) != 1 or f"by process {training} on" not in lines[0]:
            raise BenchmarkError(f"while process {training} trains, dvc repro prints {printed!r}")
        record["message"] = lines[0]
    if kind == "saved" and training and _is_alive(training):
        os.kill(training, signal.SIGTERM)
        record["moment"] = TERMINATED
    _wait_for_end(training)
    if record["moment"] == TERMINATED:
        record["epochs_lost"] = kills.epochs_lost(folder, run.epoch)
    return record


def _training_process(run: Running) -> int | None:
    """The id of the training that this dvc started; None where there is none."""
    processes = subprocess.run(
        ["ps", "-A", "-o", "pid=,pgid=,args="], capture_output=True, text=True, check=True
    )
    for line in processes.stdout.splitlines():
        pid, group, command = line.split(None, 2)
        if int(group) == run.process.pid and "stages.train" in command and "dvc" not in command:
            return int(pid)
    return None


def _is_alive(pid: int) -> bool:
    """Whether that process exists and is not a zombie."""
    done = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(done.stdout.strip()) and not done.stdout.startswith("Z")


def _wait_for_end(pid: int | None, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while pid and _is_alive(pid):
        if time.monotonic() > end:
            raise BenchmarkError(f"process {pid} has trained for more than {seconds:g} s")
        time.sleep(0.02)


def recorded(folder: Path) -> bool:
    """Whether dvc.lock contains the training."""
    lock = folder / "dvc.lock"
    if not lock.exists():
        return False
    return "train@model-0" in yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]


def pipelines(
    folder: Path, kinds: list[str], rng: random.Random, log: Callable[[str], None], **changes: Any
) -> list[dict[str, Any]]:
    """Kill `dvc repro` in those ways, one to three times per pipeline, before it may end.

    Returns a record per kill, with what then differs from an undisturbed pipeline.
    """
    workspace.checkout(folder / "undisturbed", **changes)
    start = time.monotonic()
    repro(folder / "undisturbed")
    seconds, expected = time.monotonic() - start, results(folder / "undisturbed")
    left, found, tries = list(kinds), [], 0
    while left:
        work = folder / "killed"
        shutil.rmtree(work, ignore_errors=True)
        workspace.checkout(work, **changes)
        records = []
        # "anywhere" comes last, since it may be after the training.
        for kind in sorted(left[: rng.randint(1, 3)], key=KINDS.index):
            tries += 1
            if record := kill(work, rng, kind, seconds=seconds):
                left.remove(kind)
                records.append(record)
            if kind in ("alone", "recorded"):  # the training has ended
                break
        saved = kills.epochs_saved(work)
        printed = repro(work)
        differences = results(work).differences(expected)
        if saved and not workspace.RESUMED.search(printed):
            differences.append("started over")
        ended = records and records[-1]["moment"] in (CONTINUED, TRAINED)
        if ended and RESTORED not in printed:
            differences.append("trained again")
        found += [kills.judged(record, differences) for record in records]
        result = ", ".join(differences) or "the same results"
        log(f"{len(found)} of {len(kinds)} kills of dvc: {result}")
        if tries > 3 * len(kinds):
            raise BenchmarkError(
                f"only {len(found)} of {len(kinds)} kills were in time, in {tries} tries"
            )
    return found
