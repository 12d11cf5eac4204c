"""Kill real trainings, give real commands bad inputs, and check the results.

Writes what it found to faults/results.json and renders faults/README.md from it. All parts take
about 25 minutes on two cores; a part that is not run keeps its last results.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from faults import inputs, kills, pipeline, tables, workspace
from resnet.errors import BenchmarkError, command_parser, one_of, run_stage
from resnet.files import read_json, write_json, write_text
from scripts.command import output

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parent / "README.md"
PARTS = ("kills", "jax", "inputs")
EPOCHS = {"recipes.original.epochs": 40}  # enough for several kills of one training
# How often each moment of a training and each kind of kill of dvc is tried.
TRAINING_KILLS = {"start": 3, "compilation": 3, "epoch": 6, "state": 4, "result": 3}
JAX_KILLS = {"start": 1, "compilation": 1, "epoch": 1, "state": 1, "result": 1}
DVC_KILLS = {"anywhere": 3, "alone": 2, "saved": 1, "group": 2, "recorded": 3}


def main(options: argparse.Namespace) -> None:
    """Run the parts; raises BenchmarkError where anything differs from what is expected."""
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="resnet-faults-") as folder:
        for part in options.parts or (("inputs",) if options.names else PARTS):
            if part != "render":
                found[part] = _run(part, Path(folder) / part, seed, options.names)
                if not options.names:
                    before = read_json(RESULTS) if RESULTS.exists() else {}
                    write_json(RESULTS, {**before, part: found[part]})
    if not options.names:
        found = read_json(RESULTS)
        write_text(PAGE, tables.page(found))
        print(f"written to {RESULTS} and {PAGE}")
    if wrong := problems(found):
        raise BenchmarkError(f"{len(wrong)} problems, the first: {wrong[0]}")
    print("no problems")


def problems(result: dict[str, Any]) -> list[str]:
    """All that is not as expected, a line each."""
    found = [
        f"{record['what']}, killed {record['moment']}: {', '.join(record['differences'])}"
        for part in ("kills", "jax")
        for record in result.get(part, {}).get("records", [])
        if record["differences"]
    ]
    return found + [
        f"{record['case']}: {', '.join(record['problems'])}"
        for record in result.get("inputs", {}).get("records", [])
        if record.get("problems")
    ]


def _run(part: str, folder: Path, seed: int, names: str) -> dict[str, Any]:
    """Run one part; returns its records, and where and how it ran."""
    start, rng = time.monotonic(), random.Random(seed)
    folder.mkdir()
    if part == "inputs":
        name = os.environ.get("KERAS_BACKEND", "tensorflow")
        found: dict[str, Any] = {}
        records = inputs.inputs(folder, _log, names)
    else:
        name = "jax" if part == "jax" else os.environ.get("KERAS_BACKEND", "tensorflow")
        found = {"seed": seed}
        records = _kill(part, folder, rng)
    return {
        **found,
        "device": _device(name),
        "versions": {library: metadata.version(library) for library in ("keras", name)},
        "seconds": round(time.monotonic() - start),
        "records": records,
    }


def _kill(part: str, folder: Path, rng: random.Random) -> list[dict[str, Any]]:
    checkout = workspace.checkout(folder / "trainings", **EPOCHS)
    if part == "jax":
        cache = str(folder / "compiled")
        env = {"KERAS_BACKEND": "jax", "JAX_COMPILATION_CACHE_DIR": cache}
        return kills.trainings(checkout, _shuffled(JAX_KILLS, rng), rng, _log, **env)
    records = kills.trainings(checkout, _shuffled(TRAINING_KILLS, rng), rng, _log)
    kinds = _shuffled(DVC_KILLS, rng)
    return records + pipeline.pipelines(folder / "dvc", kinds, rng, _log, **EPOCHS)


def _shuffled(counts: dict[str, int], rng: random.Random) -> list[str]:
    names = [name for name, count in counts.items() for _ in range(count)]
    rng.shuffle(names)
    return names


def _device(name: str) -> str:
    """What a training runs on, found by another process, since a process has one backend."""
    code = "from resnet import backend; print(backend.start().name)"
    env = {**os.environ, "KERAS_BACKEND": name}
    return output([sys.executable, "-c", code], PAGE.parent.parent, env).splitlines()[-1]


def _log(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    command = command_parser("faults", __doc__)
    command.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        type=one_of((*PARTS, "render")),
        help=f"{', '.join(PARTS)}, by default all; render only renders the page",
    )
    command.add_argument(
        "--seed", type=int, help="of the moments of the kills; default: random, and recorded"
    )
    command.add_argument(
        "--names",
        default="",
        help="try only inputs with this text in their name, and do not record the results",
    )
    run_stage(main, command)
