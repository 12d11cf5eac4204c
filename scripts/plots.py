"""Draw DVC's plots of several revisions side by side as SVG, without a browser or a network.

They are those of `dvc plots diff`. The report stage draws those of the workspace alone.
"""

import argparse
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import vl_convert

from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.files import write_text
from resnet.results import pictures
from resnet.results.provenance import WORKSPACE
from scripts import sides
from scripts.repository import DVC

OUT = Path("dvc_plots/svg")  # of these plots alone, beside the page of `dvc plots`


def specifications(revisions: Sequence[str]) -> dict[str, dict[str, Any]]:
    """DVC's plots of revisions side by side in Vega-Lite, by name.

    Plots without data are left out. Raises BenchmarkError that names the file where DVC cannot read
    a pipeline or a plot's data.
    """
    for revision in map(sides.revision, revisions):
        if revision.broken:
            raise BenchmarkError(f"{revision.name}: {revision.broken[0]}; nothing was drawn")
    command = ["plots", "diff", *revisions]
    done = subprocess.run(
        [*DVC, *command, "--json"],
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
    return {name: drawn[0]["content"] for name, drawn in printed["data"].items() if drawn}


def write(drawn: Mapping[str, str], folder: Path) -> None:
    """Write SVG files by name, and remove those of an earlier call from OUT, but no other file."""
    for name, text in drawn.items():
        write_text(folder / name, text)
    for path in folder.glob("*.svg") if folder == OUT else ():
        if path.name not in drawn:
            path.unlink()


def write_scripts(path: Path) -> None:
    """Write Vega, Vega-Lite and Vega-Embed in one file, which .dvc/page.html loads."""
    # None means all three; vl-convert's stub admits only a string.
    write_text(path, vl_convert.javascript_bundle(None))  # type: ignore[arg-type]


def main(arguments: argparse.Namespace) -> None:
    if arguments.scripts:
        return write_scripts(arguments.scripts)
    found = specifications(arguments.revisions or [WORKSPACE]).items()
    drawn = {f"{pictures.file_name(name)}.svg": pictures.svg(name, each) for name, each in found}
    write(drawn, arguments.out)
    for name in drawn:
        print(arguments.out / name)


if __name__ == "__main__":
    command = command_parser("scripts.plots", __doc__)
    command.add_argument(
        "revisions", metavar="REV", nargs="*", help="a commit, or workspace (default)"
    )
    command.add_argument(
        "--out", metavar="FOLDER", type=Path, default=OUT, help="default: %(default)s"
    )
    command.add_argument(
        "--scripts",
        metavar="FILE",
        type=Path,
        help="only write the scripts that the page of `dvc plots` needs to work offline",
    )
    run_stage(main, command)
