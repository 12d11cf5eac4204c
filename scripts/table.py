"""Train the original's whole table, or the variants and seeds that are named.

Adds the variants to those that params.yaml lists, says what their trainings cost, and runs
`dvc repro` for them and the tables. It is safe to interrupt: the next call resumes.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dvc.utils.serialize import modify_yaml

from resnet import params
from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.params import Params
from resnet.results.provenance import changes_behind
from resnet.results.recipes import recognize
from resnet.training import cost
from resnet.training.identity import training_parameters
from resnet.training.pending import Name, trainings
from scripts.repository import repository

ORIGINAL = (  # the networks for which the original has results
    "ResNet20v1",
    "ResNet32v1",
    "ResNet44v1",
    "ResNet56v1",
    "ResNet110v1",
    "ResNet56v2",
    "ResNet110v2",
)


def originals(settings: Params) -> list[str]:
    """The section of each of these networks: the one of that name, else `model` if it is that one.

    Raises BenchmarkError where params.yaml has none. Names those with another recipe, whose results
    are not beside the original's.
    """
    model, found = settings.sections.get("model"), []
    for name in ORIGINAL:
        if name in settings.sections:
            found.append(name)
        elif model and model.network.name == name:
            found.append("model")
        else:
            raise BenchmarkError(
                f"{params.PATH} has no section of {name}, the original's network: add one of that "
                "name, or name the VARIANTS to train"
            )
    every = replace(settings, variants=settings.sections)
    for name in found:
        recognized = recognize(training_parameters(every, name))
        if recognized.name != "original" or not recognized.exact:
            keys = ", ".join(each.key for each in recognized.differences)
            other = f" with another {keys}" if keys else ""
            print(
                f"{name} has recipe {recognized.name}{other}: its results will be in another table "
                "than the original's"
            )
    return found


def add_to_listed(variants: Sequence[str], seeds: Sequence[int]) -> Params:
    """Add to `variants` of params.yaml, whose comments stay; returns what it has then.

    Raises BenchmarkError, and changes nothing, for a variant without a section, and for a seed that
    is not among `seeds`, which all listed variants share.
    """
    settings = params.load()
    if unknown := [name for name in variants if name not in settings.sections]:
        known = ", ".join(settings.sections)
        raise BenchmarkError(f"{params.PATH} has no section {unknown[0]}; there are {known}")
    if other := [seed for seed in seeds if seed not in settings.seeds]:
        listed = ", ".join(map(str, settings.seeds))
        raise BenchmarkError(
            f"{other[0]} is not among seeds of {params.PATH}: {listed}; add it there, and every "
            "listed variant is trained with it"
        )
    missing = [name for name in dict.fromkeys(variants) if name not in settings.variants]
    if not missing:
        return settings
    with modify_yaml(str(params.PATH)) as values:
        values["variants"] = [*settings.variants, *missing]
    print(f"{params.PATH}: added {', '.join(missing)} to variants; commit it with the results")
    return params.load()


def not_trained(repo: Any) -> list[Name]:
    """The trainings that are not done, by code and values up to the data, which may not be here."""
    return [name for name, stage in trainings(repo).items() if any(changes_behind(stage))]


def dvc(*arguments: str) -> None:
    """Run dvc; exits with its status if that is not 0."""
    with subprocess.Popen([sys.executable, "-m", "dvc", *arguments]) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:  # dvc gets it from the terminal, and waits for a training to save
            process.wait()
            raise
    if status:
        sys.exit(status)


def evaluate(variants: Sequence[str], missing: Sequence[Name]) -> None:
    """Evaluate those variants of which no training is missing, and bring the tables up to date."""
    incomplete = {name.variant for name in missing}
    if complete := [f"evaluate@{name}" for name in variants if name not in incomplete]:
        dvc("repro", *complete)
        dvc("repro", "--single-item", "report")
    if rest := [name for name in variants if name in incomplete]:
        print(f"not evaluated, since seeds are missing: {', '.join(rest)}")


def main(arguments: argparse.Namespace) -> None:
    variants = list(dict.fromkeys(arguments.variants)) or originals(params.load())
    settings = add_to_listed(variants, arguments.seeds)
    seeds = arguments.seeds or settings.seeds
    wanted = [Name(variant, seed) for variant in variants for seed in seeds]
    with repository() as repo:
        missing = [name for name in not_trained(repo) if name in wanted]
    time = cost.estimate([settings.variant(name.variant) for name in missing], cost.timed())
    plural = "s" * (len(missing) != 1)
    print(f"{len(missing)} training{plural} to run{time and f': {time}'}", flush=True)
    dvc("repro", *(name.stage for name in wanted))
    with repository() as repo:
        missing = not_trained(repo)
    evaluate(variants, missing)


if __name__ == "__main__":
    command = command_parser("scripts.table", __doc__)
    command.add_argument("variants", metavar="VARIANT", nargs="*", help="default: the original's")
    command.add_argument(
        "--seeds", metavar="SEED", nargs="+", type=int, default=[], help="default: all"
    )
    run_stage(main, command)
