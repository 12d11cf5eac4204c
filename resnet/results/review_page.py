"""The page of a review: the outcome, what changed, and folded below it what did not.

Text that comes from a side's files is in code spans: where the page is a comment on a pull request,
it cannot mention a user, link or draw anything.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resnet.results import curves
from resnet.results.cells import MARKS
from resnet.results.markdown import bullets, code, folded, page, table
from resnet.results.metrics import Results
from resnet.results.notes import NONE
from resnet.results.review import NOT_COMPARABLE, Row
from resnet.results.verdicts import BETTER, CANNOT_TELL, EQUIVALENT, HOW_TO_READ, WORSE

MOST_ITEMS = 50  # of a list, or rows of a table
MOST_CHARTS = 3
STALE = (
    "The code and parameters of the same revision did not produce these results. `dvc repro` "
    "updates those of variants in `variants`, which can mean to train them again; `make same-bits` "
    "shows instead that an edit changes no result."
)
BROKEN = (
    "DVC cannot read the pipeline, so neither parameters nor the origin of results are compared."
)
RULES = "The code of this review refuses the file, which is expected if that code changes too:"
UNCHANGED = "unchanged"
COUNTED = (BETTER, WORSE, UNCHANGED, CANNOT_TELL)  # even if 0


@dataclass(frozen=True)
class Code:
    """The files of code that both sides' trainings of a variant recorded."""

    differ: tuple[str, ...]
    same: tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """A variant's learning curves: means over the seeds, a value per epoch on each side."""

    variant: str
    images: str  # test or held-out
    before: Sequence[float]
    after: Sequence[float]


@dataclass
class Review:
    """All that a review says about two sides."""

    base: str
    rev: str
    accuracies: list[Row] = field(default_factory=list)
    seconds: list[Row] = field(default_factory=list)
    codes: dict[str, Code] = field(default_factory=dict)  # by variant
    charts: list[Chart] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)  # variant, why it cannot be read
    broken: dict[str, list[str]] = field(default_factory=dict)  # by side, why DVC cannot read it
    refused: str | None = None  # why this checkout's code refuses params.yaml of `rev`
    changed: Mapping[str, tuple[Any, Any]] | None = None  # keys of params.yaml, old and new
    stale: dict[str, list[str]] = field(default_factory=dict)  # by side, lines of Markdown


def differing_code(old: Results, new: Results) -> Code:
    """The code that the trainings of two sides recorded, compared file by file."""
    before, after = ([run.training.identity.code for run in side.runs] for side in (old, new))
    paths = sorted({path for hashes in (*before, *after) for path in hashes})

    def hashes(side: list[dict[str, str]], path: str) -> set[str | None]:
        return {each.get(path) for each in side}

    differ = tuple(path for path in paths if hashes(before, path) != hashes(after, path))
    return Code(differ, tuple(path for path in paths if path not in differ))


def render(review: Review) -> str:
    """The page as Markdown. Its first line is the outcome."""
    sides = (code(review.base), code(review.rev))
    return page(
        [
            _first_line(review),
            " → ".join(sides),
            *_section("Broken pipeline", _broken(review)),
            *_section("Stale results", _stale(review)),
            *_section("Accuracy, %", _accuracies(sides, review)),
            *_section("Seconds per epoch", _rows(sides, "Difference, s", review.seconds)),
            *_section("Learning curves", _charts(sides, review.charts)),
            *_section("params.yaml", _parameters(sides, review)),
            *_section("Code of the trainings", _codes(review.codes)),
            folded("How to read this page", *HOW_TO_READ) if review.accuracies else "",
        ]
    )


def counts(rows: Iterable[Row]) -> str:
    """How many rows have which outcome, e.g. 1 better, 0 worse, 9 unchanged, 1 cannot tell."""
    found = Counter(_outcome(row) for row in rows)
    others = [word for word in found if word not in COUNTED]
    return ", ".join(f"{found[word]} {word}" for word in (*COUNTED, *others))


def _outcome(row: Row) -> str:
    if row.unchanged:
        return UNCHANGED
    decided = (BETTER, WORSE, EQUIVALENT, "added", "removed")
    return row.verdict if row.verdict in decided else CANNOT_TELL


def _first_line(review: Review) -> str:
    broken = [side for side, lines in review.broken.items() if lines]
    stale = [side for side, lines in review.stale.items() if lines]
    sentences = [f"The pipeline of {code(side)} is broken." for side in broken]
    if review.refused:
        sentences.append(f"`params.yaml` of {code(review.rev)} is not valid.")
    if review.unread:
        sentences.append(f"Results cannot be read: {len(review.unread)}.")
    sentences += [f"Results of {code(side)} are stale." for side in stale]
    if review.accuracies:
        sentences.append(f"Accuracy: {counts(review.accuracies)}.")
    elif not sentences:
        sentences.append("There are no results.")
    times = f" Seconds per epoch: {counts(review.seconds)}." if review.seconds else ""
    return f"**{' '.join(sentences)}**{times}"


