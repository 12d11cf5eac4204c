"""What a change did to the results: each variant before and after, with intervals, as Markdown.

The variance of a difference of accuracies is the sum of two, as in Clark's min F' for two crossed random factors: that of the seeds
as in Welch's t test (scipy.stats.ttest_ind, equal_var=False), and that of the test images as in the paired one
(scipy.stats.ttest_rel). A run's luck on single images is in both, so the interval is a little wide. The degrees of freedom are
Satterthwaite's, but at most four for each of the smaller side's seeds after the first: from few seeds, Satterthwaite's alone are at times
so many that, with two seeds against ten, 7 % of the changes that change nothing would be called better or worse.
Clark 1973, doi:10.1016/S0022-5371(73)80014-3; Satterthwaite 1946, doi:10.2307/3002019.

Seeds are not paired: the same seed draws the same weights and order on both sides, but training soon forgets it; where it does not,
the interval is too wide, never too narrow.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from tabulate import tabulate

from resnet.results.metrics import Metrics

CONFIDENCE = 0.95
NONE = "–"
BETTER, WORSE, NOISE, INCOMPARABLE, ONE_SEED = (
    "better",
    "worse",
    "within noise",
    "not comparable",
    "one seed",
)
READING = (
    "Brackets: the 95 % interval of the difference. For an accuracy it allows for the seeds (Welch) and for the test images, paired: both "
    "sides answered the same ones (Clark 1973, min F'; scipy.stats.sem, scipy.stats.t). For a time it allows for the seeds. "
    f"An interval with 0 in it is *{NOISE}*. A side with one seed says nothing of the seeds: the interval is then that of the test images "
    "alone, and there is no verdict.",
    "Where nothing changed, one interval in twenty, or fewer, lies beside 0 by chance.",
)
DOUBTS = "These do not belong to the code and parameters that lie beside them; `dvc repro` makes them anew."

Right = NDArray[np.bool_]  # (seeds, images), whether the answer was right


class Interval(NamedTuple):
    """A difference, after minus before, and its 95 % interval."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Side:
    """A variant on one side of the comparison."""

    metrics: Metrics
    right: Right  # (seeds, images)


@dataclass(frozen=True)
class Row:
    """One variant's comparison in one quantity: cells, and the word."""

    variant: str
    cells: tuple[str, ...]  # network, before, after, difference
    verdict: str
    remark: str = ""


def accuracy_interval(before: Right, after: Right) -> Interval:
    """The difference of two accuracies in points, over the same images (seeds, images); seeds count where both sides have two or more."""
    gain = 100 * (after.mean(axis=0) - before.mean(axis=0))  # (images,)
    images = (float(stats.sem(gain)), gain.size - 1)
    if min(len(before), len(after)) == 1:
        return _interval(float(gain.mean()), [images])
    seeds = _seeds(100 * before.mean(axis=1), 100 * after.mean(axis=1))
    return _interval(float(gain.mean()), [images, *seeds], most=4 * min(df for _, df in seeds))


def mean_interval(before: Sequence[float], after: Sequence[float]) -> Interval:
    """The difference of two means over seeds, two or more a side: Welch's."""
    seeds = _seeds(before, after)
    return _interval(
        float(np.mean(after) - np.mean(before)), seeds, most=4 * min(df for _, df in seeds)
    )


def _seeds(*sides: Any) -> list[tuple[float, int]]:
    """The standard error of each side's mean over its seeds, with its degrees of freedom."""
    return [(float(stats.sem(values)), len(values) - 1) for values in sides]


def _interval(
    difference: float, parts: Sequence[tuple[float, int]], most: float = np.inf
) -> Interval:
    """The t interval of a difference whose variance is the sum of these (standard error, degrees of freedom), with `most` at most."""
    variance = sum(error**2 for error, _ in parts)
    if not variance:  # the same answers throughout
        return Interval(difference, difference, difference)
    freedom = min(most, variance**2 / sum(error**4 / df for error, df in parts))
    low, high = stats.t.interval(CONFIDENCE, freedom, loc=difference, scale=variance**0.5)
    return Interval(difference, float(low), float(high))


def verdict(interval: Interval, good: int) -> str:
    """A word for an interval; `good` is the sign of a change for the better."""
    if interval.low <= 0 <= interval.high:
        return NOISE
    return BETTER if interval.difference * good > 0 else WORSE


def obstacles(before: Side, after: Side, synthetic_changed: bool) -> list[str]:
    """Why two accuracies cannot be compared, a reason each; none where they can. A change of network or recipe is no obstacle."""
    old, new = before.metrics, after.metrics
    found = []
    if old.data != new.data:
        found.append(f"other data: {old.data} → {new.data}")
    elif (old.images, before.right.shape[1]) != (new.images, after.right.shape[1]):
        found.append(f"other data: {old.images:,} → {new.images:,} test images")
    elif new.data == "synthetic" and synthetic_changed:
        found.append("other data: `data.synthetic` changed")
    if (old.epochs, old.recipe_epochs) != (new.epochs, new.recipe_epochs):
        found.append(f"other recipe length: {_epochs(old)} → {_epochs(new)} epochs")
    if old.holdout != new.holdout:
        found.append(f"other hold-out: {old.holdout} → {new.holdout}")
    return found


