"""What a change did to the results: each variant before and after, with intervals, as Markdown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resnet.results import cells, markdown
from resnet.results.intervals import (
    NOISE,
    Interval,
    accuracy_interval,
    mean_interval,
    verdict,
)
from resnet.results.metrics import Results
from resnet.results.notes import NONE
from resnet.results.recipes import recognize
from resnet.results.scores import Correct

NOT_COMPARABLE, ONE_SEED = "not comparable", "one seed"
HOW_TO_READ = (
    "Brackets contain the 95 % interval of the difference. For an accuracy it accounts for the "
    "seeds (Welch) and for the test images, which are paired, because both sides are evaluated on "
    "the same ones (Clark 1973, min F'; scipy.stats.sem, scipy.stats.t). For a time it accounts "
    f"for the seeds. A difference whose interval contains 0 is *{NOISE}*. One seed does not show "
    "how seeds vary: where a side has only one, the interval accounts for the test images alone, "
    "and there is no verdict.",
    "If nothing changed, at most one interval in twenty excludes 0 by chance.",
)
STALE = (
    "The code and parameters of the same revision did not produce these results; "
    "run `dvc repro` to update them."
)


@dataclass(frozen=True)
class Side:
    """A variant on one side of the comparison."""

    results: Results
    correct: Correct  # (seeds, images)


@dataclass(frozen=True)
class Row:
    """One variant's comparison in one quantity: cells, and the verdict in words."""

    variant: str
    cells: tuple[str, ...]  # network, before, after, difference
    verdict: str
    remark: str = ""


def differing_conditions(before: Side, after: Side, synthetic_changed: bool) -> list[str]:
    """Why two accuracies are not comparable, a reason each; none where they are.

    Accuracies of different networks or recipes are comparable: that comparison is the purpose.
    Those after more or fewer epochs are not.
    """
    old, new = before.results, after.results
    reasons = _differing_data(old, new, synthetic_changed)
    if old.parameters.recipe.epochs != new.parameters.recipe.epochs:
        reasons.append(f"different number of epochs: {_epochs(old)} → {_epochs(new)}")
    return reasons + _differing_holdout(old, new)


def accuracy_row(variant: str, before: Side, after: Side, synthetic_changed: bool) -> Row:
    """A variant's accuracy on both sides, with the interval of the difference."""
    old, new = before.results, after.results
    shown = (_networks(old, new), cells.accuracy(old), cells.accuracy(new))
    reasons = differing_conditions(before, after, synthetic_changed)
    if reasons:
        return Row(variant, (*shown, NONE), NOT_COMPARABLE, "; ".join(reasons))
    if np.array_equal(before.correct, after.correct):  # the same networks: no interval is needed
        same = _difference(Interval(0, 0, 0))
        return Row(variant, (*shown, same), NOISE, "the same images classified correctly")
    interval = accuracy_interval(before.correct, after.correct)
    one_seed = min(old.metrics.seeds, new.metrics.seeds) == 1
    word = ONE_SEED if one_seed else verdict(interval, good=1)
    return Row(variant, (*shown, _difference(interval)), word)


def seconds_row(variant: str, before: Side, after: Side, synthetic_changed: bool) -> Row:
    """A variant's seconds per epoch on both sides, compared only if measured in the same way."""
    old, new = before.results, after.results
    times = [[run.training.seconds_per_epoch for run in side.runs] for side in (old, new)]
    means = [float(np.mean(side)) for side in times]
    shown = (
        _networks(old, new),
        *(
            f"{mean:.2f} ({cells.seeds(len(side))})"
            for mean, side in zip(means, times, strict=True)
        ),
    )
    reasons = [
        *_differing_data(old, new, synthetic_changed),
        *_differing_holdout(old, new),
        *_differing_devices(old, new),
    ]
    if reasons:
        return Row(variant, (*shown, NONE), NOT_COMPARABLE, "; ".join(reasons))
    if min(map(len, times)) == 1:
        return Row(variant, (*shown, _signed(means[1] - means[0])), ONE_SEED)
    if times[0] == times[1]:
        return Row(variant, (*shown, _signed(0.0)), NOISE, "the same times")
    interval = mean_interval(*times)
    if interval.low == interval.high:  # equal times of every seed do not show how times vary
        difference = _signed(interval.difference)
        return Row(variant, (*shown, difference), NOISE, "no spread on either side")
    return Row(variant, (*shown, _difference(interval)), verdict(interval, good=-1))


