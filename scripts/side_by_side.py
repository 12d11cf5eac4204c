"""Train one variant for a few steps with the code of a copy, and collect weights and history."""

import io
import json
import signal
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from dvc.utils.serialize import load_yaml
from numpy.typing import NDArray

from resnet.errors import BenchmarkError
from resnet.overrides import merged
from scripts.checkout import environment, set_params

BATCHES = 2  # per epoch
STOP_AFTER = 2  # epochs; then the training is interrupted, and resumed


@dataclass(frozen=True)
class Side:
    """What a short training ends with."""

    arrays: dict[str, NDArray[Any]]  # of the checkpoints, and of the state at the interruption
    history: list[list[str]]  # without the seconds
    parameters: dict[str, str]  # dotted, as training.json has them
    code: dict[str, str]
    backend: Literal["tensorflow", "jax"]
    device: str
    gpu: bool
    xla: bool
    steps: int

    @property
    def values(self) -> int:
        return sum(array.size for array in self.arrays.values())


def train(checkout: Path, variant: str, seed: int, **env: str) -> Side:
    """Train in a copy of a checkout; raises BenchmarkError where its code fails."""
    epochs = _shorten(checkout, variant, seed)
    settings = {**environment(checkout), "SAVE_SECONDS": "0", **env}
    for stage in ("fetch", "preprocess"):
        _run(checkout, settings, "-m", f"stages.{stage}")
    arguments = ("-m", "stages.train", variant, str(seed))
    command = [sys.executable, *arguments]
    with tempfile.TemporaryFile("w+") as errors:  # a pipe could fill up and block
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": errors, "text": True}
        with subprocess.Popen(command, cwd=checkout, env=settings, **pipes) as process:
            for line in process.stdout or ():
                if line.startswith(f"epoch {STOP_AFTER}/"):
                    process.send_signal(signal.SIGTERM)
        errors.seek(0)
        error = errors.read()
    if process.returncode != 128 + signal.SIGTERM:
        raise BenchmarkError(f"the training in {checkout} failed: {' '.join(error.split())[-500:]}")
    states = list((checkout / ".resume").glob(f"{variant}-seed{seed}-*/epoch{STOP_AFTER}-*.npz"))
    if len(states) != 1:
        raise BenchmarkError(f"the training in {checkout} saved no state after {STOP_AFTER} epochs")
    with np.load(states[0], allow_pickle=False) as file:
        arrays = {f"state/{name}": file[name] for name in file.files if name != "notes"}
    _run(checkout, settings, *arguments)
    folder = checkout / "models" / variant / f"seed{seed}"
    for path in sorted(folder.glob("*.keras")):
        arrays |= {f"{path.stem}/{name}": array for name, array in _weights(path).items()}
    rows = [line.split(",") for line in (folder / "history.csv").read_text().splitlines()]
    seconds = rows[0].index("seconds")
    identity = json.loads((folder / "training.json").read_text(encoding="utf-8"))["identity"]
    return Side(
        arrays=arrays,
        history=[row[:seconds] + row[seconds + 1 :] for row in rows],
        parameters=dict(flat(identity["parameters"])),
        code=identity["code"],
        backend=identity["device"]["backend"],
        device=identity["device"]["name"],
        gpu=identity["device"]["gpu"],
        xla=bool(identity["device"].get("xla")),
        steps=BATCHES * epochs,
    )


def differences(before: Side, after: Side) -> list[str]:
    """What differs between two sides, a few words each; none where all bits are equal."""
    found = []
    for key in before.parameters.keys() & after.parameters.keys():
        old, new = before.parameters[key], after.parameters[key]
        if old != new:
            found.append(f"{key} is {new}, was {old}")
    for name in sorted(before.arrays.keys() | after.arrays.keys()):
        a, b = before.arrays.get(name), after.arrays.get(name)
        if a is None or b is None or a.shape != b.shape:
            found.append(f"{name} is on one side only, or has another shape")
        elif a.tobytes() != b.tobytes():
            apart = np.abs(a.astype(np.float64) - b.astype(np.float64)).max()
            found.append(f"{name} differs by up to {apart:.2g}")
    if before.history != after.history:
        found.append("the histories differ")
    if len(found) > 5:
        found = [*found[:5], f"and {len(found) - 5} more"]
    return found


def _shorten(checkout: Path, variant: str, seed: int) -> int:
    """Make params.yaml train this one variant in a few steps; returns its epochs.

    The drops of the rate keep their factors and follow each other, one epoch apart.
    """
    path = checkout / "params.yaml"
    raw = load_yaml(path)
    section = raw[variant]
    recipe = merged(raw["recipes"][raw["train"]["recipe"]], section)
    first = max(1, recipe["warmup"]["epochs"])
    drops = [{**drop, "epoch": first + i} for i, drop in enumerate(recipe["drops"])]
    epochs: int = max(first + len(drops) + 1, STOP_AFTER + 1)
    held_out = raw["train"]["holdout"]
    share = 1 - held_out["fraction"] if held_out["split"] == "train" else 1.0
    images = int((BATCHES + 0.5) * recipe["batch_size"] / share)
    changes = {
        "data.source": "synthetic",
        "data.synthetic": {"train_images": images - images % 5, "test_images": 20, "seed": 0},
        "variants": [variant],
        "seeds": [seed],
        f"{variant}.epochs": epochs,
        f"{variant}.drops": drops,
    }
    set_params(path, changes)
    return epochs


def _run(checkout: Path, env: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=checkout, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = " ".join(done.stderr.split())[-500:]
        raise BenchmarkError(f"{' '.join(arguments)} in {checkout} failed: {reason}")


def _weights(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a .keras file, by their path in it."""
    found: dict[str, NDArray[Any]] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with zipfile.ZipFile(path) as archive:
        content = archive.read("model.weights.h5")
    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(visit)
    return found


def flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings and lists as pairs of a dotted key and a text."""
    if isinstance(value, dict):
        parts = [(f"{prefix}.{key}", part) for key, part in value.items()]
    elif isinstance(value, list):
        parts = [(f"{prefix}.{i}", part) for i, part in enumerate(value)]
    else:
        return [(prefix.lstrip("."), str(value))]
    return [pair for key, part in parts for pair in flat(part, key)]
