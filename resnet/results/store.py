"""The folder metrics/: the one place that knows which file contains what.

runs/<variant>.json                      Metrics: what DVC compares
provenance/<variant>.json                Provenance: each seed's training and evaluation
predictions/<variant>.txt                a line per seed, a digit per test image: 1 is correct
plots/history/<variant>/seed<seed>.csv   a row per epoch, as training wrote it
plots/confusion/<variant>.csv            counts over all seeds, by actual and predicted class
plots/all/<plot>.csv                     what `dvc plots` draws
pictures/<plot>.svg                      the same plots, drawn
results.csv                              rows.py: a row per variant and seed
same-bits.json                           same_bits.py: edits that changed no bit of a result
published.csv                            published.py: the results of others
README.md                                the tables
"""

import io
import json
import math
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resnet.errors import BenchmarkError
from resnet.files import replaced
from resnet.results import published
from resnet.results.metrics import Metrics, Provenance, Results, parse
from resnet.results.published import Published, Quoted
from resnet.results.scores import Correct
from resnet.results.summary import summarize
from resnet.schema import Schema, short_repr
from resnet.training import history

METRICS = Path("metrics")
PAGE, ROWS = Path("README.md"), Path("results.csv")
DRAWN = PLOTS, PICTURES = Path("plots", "all"), Path("pictures")
CONFUSION_COLUMNS = ("actual", "predicted", "images")

Reader = Callable[[Path], str | None]  # the text of a file, None where there is no such file


@dataclass(frozen=True)
class VariantFiles:
    """Everything that evaluate writes about a variant."""

    results: Results
    correct: Correct  # (seeds, images)
    confusion: NDArray[np.int64]  # (classes, classes), actual by predicted, over all seeds
    classes: tuple[str, ...]
    histories: Mapping[int, str]  # seed to the text of history.csv


def read_workspace(path: Path) -> str | None:
    """The text of a file in the working tree; None where there is no such file."""
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


