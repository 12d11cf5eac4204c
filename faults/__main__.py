"""Kill real trainings, give real processes bad inputs, keep what came of it in faults/results.json, and render README.md from it.

python -m faults                # all parts: some ten minutes on two cores
python -m faults kills inputs   # these parts; the others stay as they were
python -m faults render         # the page alone
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from faults import inputs, kills, pipeline, tables
from resnet import backend
from resnet.errors import BenchmarkError, run_stage
from resnet.files import read_json, write_json, write_text

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parent / "README.md"
EPOCHS = {"recipes.original.epochs": 40}  # enough for several kills within one run
PARTS = ("kills", "jax", "inputs")
TRAININGS = (
    "start",
    "start",
    "start",
    *["compilation"] * 3,
    *["epoch"] * 6,
    *["state"] * 4,
    *["result"] * 3,
)
DVCS = (
    "anywhere",
    "anywhere",
    "anywhere",
    "alone",
    "alone",
    "saved",
    "group",
    "group",
    "recorded",
    "recorded",
    "recorded",
)
ON_JAX = ("start", "compilation", "epoch", "state", "result")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "python -m faults",
        description="Kill trainings and give bad inputs, and render faults/README.md.",
    )
    parser.add_argument(
        "parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default; render: the page alone"
    )
    parser.add_argument(
        "--seed",
        type=int,
        help="of the moments of the kills; drawn where none is given, and recorded",
    )
    parser.add_argument(
        "--names",
        default="",
        help="only inputs with this in their name, and nothing is kept: to try them out",
    )
    options = parser.parse_args(argv)
    if unknown := set(options.parts) - {*PARTS, "render"}:
        raise BenchmarkError(
            f"{', '.join(sorted(unknown))}: must be of {', '.join(PARTS)} or render"
        )
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    with tempfile.TemporaryDirectory(prefix="resnet-faults-") as folder:
        for part in options.parts or PARTS:
            if part != "render":
                found = _run(part, Path(folder) / part, seed, options.names)
                if not options.names:
                    write_json(
                        RESULTS, {**(read_json(RESULTS) if RESULTS.exists() else {}), part: found}
                    )
    result = read_json(RESULTS)
    write_text(PAGE, tables.page(result))
    if wrong := wrongs(result):
        raise BenchmarkError(
            f"{len(wrong)} not as they should be, the first: {wrong[0]}; see {RESULTS}"
        )
    print(f"all as it should be; written to {RESULTS} and {PAGE}")


def _run(part: str, folder: Path, seed: int, names: str) -> dict[str, Any]:
    """One part, with where and how it ran."""
    start, rng = time.monotonic(), random.Random(seed)
    found: dict[str, Any] = {}
    folder.mkdir()
    if part == "inputs":
        records = inputs.inputs(folder, _log, names)
    else:
        jax = (
            {"KERAS_BACKEND": "jax", "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled")}
            if part == "jax"
            else {}
        )
        found["seed"] = seed
        moments = list(ON_JAX if jax else TRAININGS)
        rng.shuffle(moments)
        records = kills.trainings(
            kills.checkout(folder / "trainings", **EPOCHS), moments, rng, _log, **jax
        )
        if not jax:
            kinds = list(DVCS)
            rng.shuffle(kinds)
            records += pipeline.dvcs(folder / "dvc", kinds, rng, _log, **EPOCHS)
    name = "jax" if part == "jax" else os.environ.get("KERAS_BACKEND", "tensorflow")
    versions = {
        library: version
        for library, version in backend.versions(name).items()
        if library in ("keras", name)
    }
    return {
        **found,
        "device": _device(name),
        "versions": versions,
        "seconds": round(time.monotonic() - start),
        "records": records,
    }


def _device(name: str) -> str:
    """What a training runs on, asked in a process of its own, since one process has one backend."""
    code = "from resnet import backend; print(backend.start().name)"
    env = {**os.environ, "KERAS_BACKEND": name}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PAGE.parent.parent,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def wrongs(result: dict[str, Any]) -> list[str]:
    """All that is not as it should be, a line each."""
    found = [
        f"{record['what']}, killed {record['hit']}: {', '.join(record['differ'])}"
        for part in ("kills", "jax")
        for record in result.get(part, {}).get("records", [])
        if record["differ"]
    ]
    tried = result.get("inputs", {}).get("records", [])
    return found + [
        f"{record['input']}: {', '.join(record['problems'])}"
        for record in tried
        if record.get("problems")
    ]


def _log(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    run_stage("faults", main)
