"""Measure the speed of the training on this machine.

Reads data/arrays. Writes speed/results/<device>.json, and renders speed/README.md from all
such files. All parts take about an hour on two cores; a part that is not run keeps its results.
"""

import argparse
import os
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resnet.errors import command_parser, one_of, run_stage
from resnet.files import read_json, write_json, write_text
from speed import agreement, measure, tables
from speed.worker import TRAINING_IMAGES

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent / "README.md"
PARTS = ("implementations", "depths", "overheads", "agreement")
LEAST_IMAGES = max(task.batch_size for task in measure.COMPARED)


def main(options: argparse.Namespace) -> None:
    """Measure the parts, and render the page."""
    parts = options.parts or PARTS
    if parts != ["render"]:
        measure.check_arrays()
    for part in parts:
        if part == "implementations":
            found = measure.implementations(options.rounds, options.images, _log)
            _keep(measure.device(), {"implementations": found, "machine": measure.machine()})
        elif part == "depths":
            _keep(measure.device(), {"depths": measure.depths(options.budget, _log)})
        elif part == "overheads":
            _keep(measure.device(), {"overheads": measure.overheads(_log)})
        elif part == "agreement":
            _keep(measure.device(), {"agreement": agreement.run(options.seeds, _log)})
    write_text(PAGE, tables.page([read_json(path) for path in sorted(RESULTS.glob("*.json"))]))
    print(f"written to {PAGE}")


def _keep(device: str, part: dict[str, Any]) -> None:
    """Write a part to the file of this device and backend."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    path = RESULTS / f"{re.sub('[^a-z0-9]+', '-', f'{device} {backend}'.lower())}.json"
    before = read_json(path) if path.exists() else {}
    write_json(
        path,
        {
            **before,
            "device": device,
            "backend": backend,
            "platform": f"{platform.system()} {platform.machine()}",
            **part,
        },
    )


def _whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of an option that is a whole number in this range."""

    def check(text: str) -> int:
        if not text.isdecimal() or int(text) < least or (most and int(text) > most):
            limit = f" to {most}" if most else " or more"
            raise argparse.ArgumentTypeError(f"{text!r}: must be {least}{limit}")
        return int(text)

    return check


def _log(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    command = command_parser("speed", __doc__)
    command.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        type=one_of((*PARTS, "render")),
        help=f"{', '.join(PARTS)}, by default all; render only renders the page",
    )
    command.add_argument(
        "--rounds",
        type=_whole_number(1),
        default=3,
        help="measured epochs of each implementation (default: %(default)s)",
    )
    command.add_argument(
        "--images",
        type=_whole_number(LEAST_IMAGES, TRAINING_IMAGES),
        default=TRAINING_IMAGES,
        help="images of such an epoch (default: %(default)s)",
    )
    command.add_argument(
        "--budget",
        type=float,
        default=5.0,
        help="seconds of a measurement by depth or batch (default: %(default)s)",
    )
    command.add_argument(
        "--seeds",
        type=_whole_number(2),
        default=6,
        help="trainings of each implementation that compare accuracies (default: %(default)s)",
    )
    run_stage(main, command)
