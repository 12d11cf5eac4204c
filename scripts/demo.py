"""Run the whole pipeline on small synthetic images, in a copy of the checkout.

`make demo`. The checkout itself is not changed. The copy is temporary, or with --keep DIR a new
checkout in that folder.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from resnet import params
from resnet.errors import BenchmarkError, command_parser, run_stage
from scripts.checkout import ROOT, commit, copy_checkout, environment

SMALL = {
    "data.source": "synthetic",
    "data.synthetic": {"train_images": 2000, "test_images": 500, "seed": 0},
    "variants": ["model", "ResNet11v2"],
    "seeds": [0, 1],
    "model": {"version": 1, "n": 1},
    "ResNet11v2": {"version": 2, "n": 1},
    "train.recipe": "original",  # also where the checkout has another one
    "recipes.original.epochs": 4,
}
# What DVC and report say at the end about files that are then gone, or committed.
HINTS = re.compile(
    r"To track the changes with git|\tgit add |To enable auto staging|\tdvc config core\.autostage"
    r"|Use `dvc push`|written to metrics/"
)
NEXT = """
The demo took {seconds:.0f} s. It ran in a temporary copy, and your checkout is unchanged. The notes
[1] to [9] of the tables are in metrics/README.md. Next, for example:

  make test                                               # the tests, 10 to 30 minutes
  make demo KEEP=../demo                                  # the demo again; keeps its folder
  make retrain VARIANT=ResNet20v1-short SEED=0 EPOCHS=3   # repeats a training on CIFAR-10

README.md says what the trainings on CIFAR-10 cost.
"""
NEXT_KEPT = """
The demo took {seconds:.0f} s. {folder} is a checkout of its own, with these results committed.
Your checkout is unchanged. Next, try a change there, e.g. a deeper network:

  . {activate}
  cd {folder}
  dvc exp run -S model.n=2        # trains it, and renders the tables again
  python -m scripts.review HEAD   # compares the results with the committed ones
"""


def check_empty(folder: Path) -> None:
    """Raise BenchmarkError unless this is a new or empty folder outside of the checkout."""
    if folder.exists() and not folder.is_dir():
        raise BenchmarkError(f"{folder}: not a folder; name a new one")
    if folder.is_dir() and any(folder.iterdir()):
        raise BenchmarkError(f"{folder}: not empty; name a new folder")
    if folder.resolve().is_relative_to(ROOT):
        raise BenchmarkError(f"{folder}: inside this checkout; name a folder outside of it")


def without_hints(lines: Iterable[str]) -> Iterator[str]:
    """The lines without HINTS and the empty lines before them."""
    empty: list[str] = []
    for line in lines:
        if not line.strip():
            empty.append(line)
            continue
        if not HINTS.match(line):
            yield from (*empty, line)
        empty = []


def reproduce(folder: Path) -> None:
    """Run `dvc repro` in a copy and print what it does; exits with its status if that is not 0."""
    copy_checkout(folder, SMALL)
    # unbuffered, so that DVC's lines stay among those of the stages
    env = {**environment(folder), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "dvc", "repro"]
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as dvc:
        assert dvc.stdout
        for line in without_hints(dvc.stdout):
            print(line, end="", flush=True)
    if dvc.returncode:
        sys.exit(dvc.returncode)


def main(arguments: argparse.Namespace) -> None:
    """Run the demo; exits with the status of `dvc repro`."""
    params.load(ROOT / "params.yaml")  # names what is wrong with it
    start, folder = time.monotonic(), arguments.keep
    if folder:
        check_empty(folder)
        reproduce(folder)
        commit(folder, "The demo's results")
        text = NEXT_KEPT.format(
            seconds=time.monotonic() - start,
            folder=shlex.quote(str(folder)),
            activate=shlex.quote(os.path.relpath(Path(sys.prefix, "bin", "activate"))),
        )
    else:
        with tempfile.TemporaryDirectory(prefix="resnet-demo-") as name:
            reproduce(Path(name))
        text = NEXT.format(seconds=time.monotonic() - start)
    print(text, end="")


if __name__ == "__main__":
    command = command_parser("scripts.demo", __doc__)
    command.add_argument(
        "--keep", metavar="DIR", type=Path, help="run in this new folder, and keep it"
    )
    run_stage(main, command)
