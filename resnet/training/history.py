"""history.csv: one row per epoch, with the column names of keras.callbacks.CSVLogger; a DVC plot.

Epochs count from 1 and accuracies are in percent. Losses include the l2 terms, as Keras reports
them, except test_loss, which is the cross-entropy alone.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from resnet.errors import BenchmarkError


class Epoch(NamedTuple):
    """The results of one epoch."""

    epoch: int  # from 1
    loss: float  # mean over the steps, while the weights changed
    accuracy: float  # percent, on the augmented training images
    learning_rate: float
    seconds: float  # of the training steps alone: neither compilation nor evaluation
    val_loss: float | None = None  # None where no images are held out
    val_accuracy: float | None = None
    test_loss: float | None = None  # None where the test images are not watched
    test_accuracy: float | None = None


REQUIRED = Epoch._fields[:5]
OPTIONAL = (Epoch._fields[5:7], Epoch._fields[7:])
HEADERS = (
    REQUIRED,
    REQUIRED + OPTIONAL[0],
    REQUIRED + OPTIONAL[1],
    REQUIRED + OPTIONAL[0] + OPTIONAL[1],
)
RESTORE = "restore the file, or run `dvc repro`, which writes it again"


def write(path: Path, epochs: Sequence[Epoch]) -> None:
    """Write at least one epoch."""
    columns = [name for name in Epoch._fields if getattr(epochs[0], name) is not None]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([getattr(epoch, name) for name in columns] for epoch in epochs)


def read(path: Path, epochs: int) -> str:
    """The text of a history of that many epochs; raises BenchmarkError with the first bad line."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BenchmarkError(f"{path}: no such file; {RESTORE}") from error
    except UnicodeDecodeError as error:
        raise BenchmarkError(f"{path}: not text: {error}; {RESTORE}") from error
    return parse(text, str(path), epochs)


def parse(text: str, where: str, epochs: int) -> str:
    """The same text if it is a history of that many epochs; raises as `read` does."""
    lines = text.splitlines()
    header = tuple(lines[0].split(",")) if lines else ()
    if header not in HEADERS:
        columns = ",".join(Epoch._fields)
        raise BenchmarkError(
            f"{where}, line 1: must be {columns}, with or without the val_ and test_ columns"
        )
    for number, line in enumerate(lines[1:], start=2):
        if not _is_row(line.split(","), len(header), number - 1):
            must = f"must be epoch {number - 1} and {len(header) - 1} numbers"
            raise BenchmarkError(f"{where}, line {number}: {must}, is {line[:100]!r}")
    if len(lines) - 1 != epochs or not text.endswith("\n"):
        must = f"must have one complete line for each of {epochs} epochs"
        raise BenchmarkError(f"{where}: {must}, has {len(lines) - 1}")
    return text


def _is_row(values: list[str], columns: int, epoch: int) -> bool:
    """Whether these are an epoch's values. A loss on held-out or test images may be infinite."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return False
    return (
        len(values) == columns
        and values[0] == str(epoch)
        and all(math.isfinite(number) for number in numbers[: len(REQUIRED)])
    )
