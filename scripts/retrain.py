"""Train a variant with a seed once more, from nothing, and compare with what is in git.

It trains in a temporary copy; here it only prepares `data/`, if that is not up to date. Where the
identity is the same (code, data, processor, versions, settings), the history must be equal to the
last digit and, if all epochs are trained, the weights to the last bit. Elsewhere, and where one of
the two trainings cannot be repeated exactly, the largest differences are printed.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from resnet import params
from resnet.data import arrays
from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.results import same_bits, stale
from resnet.results.metrics import parse
from resnet.results.store import Store
from resnet.training import history, messages
from resnet.training.identity import changes
from resnet.training.record import HISTORY, RECORD, Change, TrainingRecord, model_folder
from scripts.checkout import ROOT, copy_checkout, environment
from scripts.table import dvc

NOT_COMPARED = ("epoch", "seconds")  # columns of a history


def train(variant: str, seed: int, epochs: int, checkout: Path) -> None:
    """Train in a new copy of this checkout, with the arrays of this one."""
    changed = {"variants": [variant], "seeds": [seed], f"{variant}.epochs": epochs}
    copy_checkout(checkout, changed)
    (checkout / "data").mkdir()
    (checkout / arrays.FOLDER).symlink_to(ROOT / arrays.FOLDER)
    command = [sys.executable, "-m", "stages.train", variant, str(seed)]
    status = subprocess.run(command, cwd=checkout, env=environment(checkout), check=False)
    if status.returncode:
        raise BenchmarkError(f"the training ended with status {status.returncode}")


def identity_changes(recorded: TrainingRecord, record: TrainingRecord) -> list[Change]:
    """What differs in all that determines a result, the number of epochs apart."""
    old, new = recorded.identity, record.identity
    found = changes(old, new)
    if same_bits.same_code(old.variant, old.code, new.code, same_bits.read()):
        found = [change for change in found if not change.key.startswith("code.")]
    return [change for change in found if change.key != "parameters.recipe.epochs"]


def differences(
    recorded: TrainingRecord, old: pd.DataFrame, record: TrainingRecord, new: pd.DataFrame
) -> Iterator[str]:
    """How far the histories are from each other, column by column, and whether the weights are.

    The weights of different epochs are not compared.
    """
    if only := set(old) ^ set(new):
        yield f"only one history has {', '.join(sorted(map(str, only)))}"
    for column in [name for name in new if name in old and name not in NOT_COMPARED]:
        before, after = old[column][: len(new)], new[column]
        unequal = ~(before.eq(after) | (before.isna() & after.isna()))
        if unequal.any():
            apart = (before - after).abs()[unequal].max(skipna=False)
            first = unequal.to_list().index(True) + 1
            yield f"{column} differs by up to {apart:.3g}, first in epoch {first}"
    if record.epochs == recorded.epochs and record.checkpoints != recorded.checkpoints:
        yield "the weights differ"


def inexact(recorded: TrainingRecord, record: TrainingRecord) -> str:
    """Why trainings of the same identity may differ; empty where they must be equal."""
    if any(start.changes for start in recorded.starts):
        return "the recorded training was resumed under other conditions"
    if not record.identity.device.deterministic:
        return "a GPU repeats the bits only with DETERMINISTIC=1, in both trainings"
    return ""


def main(arguments: argparse.Namespace) -> None:
    """Train and compare; raises BenchmarkError where equal identities give different results."""
    variant, seed = arguments.variant, arguments.seed
    settings, store = params.load(), Store()
    every = settings.sections
    if variant not in every:
        raise BenchmarkError(f"{variant!r} is no section of params.yaml: {', '.join(every)}")
    results = store.results(variant)
    runs = {run.seed: i for i, run in enumerate(results.runs)} if results else {}
    if not results or seed not in runs:
        raise BenchmarkError(f"metrics/ has no results of {variant} with seed {seed}")
    recorded = results.runs[runs[seed]].training
    path = store.histories_path(variant) / f"seed{seed}.csv"
    history.read(path, recorded.epochs)  # a damaged one is an error now, not after the training
    old = pd.read_csv(path)
    epochs = recorded.epochs if arguments.epochs is None else arguments.epochs
    if not 1 <= epochs <= recorded.epochs:
        raise BenchmarkError(f"--epochs is {epochs}: must be from 1 to {recorded.epochs}")
    for difference in stale.differences(variant, recorded, settings):
        print(f"it cannot be equal: {difference}")
    dvc("repro", "preprocess")
    seconds = epochs * recorded.seconds_per_epoch
    print(
        f"training {epochs} of {recorded.epochs} epochs again: {messages.duration(seconds)} on "
        f"{recorded.identity.device.name}, where they were trained",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="retrain-") as name:
        train(variant, seed, epochs, Path(name))
        folder = Path(name) / model_folder(variant, seed)
        text = (folder / RECORD).read_text(encoding="utf-8")
        record = parse(TrainingRecord, text, RECORD)
        new = pd.read_csv(folder / HISTORY)
    changed = identity_changes(recorded, record)
    found = list(differences(recorded, old, record, new))
    same = "equal: the history to the last digit" + (
        ", the weights to the last bit" if record.epochs == recorded.epochs else ""
    )
    if changed:
        print(f"not the same identity: {messages.differences(changed, most=10)}")
    elif found and (reason := inexact(recorded, record)):
        print(reason)
    elif found:
        raise BenchmarkError(f"the identity is the same, but {'; '.join(found)}")
    print("\n".join(found) or same)


if __name__ == "__main__":
    command = command_parser("scripts.retrain", __doc__)
    command.add_argument("variant", metavar="VARIANT", help="one with results in metrics/")
    command.add_argument("seed", metavar="SEED", type=int)
    command.add_argument("--epochs", metavar="N", type=int, help="only the first N")
    run_stage(main, command)
