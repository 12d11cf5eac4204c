"""DVC's plots as SVG: `make plots`, or `python -m scripts.plots --out FOLDER BASE [REV]` to compare revisions.

The same as `dvc plots show` and `dvc plots diff` draw on their page: DVC fills the templates, vl-convert draws them, without a
browser or a network.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import vl_convert

from resnet.errors import BenchmarkError, run_stage
from resnet.files import replaced, write_text

PICTURES = Path("metrics/pictures")


def specifications(revisions: Iterable[str]) -> dict[str, dict[str, Any]]:
    """DVC's plots, name to Vega-Lite: of the workspace, or of the revisions side by side; none of a plot without data."""
    command = ["plots", "diff", *revisions] if revisions else ["plots", "show"]
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *command, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkError(f"dvc {' '.join(command)}: {' '.join(done.stderr.split())}")
    found = json.loads(done.stdout)["data"]
    return {name: drawn[0]["content"] for name, drawn in found.items() if drawn}


def draw(specifications: dict[str, dict[str, Any]], folder: Path) -> list[str]:
    """Write an SVG file for each specification; the folder then holds these and no others. Returns their names.

    Raises BenchmarkError where the folder holds anything else, which would be lost.
    """
    if other := [path for path in folder.glob("*") if path.suffix != ".svg"]:
        raise BenchmarkError(
            f"{folder} holds {other[0].name}, which is no picture: name a folder of its own"
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
    """Write Vega, Vega-Lite and Vega-Embed in one file, as vl-convert has them: .dvc/page.html, the page of `dvc plots`, loads it."""
    write_text(path, vl_convert.javascript_bundle(None))  # type: ignore[arg-type]  # None is all of it; its stub says str


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.plots", description="DVC's plots as SVG."
    )
    parser.add_argument(
        "revisions",
        metavar="REV",
        nargs="*",
        help="compare these, as `dvc plots diff` does; none: the workspace",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path, default=PICTURES, help="default: %(default)s"
    )
    parser.add_argument(
        "--scripts",
        metavar="FILE",
        type=Path,
        help="only write what the page of `dvc plots` needs to work offline",
    )
    arguments = parser.parse_args(argv)
    if arguments.scripts:
        return write_scripts(arguments.scripts)
    for name in draw(specifications(arguments.revisions), arguments.out):
        print(arguments.out / name)


if __name__ == "__main__":
    run_stage("plots", main)
