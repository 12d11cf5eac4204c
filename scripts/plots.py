"""Draw DVC's plots as SVG files, without a browser or a network.

Without revisions it draws what `dvc plots show` shows of the workspace. With revisions it draws
what `dvc plots diff` shows: all of them, side by side. DVC fills the templates in .dvc/plots/, and
vl-convert draws them.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import vl_convert
from dvc.utils.serialize import load_yaml

from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.files import LEFT_BEHIND, replaced, write_text
from resnet.results.store import PICTURES
from scripts import sides


def specifications(revisions: Sequence[str]) -> dict[str, dict[str, Any]]:
    """DVC's plots in Vega-Lite, by name: of the workspace, or of the revisions side by side.

    Plots without data are left out. Raises BenchmarkError that names the file where DVC cannot read
    a pipeline or a plot's data.
    """
    for revision in map(sides.revision, revisions):
        if revision.broken:
            raise BenchmarkError(f"{revision.name}: {revision.broken[0]}; nothing was drawn")
    command = ["plots", "diff", *revisions] if revisions else ["plots", "show"]
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *command, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkError(f"dvc {' '.join(command)}: {' '.join(done.stderr.split())}")
    printed = json.loads(done.stdout)
    if errors := printed.get("errors"):
        first = errors[0]
        where = next((str(first[key]) for key in ("source", "name") if first.get(key)), "a plot")
        reason = " ".join(str(first.get("msg") or first.get("type")).split())
        raise BenchmarkError(f"dvc {' '.join(command)}: {where}: {reason}; nothing was drawn")
    found = {name: drawn[0]["content"] for name, drawn in printed["data"].items() if drawn}
    if not revisions:
        _check_drawn(found)
    return found


def _check_drawn(found: Mapping[str, Any]) -> None:
    """Raise BenchmarkError where a plot is missing whose file is not one without rows."""
    for plot in load_yaml("dvc.yaml")["plots"]:
        ((name, definition),) = plot.items()
        ((path, column),) = definition["y"].items()
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
        columns = set(lines[0].split(",")) if lines else set()
        if name not in found and (len(lines) > 1 or not {definition["x"], column} <= columns):
            raise BenchmarkError(
                f"{path}: DVC does not draw it: must have the columns {definition['x']} and "
                f"{column}; run `dvc repro --force -s report`; nothing was drawn"
            )


def draw(specifications: dict[str, dict[str, Any]], folder: Path) -> list[str]:
    """Write an SVG file per specification, in place of all others in the folder; returns the names.

    Raises BenchmarkError where the folder contains anything else, which would be lost.
    """
    others = (path for path in folder.glob("*") if path.suffix != ".svg")
    if other := [path for path in others if not LEFT_BEHIND.fullmatch(path.name)]:
        raise BenchmarkError(
            f"{folder} contains {other[0].name}, which is not an SVG file; "
            "name a folder for the plots alone"
        )
    names = []
    with replaced(folder) as partial:
        partial.mkdir(parents=True)
        for name, specification in specifications.items():
            names.append(re.sub(r"\W+", "-", name) + ".svg")
            (partial / names[-1]).write_text(
                vl_convert.vegalite_to_svg(specification) + "\n", encoding="utf-8"
            )
    return names


def write_scripts(path: Path) -> None:
    """Write Vega, Vega-Lite and Vega-Embed in one file, which .dvc/page.html loads."""
    # None means all three; vl-convert's stub admits only a string.
    write_text(path, vl_convert.javascript_bundle(None))  # type: ignore[arg-type]


def main(arguments: argparse.Namespace) -> None:
    if arguments.scripts:
        return write_scripts(arguments.scripts)
    for name in draw(specifications(arguments.revisions), arguments.out):
        print(arguments.out / name)


if __name__ == "__main__":
    command = command_parser("scripts.plots", __doc__)
    command.add_argument(
        "revisions",
        metavar="REV",
        nargs="*",
        help="compare these; none: draw the workspace",
    )
    command.add_argument(
        "--out", metavar="FOLDER", type=Path, default=PICTURES, help="default: %(default)s"
    )
    command.add_argument(
        "--scripts",
        metavar="FILE",
        type=Path,
        help="only write the scripts that the page of `dvc plots` needs to work offline",
    )
    run_stage(main, command)
