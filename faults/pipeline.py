"""Kill a real dvc, alone or with all its processes, and compare what the next `dvc repro` ends with to an undisturbed one's."""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from faults import kills
from faults.kills import Running
from resnet.errors import BenchmarkError
from resnet.files import read_json

REPRO = ("dvc", "repro")
KINDS = ("alone", "saved", "group", "recorded", "anywhere")


class Results(NamedTuple):
    """What the pipeline ended with, times apart."""

    trained: kills.Outcome
    metrics: dict[str, Any]
    files: dict[str, str]  # predictions, confusion counts and the learning curve

    def differences(self, other: "Results") -> list[str]:
        files = [
            name
            for name in {**self.files, **other.files}
            if self.files.get(name) != other.files.get(name)
        ]
        return (
            kills.differences(self.trained, other.trained)
            + files
            + ["metrics"] * (self.metrics != other.metrics)
        )


def results(folder: Path) -> Results:
    metrics = read_json(folder / "metrics/runs/model.json")
    timeless = {key: value for key, value in metrics.items() if key not in kills.VARYING}
    timeless["runs"] = [
        {key: value for key, value in run.items() if key not in kills.VARYING}
        for run in metrics["runs"]
    ]
    files = {
        name: (folder / "metrics" / name).read_text()
        for name in ("predictions/model.txt", "plots/confusion/model.csv")
    }
    curve = (folder / "metrics/plots/history/model/seed0.csv").read_text()
    files["plots/history/model/seed0.csv"] = re.sub(
        r",[^,\n]*$", "", curve, flags=re.MULTILINE
    )  # the seconds
    return Results(kills.outcome(folder), timeless, files)


def repro(folder: Path, *targets: str) -> str:
    """A whole `dvc repro`; what it printed. Raises BenchmarkError where it fails."""
    status, printed = tried(folder, *targets)
    if status:
        raise BenchmarkError(f"dvc repro ended with {status}: {' '.join(printed.split())}")
    return printed


def tried(folder: Path, *targets: str) -> tuple[int, str]:
    done = subprocess.run(
        [*REPRO, *targets],
        cwd=folder,
        env=kills.env(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def kill(
    folder: Path, rng: random.Random, kind: str, *targets: str, seconds: float = 0.0
) -> dict[str, Any] | None:
    """Start `dvc repro` and kill it; a record of it, None where it ended first. Afterwards no process is left.

    "alone": dvc alone while it trains; its orphan trains on, and meanwhile the next `dvc repro` is told so.
    "saved": the same, but the orphan is ended by `kill`, as it was told.
    "group": dvc and all its processes while it trains. "anywhere": the same, at any moment of the pipeline's `seconds`.
    "recorded": dvc alone, once the trainer has ended but before dvc.lock holds its stage.
    """
    run = Running(folder, (*REPRO, *targets), kills.env(folder))
    if kind == "anywhere":
        time.sleep(rng.uniform(0, seconds))
        made = run.kill(group=True)
        stage = (re.findall(r"^Running stage '(\w+)", run.printed, re.MULTILINE) or ["start"])[-1]
        return (
            {"what": "`dvc repro` with all its processes", "hit": f"at any moment: in {stage}"}
            if made
            else None
        )
    if kind == "recorded":
        run.wait_for(lambda: "/seed0: trained in " in run.printed)
        run.process.send_signal(signal.SIGSTOP)  # so that it records nothing
        wait_for_end(trainer(run))
        made = run.kill()
        return (
            {"what": "`dvc repro` alone", "hit": "the training done, its stage not recorded"}
            if made and not recorded(folder)
            else None
        )
    after = rng.randint(1, 6)
    run.wait_for(lambda: run.epoch >= after)
    time.sleep(rng.uniform(0, 0.3))
    orphan = trainer(run)
    if not run.kill(group=kind == "group"):
        return None
    record = {"what": "`dvc repro` alone", "hit": "while its training ran on", "epoch": run.epoch}
    if kind == "group":
        lost = max(0, kills.lost(folder, run.epoch))
        return {
            **record,
            "what": "`dvc repro` with all its processes",
            "hit": "in the training",
            "epochs_lost": lost,
        }
    status, printed = tried(folder, *targets)
    if orphan and status:
        told = [line for line in printed.splitlines() if line.startswith("train: ")]
        if len(told) != 1 or f"by process {orphan} on" not in told[0]:
            raise BenchmarkError(f"while the orphan {orphan} trains, dvc repro says {printed!r}")
        record["told"] = told[0]
    if kind == "saved" and orphan and alive(orphan):
        os.kill(orphan, signal.SIGTERM)
        record["hit"] = "its training ended by kill, as told"
    wait_for_end(orphan)
    return record


def trainer(run: Running) -> int | None:
    """The process of the training below that dvc; None where there is none."""
    for line in subprocess.run(
        ["ps", "-A", "-o", "pid=,pgid=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines():
        pid, group, command = line.split(None, 2)
        if int(group) == run.process.pid and "stages.train" in command and "dvc" not in command:
            return int(pid)
    return None


def alive(pid: int) -> bool:
    """Whether that process is there and no zombie."""
    done = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(done.stdout.strip()) and not done.stdout.startswith("Z")


def wait_for_end(pid: int | None, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while pid and alive(pid):
        if time.monotonic() > end:
            raise BenchmarkError(f"process {pid} trains longer than {seconds:g} s")
        time.sleep(0.02)


def recorded(folder: Path) -> bool:
    """Whether dvc.lock holds the training."""
    lock = folder / "dvc.lock"
    return (
        lock.exists()
        and "train@model-0" in yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
    )


def dvcs(
    folder: Path, kinds: list[str], rng: random.Random, log: Callable[[str], None], **changes: Any
) -> list[dict[str, Any]]:
    """Kill dvc in those ways, one to three times a pipeline, then let `dvc repro` end it; a record a kill, with what then differed."""
    kills.checkout(folder / "undisturbed", **changes)
    start = time.monotonic()
    repro(folder / "undisturbed")
    seconds, expected = time.monotonic() - start, results(folder / "undisturbed")
    left, found, tries = list(kinds), [], 0
    while left:
        work = folder / "killed"
        shutil.rmtree(work, ignore_errors=True)
        kills.checkout(work, **changes)
        records = []
        for kind in sorted(
            left[: rng.randint(1, 3)], key=KINDS.index
        ):  # "anywhere" comes last, since it may be after the training
            tries += 1
            if record := kill(work, rng, kind, seconds=seconds):
                left.remove(kind)
                records.append(record)
            if kind in ("alone", "recorded"):  # the training is done then
                break
        printed = repro(work)
        differ = results(work).differences(expected)
        if records and records[-1]["hit"] in (
            "while its training ran on",
            "the training done, its stage not recorded",
        ):
            differ += (
                []
                if "trained already, by a run that DVC did not record" in printed
                else ["trained anew"]
            )
        found += [{**record, "differ": differ} for record in records]
        log(f"{len(found)} of {len(kinds)} kills of dvc: {', '.join(differ) or 'the same results'}")
        if tries > 3 * len(kinds):
            raise BenchmarkError(
                f"only {len(found)} of {len(kinds)} kills came before dvc had ended, in {tries} tries"
            )
    return found
