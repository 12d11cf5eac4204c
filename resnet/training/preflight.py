"""What is checked and said before a training starts.

No result depends on this module, so it is not among the deps of the train stage.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import psutil

from resnet import backend
from resnet.errors import BenchmarkError
from resnet.files import write_json
from resnet.params import Params
from resnet.schema import Count, Schema, validate_json
from resnet.training import cost, pending
from resnet.training.pending import Name
from resnet.training.record import model_folder

LINKS_REFUSED = (Path("models"), Path("data"))
RWLOCK = Path(".dvc/tmp/rwlock")  # where DVC notes which process writes which output
IN_GIT = "checkpoints"  # the remote that every clone has, see scripts/checkpoints.py
STARTED = Path(".dvc/tmp/trainings.json")


class Started(Schema):
    """How many trainings a run of DVC has started, and how many it may start in all."""

    schema_version: Literal[1] = 1
    run: str  # the process and its command
    number: Count
    total: Count


def check(settings: Params, name: str, seed: int) -> None:
    """Say what is about to be trained; raises BenchmarkError where it must not start.

    The first training of a run of DVC says how many are to be run and about how long they take, and
    every one says which of them it is. A training that dvc.lock records is refused where DVC's
    default remote or checkpoints/ has its output, unless RETRAIN=1.
    """
    for path in LINKS_REFUSED:
        if path.is_symlink():
            raise BenchmarkError(
                f"{path} is a symbolic link, which DVC refuses after the training; move the cache "
                "instead: `dvc cache dir` (docs/environment.md)"
            )
    training, again = Name(name, seed), backend.flag("RETRAIN", default=False)
    if os.environ.get("DVC_STAGE", "").rpartition(":")[2] != training.stage:
        return  # started by hand, which is deliberate
    run = _run_of_dvc(training)
    started = _started(run)
    if not again:
        _refuse_recorded(training)
    if not started:
        found = _pending(training, run)
        started = Started(run=run, number=1, total=len(found))
        print(_announcement(settings, found), flush=True)
    write_json(STARTED, started.model_dump(mode="json"))
    if started.total > 1:
        of = f"{started.number} of up to {max(started.total, started.number)}"
        print(f"training {of}: {name}, seed {seed}", flush=True)


def _refuse_recorded(training: Name) -> None:
    """Raise BenchmarkError where the training's output can be pulled."""
    lock = Path("dvc.lock")
    if not lock.exists() or training.stage not in lock.read_text(encoding="utf-8"):
        return
    from dvc.repo import Repo  # takes a second to import

    with Repo(".") as repo:
        refuse_held(pending.trainings(repo)[training], training)


def refuse_held(stage: Any, training: Name) -> None:
    """Raise BenchmarkError where dvc.lock records a training and a remote has its output."""
    if not pending.is_recorded(stage):
        return
    for remote, option in ((None, ""), (IN_GIT, f" --remote {IN_GIT}")):
        try:
            held = pending.remote_holds(stage, remote)
        except BenchmarkError as error:
            raise BenchmarkError(
                f"dvc.lock records this training, and {error}; RETRAIN=1 trains it again"
            ) from error
        if held:
            raise BenchmarkError(
                f"{training.variant} with seed {training.seed} is trained already, and a "
                f"remote has its weights: run `dvc pull{option} train`; RETRAIN=1 trains it "
                "again"
            )


def _pending(training: Name, run: str) -> list[Name]:
    """The trainings of this run of DVC: the pending ones among its targets, if it names any."""
    from dvc.repo import Repo

    targets = pending.targets(run)
    with Repo(".") as repo:
        return [
            each
            for each in pending.pending(repo, running=training)
            if not targets or each.variant in targets or str(each) in targets or each == training
        ]


def _announcement(settings: Params, trainings: Sequence[Name]) -> str:
    """How many trainings this run starts, and about how long they take."""
    variants = [settings.variant(each.variant) for each in trainings]
    time = cost.estimate(variants, cost.timed())
    count = f"up to {len(trainings)} trainings" if len(trainings) > 1 else "1 training"
    return f"{count} to run{time and f': {time}'}"


def _run_of_dvc(training: Name) -> str:
    """The process of DVC that runs this stage, and its command, as DVC's own lock names them."""
    try:
        writers = json.loads(RWLOCK.read_text(encoding="utf-8"))["write"]
        writer = writers[str(model_folder(*training).resolve())]
        started = psutil.Process(int(writer["pid"])).create_time()  # a number can be used again
        return f"{writer['pid']} {started} {writer['cmd']}"
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return ""


def _started(run: str) -> Started | None:
    """What this run has started, this training included; None where it is the first."""
    try:
        text = STARTED.read_text(encoding="utf-8")
        last = validate_json(Started, text, str(STARTED))
    except (OSError, UnicodeDecodeError, BenchmarkError):
        return None
    if not run or last.run != run:
        return None
    return last.model_copy(update={"number": last.number + 1})
