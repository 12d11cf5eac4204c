"""history.csv, a row an epoch, with the names that keras.callbacks.CSVLogger gives: a DVC plot."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnet.errors import BenchmarkError

COLUMNS = ("epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")
HELD_OUT = ("val_loss", "val_accuracy")  # columns only where images are held out


def write(path: Path, epochs: Sequence[Any]) -> None:
    """Write epochs, objects with the columns as attributes."""
    columns = [name for name in COLUMNS if getattr(epochs[0], name) is not None]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([getattr(epoch, name) for name in columns] for epoch in epochs)


def read(path: Path, epochs: int) -> str:
    """The text of a history of that many epochs; raises BenchmarkError with the first line that is broken."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BenchmarkError(
            f"{path}: no such file; train this seed anew with `dvc repro --force`"
        ) from error
    except UnicodeDecodeError as error:
        raise BenchmarkError(
            f"{path}: not text: {error}; train this seed anew with `dvc repro --force`"
        ) from error
    lines = text.splitlines()
    header = tuple(lines[0].split(",")) if lines else ()
    if header not in (COLUMNS, tuple(name for name in COLUMNS if name not in HELD_OUT)):
        raise BenchmarkError(
            f"{path}, line 1: must be {','.join(COLUMNS)}, with the val_ columns or without"
        )
    for number, line in enumerate(lines[1:], start=2):
        if not _is_row(line.split(","), len(header), number - 2):
            raise BenchmarkError(
                f"{path}, line {number}: must be epoch {number - 2} and {len(header) - 1} numbers, is {line[:100]!r}"
            )
    if len(lines) - 1 != epochs or not text.endswith("\n"):
        raise BenchmarkError(
            f"{path}: must have a whole line for each of {epochs} epochs, has {len(lines) - 1}: cut short, or another's"
        )
    return text


def _is_row(values: list[str], columns: int, epoch: int) -> bool:
    try:
        return (
            len(values) == columns
            and values[0] == str(epoch)
            and all(math.isfinite(float(value)) for value in values)
        )
    except ValueError:
        return False
