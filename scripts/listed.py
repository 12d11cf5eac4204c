"""Check that every listed variant was trained with the code and values that are here.

Its weights must be in checkpoints/ and evaluated, too, and the tables must be up to date. Then a
clone has what its tables claim: `dvc repro` trains nothing there but `model`, if that is not
trained yet, and `dvc exp run -S model.n=9` trains the seeds of that network alone. Part of `make
check`.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.results.provenance import changes_behind, stage_changes
from resnet.training.pending import Name, trainings
from scripts import checkpoints
from scripts.repository import repository

NOT_YET = "model"  # listed without a training, since it is the one under study
WAYS_OUT = (
    "`dvc repro` and `make publish` train and publish it, `make same-bits` is for edits that "
    "change no result, or remove it from variants in params.yaml: its results stay in the tables. "
    "`dvc repro --single-item STAGE` runs any other stage again"
)


def problems(repo: Any) -> Iterator[str]:
    """A line for each training or result that is not as listed; `repo` is a dvc.repo.Repo."""
    recorded, lists = checkpoints.recorded(), dict[Name, Path]()
    begun = {name.variant for name in recorded}
    for name, stage in trainings(repo).items():
        if name not in recorded:
            if name.variant != NOT_YET or NOT_YET in begun:
                yield f"{name}: dvc.lock does not record it"
            continue
        for what, item in changes_behind(stage):
            yield f"{name}: {what} {item}"
        try:
            oid = checkpoints.output(recorded[name])
            lists[name], *_ = checkpoints.objects(checkpoints.FOLDER, oid)
        except BenchmarkError as error:
            yield f"{name}: its weights are not in {checkpoints.FOLDER}/: {error}"
    yield from checkpoints.not_evaluated(repo, lists)
    for stage in repo.index.stages:
        evaluated = stage.name.startswith("evaluate@") and any(out.hash_info for out in stage.outs)
        if evaluated or stage.name == "report":
            for what, item in stage_changes(stage):
                yield f"{what} {item}"


def main(_arguments: argparse.Namespace) -> None:
    with repository() as repo:
        found = list(problems(repo))
    if found:
        shown = "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")
        raise BenchmarkError(f"{shown}. {WAYS_OUT}")


if __name__ == "__main__":
    run_stage(main, command_parser("scripts.listed", __doc__))