class Store:
    """The results of the working tree, or with another `read`, those of a git commit.

    `name`, e.g. that of the commit, begins every error message. Every method that reads raises
    BenchmarkError where a file is damaged or contradicts another one.
    """

    def __init__(self, root: Path = METRICS, read: Reader = read_workspace, name: str = ""):
        self.root = root
        self._read = read
        self._prefix = f"{name}: " if name else ""

    def metrics_path(self, variant: str) -> Path:
        return self.root / "runs" / f"{variant}.json"

    def provenance_path(self, variant: str) -> Path:
        return self.root / "provenance" / f"{variant}.json"

    def predictions_path(self, variant: str) -> Path:
        return self.root / "predictions" / f"{variant}.txt"

    def confusion_path(self, variant: str) -> Path:
        return self.root / "plots" / "confusion" / f"{variant}.csv"

    def histories_path(self, variant: str) -> Path:
        return self.root / "plots" / "history" / variant

    def variants(self) -> list[str]:
        """The variants that have a metrics file in the working tree, by name."""
        return sorted(path.stem for path in (self.root / "runs").glob("[!.]*.json"))

    def results(self, variant: str) -> Results | None:
        """A variant's results; None where there are none."""
        path, provenance_path = self.metrics_path(variant), self.provenance_path(variant)
        if (text := self._read(path)) is None:
            return None
        where, where_runs = f"{self._prefix}{path}", f"{self._prefix}{provenance_path}"
        remedy = f"run `dvc repro evaluate@{variant}`"
        metrics = parse(Metrics, text, where)
        provenance = parse(Provenance, self._existing(provenance_path, remedy), where_runs)
        for run in provenance.runs:
            if run.training.identity.variant != variant:
                raise BenchmarkError(
                    f"{where_runs}: contains a run of {run.training.identity.variant}; {remedy}"
                )
        try:
            expected = summarize(provenance.runs)
        except BenchmarkError as error:
            raise BenchmarkError(f"{where_runs}: {error}") from error
        for name, field in Metrics.model_fields.items():
            value, other = getattr(metrics, name), getattr(expected, name)
            if name != "schema_version" and not _equal(value, other):
                raise BenchmarkError(
                    f"{where}: {field.alias or name} is {value}, but the runs in "
                    f"{provenance_path} give {other}; {remedy}"
                )
        return Results(metrics, tuple(provenance.runs))

    def correct(self, variant: str, results: Results) -> Correct:
        """The predictions file as booleans (seeds, images)."""
        path = self.predictions_path(variant)
        remedy = f"run `dvc repro evaluate@{variant}`"
        lines = self._existing(path, remedy).split()
        if not lines or any(set(line) - {"0", "1"} or len(line) != len(lines[0]) for line in lines):
            raise BenchmarkError(
                f"{self._prefix}{path}: must contain lines of equally many digits 0 and 1"
            )
        found = np.array([[digit == "1" for digit in line] for line in lines])
        errors = [run.evaluation.errors for run in results.runs]
        if (~found).sum(axis=1).tolist() != errors or found.shape[1] != results.images:
            raise BenchmarkError(
                f"{self._prefix}{path} and {self.provenance_path(variant)} are of different runs"
            )
        return found

    def histories(self, variant: str, results: Results) -> list[pd.DataFrame]:
        """A frame per seed with a row per epoch; no frames where no seed has a history."""
        folder = self.histories_path(variant)
        epochs = {folder / f"seed{run.seed}.csv": run.training.epochs for run in results.runs}
        if all(self._read(path) is None for path in epochs):
            return []
        texts = [
            history.parse(self._existing(path, history.RESTORE), f"{self._prefix}{path}", count)
            for path, count in epochs.items()
        ]
        return [pd.read_csv(io.StringIO(text)) for text in texts]

    def confusion(self, variant: str, results: Results) -> pd.DataFrame:
        """The counts, a row per actual and predicted class; empty where there is no such file."""
        path = self.confusion_path(variant)
        if self._read(path) is None:
            return pd.DataFrame(columns=list(CONFUSION_COLUMNS))
        frame = self._csv(path, CONFUSION_COLUMNS)
        for number, count in enumerate(frame["images"], start=2):
            if not re.fullmatch(r"\d{1,9}", count, re.ASCII):
                raise BenchmarkError(
                    f"{self._prefix}{path}, line {number}: images is {short_repr(count)}: "
                    "must be a count"
                )
        if (expected := results.class_counts()) and _class_counts(frame) != expected:
            raise BenchmarkError(
                f"{self._prefix}{path} and {self.provenance_path(variant)} are of different runs"
            )
        return frame

    def published(self) -> list[Quoted]:
        """The original's tables with the results that they quote, a row per network.

        `-` where there is none, `NA` where there can be none.
        """
        return published.quoted(self._published_rows())

    def published_results(self) -> list[Published]:
        """Every published accuracy, with how it was obtained."""
        return published.results(self._published_rows())

    def _published_rows(self) -> list[dict[str, str]]:
        path = self.root / "published.csv"
        frame = self._csv(path, published.COLUMNS)
        rows = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
        published.check(rows, f"{self._prefix}{path}")
        return rows

    def write_variant(self, variant: str, files: VariantFiles) -> None:
        """Write all files of a variant, or none where one cannot be written."""
        provenance = Provenance(schema=2, runs=list(files.results.runs))
        digits = ["".join("01"[flag] for flag in row) for row in files.correct.tolist()]
        counts = [
            f"{files.classes[actual]},{files.classes[predicted]},{count}"
            for (actual, predicted), count in np.ndenumerate(files.confusion)
        ]
        texts = {
            self.predictions_path(variant): _lines(digits),
            self.confusion_path(variant): _lines([",".join(CONFUSION_COLUMNS), *counts]),
            self.provenance_path(variant): _json(provenance),
            self.metrics_path(variant): _json(files.results.metrics),
        }
        with ExitStack() as stack:  # everything is written before anything is replaced
            folder = stack.enter_context(replaced(self.histories_path(variant)))
            folder.mkdir(parents=True)
            for seed, text in files.histories.items():
                (folder / f"seed{seed}.csv").write_text(text, encoding="utf-8")
            for path, text in texts.items():
                partial = stack.enter_context(replaced(path))
                partial.write_text(text, encoding="utf-8")

    def write_report(self, texts: Mapping[Path, str]) -> None:
        """Write the report's files, or none on an error; the folders of plots get no other."""
        with ExitStack() as stack:
            new = {path: stack.enter_context(replaced(self.root / path)) for path in DRAWN}
            for folder in new.values():
                folder.mkdir(parents=True)
            for path, text in texts.items():
                above = next((folder for folder in DRAWN if path.is_relative_to(folder)), None)
                if above:
                    target = new[above] / path.relative_to(above)
                    target.parent.mkdir(exist_ok=True)
                else:
                    target = stack.enter_context(replaced(self.root / path))
                target.write_text(text, encoding="utf-8")

    def _existing(self, path: Path, *remedy: str) -> str:
        text = self._read(path)
        if text is None:
            raise BenchmarkError("; ".join([f"{self._prefix}{path}: no such file", *remedy]))
        return text

    def _csv(self, path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
        """A CSV file with these columns, all strings."""
        text = self._existing(path)
        try:
            frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise BenchmarkError(f"{self._prefix}{path}: not CSV: {reason}") from error
        if tuple(frame.columns) != columns:
            raise BenchmarkError(
                f"{self._prefix}{path}: must have the columns {', '.join(columns)}; "
                f"has {', '.join(frame.columns)}"
            )
        return frame


def _class_counts(confusion: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Images and errors of each actual class."""
    found = dict[str, tuple[int, int]]()
    for actual, predicted, count in confusion.itertuples(index=False):
        images, errors = found.get(actual, (0, 0))
        found[actual] = (images + int(count), errors + int(count) * (actual != predicted))
    return found


def _equal(value: object, expected: object) -> bool:
    """Whether two values of a metrics file are equal, apart from a float's last digits."""
    if isinstance(value, float) and isinstance(expected, float):
        return math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-12)
    return value == expected


def _json(record: Schema) -> str:
    values = record.model_dump(mode="json", by_alias=True)
    return json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _lines(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
