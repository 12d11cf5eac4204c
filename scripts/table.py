"""Train the original's whole table: list its variants in params.yaml, and run `dvc repro`.

What that costs is said first. It is safe to interrupt: the next call resumes.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dvc.utils.serialize import modify_yaml

from resnet import params
from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.results.provenance import stage_changes
from resnet.training import cost
from resnet.training.pending import Name, trainings

ORIGINAL = (  # the networks that the original has results of; model is ResNet20v1
    "model",
    "ResNet32v1",
    "ResNet44v1",
    "ResNet56v1",
    "ResNet110v1",
    "ResNet56v2",
    "ResNet110v2",
)


def add_to_listed(variants: Sequence[str], seeds: Sequence[int]) -> None:
    """Add to `variants` of params.yaml, and set `seeds` if there are any; comments stay."""
    settings = params.load()
    if unknown := [name for name in variants if name not in settings.sections]:
        known = ", ".join(settings.sections)
        raise BenchmarkError(f"{params.PATH} has no section {unknown[0]}; there are {known}")
    missing = [name for name in variants if name not in settings.variants]
    changes: dict[str, Any] = {}
    if missing:
        changes["variants"] = [*settings.variants, *missing]
    if seeds and tuple(seeds) != settings.seeds:
        changes["seeds"] = list(seeds)
    if changes:
        with modify_yaml(str(params.PATH)) as values:
            values.update(changes)
        print(f"{params.PATH}: changed {' and '.join(changes)}; commit it with the results")


def to_train(repo: Any) -> list[Name]:
    """The trainings that are not done, by code and values: the data may not be here yet."""
    cached = [Path(out.def_path) for out in repo.index.outs if out.use_cache]
    return [name for name, stage in trainings(repo).items() if any(stage_changes(stage, cached))]


def main(arguments: argparse.Namespace) -> None:
    from dvc.repo import Repo

    add_to_listed(arguments.variants or ORIGINAL, arguments.seeds)
    settings = params.load()
    with Repo(".") as repo:
        names = to_train(repo)
    time = cost.estimate([settings.variant(name.variant) for name in names], cost.timed())
    print(f"{len(names)} trainings to run{time and f': {time}'}", flush=True)
    status = subprocess.run([sys.executable, "-m", "dvc", "repro"], check=False).returncode
    if status:
        sys.exit(status)


if __name__ == "__main__":
    command = command_parser("scripts.table", __doc__)
    command.add_argument("variants", metavar="VARIANT", nargs="*", help="default: the original's")
    command.add_argument("--seeds", metavar="SEED", nargs="+", type=int, default=[])
    run_stage(main, command)
