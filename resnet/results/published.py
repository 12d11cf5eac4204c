"""metrics/published.csv: results that others published, one a row.

The rows of the origin `original` are those of the original's tables, in their order, and those of
`papers` are the papers' results as the original quotes them. Those of `other` are measurements with
several seeds. Where a result was never measured, its accuracy is `-`, or `NA` where the original
marks it so.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from resnet.errors import BenchmarkError
from resnet.schema import short_repr

NO_VALUE = ("-", "NA")
ONE_RUN = "one run"
CELLS = {  # column to a pattern
    "network": r"ResNet\d+v[12]",
    "version": r"[12]",
    "n": r"[1-9]\d*|NA",  # of the network; NA where no n gives its depth
    "origin": r"original|papers|other",
    "form": r"original|paper|other|-",
    "recipe": r"original|paper|other|-",
    "augmentation": r"shift, flip|crop, flip|none|-",
    "protocol": r"last epoch|best on test|not stated|-",  # whose epoch's accuracy it is
    "statistic": r"mean|median|one run|not stated|-",
    "accuracy": r"\d{1,2}\.\d+|-|NA",  # in percent
    "std": r"\d\.\d+|-",  # sample standard deviation over the runs, in points
    "runs": r"[1-9]\d*|not stated|-",
    "seconds_per_epoch": r"[1-9]\d*|-|NA",
    "source": r".+",
}
COLUMNS = tuple(CELLS)
MEASURED = ("form", "recipe", "augmentation", "protocol", "statistic", "runs")
Quoted = Mapping[str, str]  # a row of the original's tables, by column


@dataclass(frozen=True)
class Published:
    """A published accuracy, in percent, and how it was obtained."""

    network: str
    origin: str
    form: str
    recipe: str
    augmentation: str
    protocol: str
    statistic: str
    accuracy: float
    std: float | None
    runs: int | None  # None: not stated
    source: str

    @property
    def text(self) -> str:
        """The accuracy with its spread, as in our tables."""
        spread = "" if self.std is None else f" ± {self.std:.2f}"
        return f"{self.accuracy:.2f}{spread}"


def check(rows: Iterable[Mapping[str, str]], where: str) -> None:
    """Check the rows of the file; raises BenchmarkError that starts with `where` and the line."""
    seen = set[tuple[str, ...]]()
    for number, row in enumerate(rows, start=2):
        if problem := _problem(row):
            raise BenchmarkError(f"{where}, line {number}: {problem}")
        # the tables have one place for a network's result of the original, and one of the papers
        columns = ("network", "origin", *(("source",) if row["origin"] == "other" else ()))
        key = tuple(row[column] for column in columns)
        if key in seen:
            raise BenchmarkError(
                f"{where}, line {number}: a second row of {row['network']} with the same "
                f"{' and '.join(columns[1:])}"
            )
        seen.add(key)


def results(rows: Iterable[Mapping[str, str]]) -> list[Published]:
    """The rows with an accuracy, of a file that is checked."""
    return [
        Published(
            **{key: row[key] for key in ("network", "origin", *MEASURED[:-1], "source")},
            accuracy=float(row["accuracy"]),
            std=None if row["std"] == "-" else float(row["std"]),
            runs=int(row["runs"]) if row["runs"].isdecimal() else None,
        )
        for row in rows
        if row["accuracy"] not in NO_VALUE
    ]


def quoted(rows: Sequence[Mapping[str, str]]) -> list[Quoted]:
    """The original's tables, a row per network: its results and those it quotes.

    `-` where there is none, `NA` where there can be none.
    """
    papers = {row["network"]: row for row in rows if row["origin"] == "papers"}
    return [
        {
            "network": row["network"],
            "version": row["version"],
            "n": row["n"],
            "original_accuracy": row["accuracy"],
            "original_seconds_per_epoch": row["seconds_per_epoch"],
            "paper_accuracy": _with_spread(papers.get(row["network"])),
            "paper_form": papers.get(row["network"], {}).get("form", "-"),  # other: not one of ours
        }
        for row in rows
        if row["origin"] == "original"
    ]


def _with_spread(row: Mapping[str, str] | None) -> str:
    """The accuracy with its spread as the original prints it: 93.39±.16."""
    if row is None:
        return "-"
    return row["accuracy"] + ("" if row["std"] == "-" else f"±{row['std'].lstrip('0')}")


def _problem(row: Mapping[str, str]) -> str:
    """What is wrong with a row; empty where nothing is."""
    for column, pattern in CELLS.items():
        if not re.fullmatch(pattern, row[column]):
            return f"{column} is {short_repr(row[column])}: must match {pattern}"
    if row["n"] != "NA":
        depth = (6 if row["version"] == "1" else 9) * int(row["n"]) + 2
        if row["network"] != (expected := f"ResNet{depth}v{row['version']}"):
            given = f"version {row['version']} with n {row['n']}"
            return f"network is {row['network']}, but {given} is {expected}"
    if not row["network"].endswith(f"v{row['version']}"):
        return f"network is {row['network']}, but version is {row['version']}"
    values = {column: row[column] for column in MEASURED}
    if row["accuracy"] in NO_VALUE:
        filled = [column for column in (*MEASURED, "std") if row[column] != "-"]
        return f"{filled[0]} is {row[filled[0]]} without an accuracy: must be -" if filled else ""
    if missing := [column for column, value in values.items() if value == "-"]:
        return f"{missing[0]} is - with an accuracy: must be known or not stated"
    if (row["statistic"] == ONE_RUN) != (row["runs"] == "1"):
        return f"statistic is {row['statistic']} with runs {row['runs']}: one run is 1"
    if row["std"] != "-" and not (row["runs"].isdecimal() and int(row["runs"]) > 1):
        return f"std is {row['std']} with runs {row['runs']}: must be - without several runs"
    return ""
