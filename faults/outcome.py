"""What a training or a pipeline produced, apart from times, and how two of them differ."""

import io
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from faults.workspace import MODEL
from resnet.files import read_json

VARYING = {  # keys of training.json and of the metrics
    "seconds_per_epoch",
    "s/epoch",
    "total_seconds",
    "compile_seconds",
    "checkpoint_seconds",
    "peak_memory_mb",
}


class Outcome(NamedTuple):
    """What a training produced."""

    weights: dict[str, NDArray[Any]]  # of last.keras and best.keras
    history: list[list[str]]
    record: Any  # training.json


class Results(NamedTuple):
    """What the pipeline produced."""

    trained: Outcome
    metrics: Any  # of both files
    files: dict[str, str]  # predictions, confusion counts and the history

    def differences(self, other: "Results") -> list[str]:
        names = sorted({*self.files, *other.files})
        files = [name for name in names if self.files.get(name) != other.files.get(name)]
        metrics = ["metrics"] if self.metrics != other.metrics else []
        return differences(self.trained, other.trained) + files + metrics


def outcome(folder: Path, model: Path = MODEL) -> Outcome:
    """Read the outcome of a training in that checkout."""
    weights: dict[str, NDArray[Any]] = {}
    for name in ("last", "best"):
        with (
            zipfile.ZipFile(folder / model / f"{name}.keras") as archive,
            h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file,
        ):
            file.visititems(
                lambda path, item, name=name: weights.update(
                    {f"{name}/{path}": item[()]} if isinstance(item, h5py.Dataset) else {}
                )
            )
    lines = without_seconds((folder / model / "history.csv").read_text()).splitlines()
    record = without_times(read_json(folder / model / "training.json"))
    return Outcome(weights, [line.split(",") for line in lines], record)


def results(folder: Path) -> Results:
    """Read the results of the pipeline in that checkout."""
    metrics = folder / "metrics"
    records = [read_json(metrics / kind / "model.json") for kind in ("runs", "provenance")]
    names = ("predictions/model.txt", "plots/confusion/model.csv")
    files = {name: (metrics / name).read_text() for name in names}
    curve = "plots/history/model/seed0.csv"
    files[curve] = without_seconds((metrics / curve).read_text())
    return Results(outcome(folder), without_times(records), files)


def differences(a: Outcome, b: Outcome) -> list[str]:
    """The names of what differs between two outcomes."""
    names = [
        name
        for name in sorted({*a.weights, *b.weights})
        if not _equal(a.weights.get(name), b.weights.get(name))
    ]
    return names + [part for part in ("history", "record") if getattr(a, part) != getattr(b, part)]


def without_times(value: Any) -> Any:
    """JSON without times and memory. Of the starts, only what changed between them is left.

    An undisturbed training has one start, so nothing may have changed between several.
    """
    if isinstance(value, list):
        return [without_times(part) for part in value]
    if not isinstance(value, dict):
        return value
    return {
        key: [start["changes"] for start in part if start["changes"]]
        if key == "starts"
        else without_times(part)
        for key, part in value.items()
        if key not in VARYING
    }


def without_seconds(history: str) -> str:
    """The text of history.csv without the column of seconds."""
    rows = [line.split(",") for line in history.splitlines()]
    column = rows[0].index("seconds")
    return "".join(f"{','.join(row[:column] + row[column + 1 :])}\n" for row in rows)


def _equal(a: NDArray[Any] | None, b: NDArray[Any] | None) -> bool:
    return a is not None and b is not None and np.array_equal(a, b)