def accuracy_row(variant: str, before: Side, after: Side, synthetic_changed: bool) -> Row:
    """A variant's accuracy on both sides and what became of it."""
    old, new = before.metrics, after.metrics
    cells = (_change(old.network, new.network), _accuracy(old), _accuracy(new))
    found = obstacles(before, after, synthetic_changed)
    if found:
        return Row(variant, (*cells, NONE), INCOMPARABLE, "; ".join(found))
    if np.array_equal(before.right, after.right):  # the same networks: no interval is needed
        return Row(
            variant, (*cells, _cell(Interval(0, 0, 0), 2)), NOISE, "the same answers to every image"
        )
    interval = accuracy_interval(before.right, after.right)
    return Row(
        variant,
        (*cells, _cell(interval, 2)),
        ONE_SEED if min(old.n, new.n) == 1 else verdict(interval, good=1),
    )


def seconds_row(variant: str, before: Side, after: Side, synthetic_changed: bool) -> Row:
    """A variant's seconds per epoch on both sides, compared only where they were measured in the same kind of place."""
    old, new = before.metrics, after.metrics
    cells = (_change(old.network, new.network), _seconds(old), _seconds(new))
    found = [
        reason
        for reason in obstacles(before, after, synthetic_changed)
        if not reason.startswith("other recipe length")
    ]
    for name, was, now in (
        ("device", old.device, new.device),
        ("backend", old.backend, new.backend),
        ("precision", old.precision, new.precision),
        ("float32_products", old.float32_products, new.float32_products),
    ):
        if was != now:
            found.append(f"other {name}: {was} → {now}")
    if found:
        return Row(variant, (*cells, NONE), INCOMPARABLE, "; ".join(found))
    times, new_times = ([run.seconds_per_epoch for run in part.runs] for part in (old, new))
    if min(old.n, new.n) == 1:
        return Row(
            variant, (*cells, _signed(float(np.mean(new_times) - np.mean(times)), 2)), ONE_SEED
        )
    if times == new_times:
        return Row(variant, (*cells, _signed(0.0, 2)), NOISE, "the same times")
    interval = mean_interval(times, new_times)
    if (
        interval.low == interval.high
    ):  # times that agree to the last digit say nothing of how times vary
        return Row(
            variant, (*cells, _signed(interval.difference, 2)), NOISE, "no spread on either side"
        )
    return Row(variant, (*cells, _cell(interval, 2)), verdict(interval, good=-1))


def lone_row(variant: str, before: Side | None, after: Side | None) -> Row:
    """The accuracy of a variant that only one side has."""
    side = before or after
    assert side is not None
    old, new = (NONE if part is None else _accuracy(part.metrics) for part in (before, after))
    return Row(variant, (side.metrics.network, old, new, NONE), "removed" if before else "added")


def markdown(
    base: str,
    rev: str,
    accuracies: Sequence[Row],
    seconds: Sequence[Row],
    changed: Mapping[str, tuple[Any, Any]],
    unread: Sequence[str],
    doubts: Mapping[str, Sequence[str]],
) -> str:
    """The whole review; `changed` holds keys of params.yaml with old and new value, `unread` lines on files that cannot be read.

    `doubts` holds, for each side, the lines on what speaks against its figures.
    """
    blocks = [f"# `{base}` → `{rev}`"]
    if doubtful := [f"- `{side}`: {line}" for side, lines in doubts.items() for line in lines]:
        blocks += ["## Doubtful figures", DOUBTS, "\n".join(doubtful)]
    blocks.append("## Accuracy, %")
    if accuracies:
        blocks.append(
            _table(("Variant", "Network", base, rev, "Difference, points", "Verdict"), accuracies)
        )
    elif not unread:
        blocks.append("Neither side has any results.")
    if seconds:
        blocks += [
            "## Seconds per epoch",
            _table(("Variant", "Network", base, rev, "Difference, s", "Verdict"), seconds),
        ]
    if unread:
        blocks.append("\n".join(f"- {line}" for line in unread))
    blocks.append("## params.yaml")
    if changed:
        values = [
            [f"`{key}`", *(NONE if value is None else f"`{_plain(value)}`" for value in pair)]
            for key, pair in changed.items()
        ]
        blocks.append(
            tabulate(values, ("Key", _escaped(base), _escaped(rev)), "pipe", disable_numparse=True)
        )
    else:
        blocks.append("Nothing changed.")
    if accuracies:
        blocks += READING
    return "\n\n".join(blocks) + "\n"


def _table(header: Sequence[str], rows: Sequence[Row]) -> str:
    cells = [
        [row.variant, *row.cells, f"**{row.verdict}**" + (f" ({row.remark})" if row.remark else "")]
        for row in rows
    ]
    escaped = [[_escaped(cell) for cell in line] for line in cells]
    align = ("left", "left", "right", "right", "right", "left")
    return tabulate(
        escaped, [_escaped(name) for name in header], "pipe", colalign=align, disable_numparse=True
    )


def _plain(value: Any) -> str:
    text = (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )  # as YAML has it
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'")


def _escaped(cell: str) -> str:
    """A cell cannot break the table: a device's name and a branch's come from outside."""
    return " ".join(cell.split()).replace("|", "\\|")


def _change(old: str, new: str) -> str:
    return old if old == new else f"{old} → {new}"


def _epochs(metrics: Metrics) -> str:
    return f"{metrics.epochs} of {metrics.recipe_epochs}" if metrics.short else str(metrics.epochs)


def _accuracy(metrics: Metrics) -> str:
    spread = "" if metrics.accuracy_std is None else f" ± {metrics.accuracy_std:.2f}"
    return f"{metrics.accuracy:.2f}{spread} (n={metrics.n})"


def _seconds(metrics: Metrics) -> str:
    return f"{np.mean([run.seconds_per_epoch for run in metrics.runs]):.2f} (n={metrics.n})"


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _cell(interval: Interval, digits: int) -> str:
    return f"{_signed(interval.difference, digits)} [{_signed(interval.low, digits)}, {_signed(interval.high, digits)}]"
