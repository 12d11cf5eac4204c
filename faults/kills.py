"""Kill real trainings at random moments, resume them, and compare with an undisturbed training."""

import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from faults import workspace
from faults.outcome import differences, outcome
from faults.process import Running
from faults.workspace import MODEL, TRAIN
from resnet.errors import BenchmarkError
from resnet.training.resume import Store

# What a kill aims at, in the order of a training; what it hit is determined afterwards.
MOMENTS = ("start", "compilation", "epoch", "state", "result")


class Killed(NamedTuple):
    """What a kill hit, and the last epoch that the training had printed in that start."""

    moment: str
    epoch: int


def kill(folder: Path, rng: random.Random, moment: str, env: dict[str, str]) -> Killed | None:
    """Start the training and kill it at about that moment; None where it ended before."""
    left = partial_result(folder)
    run = Running(folder, TRAIN, env)
    if moment == "start":
        time.sleep(rng.uniform(0, 3))
    elif moment == "result":
        run.wait_for(lambda: partial_result(folder) not in (None, left))
        time.sleep(rng.uniform(0, 0.2))
    else:
        run.wait_for(lambda: run.device_found)
    if moment == "compilation":
        time.sleep(rng.uniform(0, 1))
    elif moment in ("epoch", "state"):
        after = rng.randint(1, 6)
        run.wait_for(lambda: len(run.epochs) >= after)
        if moment == "state":
            run.wait_for(lambda: partial_states(folder), pause=0)
        else:
            time.sleep(rng.uniform(0, 0.3))
    return Killed(moment_hit(folder, run, left), run.epoch) if run.kill() else None


def moment_hit(folder: Path, run: Running, left: int | None) -> str:
    """What a killed training was doing; `left` is the partial result that was there before it."""
    if (folder / MODEL).exists():
        return "after writing the result"
    if partial_result(folder) not in (None, left):
        return "while writing the result"
    if partial_states(folder):
        return "while writing a state"
    if run.epoch:
        return "during an epoch"
    return "while compiling" if run.device_found else "while starting"


def partial_states(folder: Path) -> list[str]:
    """The states that are not written completely."""
    # os.listdir is faster than Path.iterdir, and a state is partial for milliseconds.
    return [
        name
        for training in workspace.trainings(folder)
        for name in os.listdir(training)  # noqa: PTH208
        if name.endswith(".partial")
    ]


def partial_result(folder: Path) -> int | None:
    """When the result that is not written completely last changed; None where there is none.

    After a kill it stays until the next one is written.
    """
    try:
        return (folder / MODEL).with_name(f".{MODEL.name}.partial").stat().st_ctime_ns
    except FileNotFoundError:
        return None


def epochs_lost(folder: Path, epoch: int) -> int:
    """How many of the epochs printed so far are in no state and no kept result."""
    saved = epochs_saved(folder)
    return 0 if saved is None else max(0, epoch - saved)


def epochs_saved(folder: Path) -> int | None:
    """The epochs of the last state, 0 where there is none; None where the result is kept."""
    trainings = workspace.trainings(folder)
    if any(path for training in trainings for path in training.glob("result-*")):
        return None
    return max((Store(training).epochs for training in trainings), default=0)


def judged(record: dict[str, Any], differences: list[str]) -> dict[str, Any]:
    """A record of a kill with what is not as expected: at most one epoch may be lost."""
    lost = record.get("epochs_lost", 0)
    return {**record, "differences": differences + [f"{lost} epochs lost"] * (lost > 1)}


def trainings(
    folder: Path,
    moments: Sequence[str],
    rng: random.Random,
    log: Callable[[str], None],
    **more: str,
) -> list[dict[str, Any]]:
    """Kill a training at those moments, three to five times before it may end.

    Returns a record per kill, with what then differs from an undisturbed training. A training that
    ends before a kill is compared, too, and the kill is tried again in another one.
    """
    workspace.reset(folder)
    workspace.finish(folder, **more)
    expected = outcome(folder)
    left, found, tries = list(moments), [], 0
    while left:
        workspace.reset(folder)
        records: list[dict[str, Any]] = []
        # In the order of a training: a kill at the result comes after all epochs.
        for moment in sorted(left[: rng.randint(3, 5)], key=MOMENTS.index):
            tries += 1
            if killed := kill(folder, rng, moment, workspace.env(folder, **more)):
                left.remove(moment)
                records.append(
                    {
                        "what": "`python -m stages.train`",
                        "moment": killed.moment,
                        "epoch": killed.epoch,
                        "epochs_lost": epochs_lost(folder, killed.epoch),
                    }
                )
        saved = epochs_saved(folder)
        printed = workspace.finish(folder, **more)
        found_differences = differences(outcome(folder), expected)
        if saved != 0 and not workspace.RESUMED.search(printed):
            found_differences.append("started over")
        found += [judged(record, found_differences) for record in records]
        result = ", ".join(found_differences) or "bit-identical"
        log(f"{len(found)} of {len(moments)} kills of a training: {result}")
        if tries > 3 * len(moments):
            raise BenchmarkError(
                f"only {len(found)} of {len(moments)} kills were in time, in {tries} tries"
            )
    return found