def one_sided_row(variant: str, before: Side | None, after: Side | None) -> Row:
    """The accuracy of a variant that only one side has: it was added or removed."""
    side = before or after
    assert side is not None
    old, new = (NONE if each is None else cells.accuracy(each.results) for each in (before, after))
    word = "removed" if before else "added"
    return Row(variant, (side.results.network.name, old, new, NONE), word)


def page(
    base: str,
    rev: str,
    accuracies: Sequence[Row],
    seconds: Sequence[Row],
    changed: Mapping[str, tuple[Any, Any]],
    unread: Sequence[str],
    stale: Mapping[str, Sequence[str]],
) -> str:
    """The whole review.

    `changed` has keys of params.yaml with their old and new value, `unread` a line for each file
    that cannot be read, `stale` for each side the lines on its stale results.
    """
    blocks = [f"# {markdown.code(base)} → {markdown.code(rev)}"]
    if lines := [f"{markdown.code(side)}: {line}" for side in stale for line in stale[side]]:
        blocks += ["## Stale results", STALE, markdown.bullets(lines)]
    blocks.append("## Accuracy, %")
    if accuracies:
        blocks.append(_table(base, rev, "Difference, points", accuracies))
    elif not unread:
        blocks.append("Neither side has any results.")
    if seconds:
        blocks += ["## Seconds per epoch", _table(base, rev, "Difference, s", seconds)]
    if unread:
        blocks.append(markdown.bullets(unread))
    blocks += ["## params.yaml", _parameters(base, rev, changed) or "Nothing changed."]
    return markdown.page([*blocks, *(HOW_TO_READ if accuracies else ())])


def _table(base: str, rev: str, difference: str, rows: Sequence[Row]) -> str:
    columns = ("Variant", "Network", base, rev, difference, "Verdict")
    align = ("left", "left", "right", "right", "right", "left")
    cells_of = [
        (
            row.variant,
            *row.cells,
            f"**{row.verdict}**" + (f" ({row.remark})" if row.remark else ""),
        )
        for row in rows
    ]
    return markdown.table(columns, cells_of, align)


def _parameters(base: str, rev: str, changed: Mapping[str, tuple[Any, Any]]) -> str:
    rows = [
        (
            markdown.code(key),
            *(NONE if value is None else markdown.code(_as_yaml(value)) for value in pair),
        )
        for key, pair in changed.items()
    ]
    return markdown.table(("Key", base, rev), rows, ("left",) * 3) if rows else ""


def _differing_data(old: Results, new: Results, synthetic_changed: bool) -> list[str]:
    sources = (old.parameters.source, new.parameters.source)
    if sources[0] != sources[1]:
        return [f"different data: {sources[0]} → {sources[1]}"]
    if old.images != new.images:
        return [f"different data: {old.images:,} → {new.images:,} test images"]
    if new.synthetic and synthetic_changed:
        return ["different data: `data.synthetic` changed"]
    return []


def _differing_holdout(old: Results, new: Results) -> list[str]:
    holdouts = (old.parameters.holdout, new.parameters.holdout)
    if holdouts[0] == holdouts[1]:
        return []
    return [f"different hold-out: {' → '.join(cells.holdout(holdout) for holdout in holdouts)}"]


def _differing_devices(old: Results, new: Results) -> list[str]:
    pairs = {
        "device": (cells.device(old), cells.device(new)),
        "backend": (_joined(old, "backend"), _joined(new, "backend")),
        "precision": (old.parameters.precision, new.parameters.precision),
        "float32_products": (_joined(old, "float32_products"), _joined(new, "float32_products")),
        "xla": (_joined(old, "xla"), _joined(new, "xla")),
        "determinism": (_joined(old, "deterministic"), _joined(new, "deterministic")),
    }
    return [f"different {name}: {was} → {now}" for name, (was, now) in pairs.items() if was != now]


def _joined(results: Results, key: str) -> str:
    return " and ".join(results.distinct(key))


def _networks(old: Results, new: Results) -> str:
    names = (old.network.name, new.network.name)
    return names[0] if names[0] == names[1] else f"{names[0]} → {names[1]}"


def _epochs(results: Results) -> str:
    recognized = recognize(results.parameters)
    short = f" of {recognized.published_epochs}" if recognized.short else ""
    return f"{recognized.epochs}{short}"


def _as_yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _difference(interval: Interval) -> str:
    low, high = _signed(interval.low), _signed(interval.high)
    return f"{_signed(interval.difference)} [{low}, {high}]"
