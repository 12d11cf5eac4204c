"""Measure, keep what was measured in speed/results/<device>.json, and render speed/README.md from all such files.

python -m speed                      # all parts: about an hour on two cores
python -m speed ways depths          # these parts; the others stay as they were measured
python -m speed render               # the page alone
"""

import argparse
import os
import platform
import re
from pathlib import Path
from typing import Any

from resnet.errors import BenchmarkError, run_stage
from resnet.files import read_json, write_json, write_text
from speed import agreement, measure, tables

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent / "README.md"
PARTS = ("ways", "depths", "overheads", "agreement")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser("python -m speed", description="Measure; see speed/README.md.")
    parser.add_argument(
        "parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default; render: the page alone"
    )
    parser.add_argument("--rounds", type=int, default=3, help="whole epochs of each way")
    parser.add_argument("--images", type=int, default=50_000, help="images of such an epoch")
    parser.add_argument(
        "--budget",
        type=float,
        default=5.0,
        help="seconds of a measured part, against depth and batch",
    )
    parser.add_argument(
        "--seeds", type=int, default=6, help="runs of each way for the agreement of accuracies"
    )
    options = parser.parse_args(argv)
    if unknown := set(options.parts) - {*PARTS, "render"}:
        raise BenchmarkError(
            f"{', '.join(sorted(unknown))}: must be of {', '.join(PARTS)} or render"
        )
    parts = options.parts or PARTS
    if parts != ["render"]:
        measure.check_arrays()
    for part in parts:
        if part == "ways":
            found = measure.ways(options.rounds, options.images, _log)
            _keep(found[0]["device"], {"ways": found, "machine": measure.machine()})
        elif part == "depths":
            found = measure.depths(options.budget, _log)
            _keep(found[0]["device"], {"depths": found})
        elif part == "overheads":
            _keep(measure.device(), {"overheads": measure.overheads(_log)})
        elif part == "agreement":
            _keep(measure.device(), {"agreement": agreement.run(options.seeds, _log)})
    write_text(PAGE, tables.page([read_json(path) for path in sorted(RESULTS.glob("*.json"))]))
    print(f"written to {PAGE}")


def _keep(device: str, part: dict[str, Any]) -> None:
    """Put a part into the file of this device and backend."""
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


def _log(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    run_stage("speed", main)