def _section(title: str, blocks: Sequence[str]) -> list[str]:
    return [f"## {title}", *blocks] if blocks else []


def _broken(review: Review) -> list[str]:
    lines = [f"{code(side)}: {code(line)}" for side, of in review.broken.items() for line in of]
    return [BROKEN, _items(lines)] if lines else []


def _stale(review: Review) -> list[str]:
    """The lines of `rev`, and folded those of `base`, which the change is not to blame for."""
    lines = {
        side: [f"{code(side)}: {line}" for line in of] for side, of in review.stale.items() if of
    }
    blocks = [_items(lines.pop(review.rev))] if review.rev in lines else []
    blocks += [folded(f"Stale on the other side: {len(of)}", _items(of)) for of in lines.values()]
    return [STALE, *blocks] if blocks else []


def _accuracies(sides: tuple[str, str], review: Review) -> list[str]:
    blocks = _rows(sides, "Difference, points", review.accuracies)
    shown = "".join(cell for row in review.accuracies for cell in row.cells)
    blocks += [text for mark, (text, _) in MARKS.items() if mark in shown]
    if review.unread:
        unread = [f"{code(why)}: {code(name)} is {NOT_COMPARABLE}" for name, why in review.unread]
        blocks.append(_items(unread))
    return blocks or ["Neither side has any results."]


def _rows(sides: tuple[str, str], difference: str, rows: Sequence[Row]) -> list[str]:
    """A table of what changed, and a folded one of what did not."""
    columns = ("Variant", "Network", *sides, difference, "Verdict")
    align = ("left", "left", "right", "right", "right", "left")
    changed = [_cells(row) for row in rows if not row.unchanged]
    unchanged = [_cells(row) for row in rows if row.unchanged]
    blocks = _table(columns, changed, align) if changed else []
    if unchanged:
        blocks.append(folded(f"Unchanged: {len(unchanged)}", *_table(columns, unchanged, align)))
    return blocks


def _cells(row: Row) -> tuple[str, ...]:
    remark = f" ({row.remark})" if row.remark else ""
    return (code(row.variant), *row.cells, f"**{row.verdict}**{remark}")


def _charts(sides: tuple[str, str], charts: Sequence[Chart]) -> list[str]:
    before, after = (f"{color}: {side}" for color, side in zip(curves.COLORS, sides, strict=True))
    blocks = []
    for each in charts[:MOST_CHARTS]:
        what = f"Accuracy on {each.images} images after each epoch, mean over the seeds"
        blocks += [f"{code(each.variant)}. {what}; {before}, {after}."]
        blocks += [curves.chart(each.before, each.after)]
    left = len(charts) - MOST_CHARTS
    return [*blocks, f"{left} more variant{'s' * (left > 1)} changed."] if left > 0 else blocks


def _parameters(sides: tuple[str, str], review: Review) -> list[str]:
    blocks = [RULES, bullets([code(review.refused)])] if review.refused else []
    if review.changed is None:
        return blocks
    rows = [
        (code(key), *(NONE if value is None else code(_as_yaml(value)) for value in pair))
        for key, pair in review.changed.items()
    ]
    table_blocks = _table(("Key", *sides), rows, ("left",) * 3) if rows else ["Nothing changed."]
    return [*blocks, *table_blocks]


def _codes(codes: Mapping[str, Code]) -> list[str]:
    """The files that differ with the variants they differ for; all others folded."""
    if not codes:
        return ["Not compared: no variant has trainings on both sides that recorded their code."]
    variants: dict[tuple[str, ...], list[str]] = {}
    for variant, each in codes.items():
        if each.differ:
            variants.setdefault(each.differ, []).append(code(variant))
    lines = [
        f"{_listed(names)}: {_listed([code(path) for path in paths])}"
        for paths, names in variants.items()
    ]
    same = sorted({path for each in codes.values() for path in each.same})
    blocks = [_items(lines) if lines else "No file changed."]
    if same:
        blocks.append(folded(f"Unchanged: {len(same)}", _listed([code(path) for path in same])))
    return blocks


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[str]
) -> list[str]:
    left = len(rows) - MOST_ITEMS
    return [table(columns, rows[:MOST_ITEMS], align), f"And {left} more." if left > 0 else ""]


def _items(lines: Sequence[str]) -> str:
    left = len(lines) - MOST_ITEMS
    return bullets([*lines[:MOST_ITEMS], *([f"and {left} more"] if left > 0 else [])])


def _listed(names: Sequence[str]) -> str:
    left = len(names) - MOST_ITEMS
    return ", ".join(names[:MOST_ITEMS]) + (f" and {left} more" if left > 0 else "")


def _as_yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
