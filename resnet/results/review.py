"""What a change did to the results: each variant before and after, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from resnet.results import cells, markdown
from resnet.results.intervals import (
    Difference,
    accuracy_difference,
    images_difference,
    mean_difference,
)
from resnet.results.metrics import Results
from resnet.results.notes import NONE
from resnet.results.recipes import recognize
from resnet.results.scores import Correct
from resnet.results.verdicts import (
    MARGIN,
    NO_DIFFERENCE,
    NO_VERDICT,
    Comparison,
    judge,
    more_seeds,
)

NOT_COMPARABLE = "not comparable"
CONDITIONS = {  # of a time: a name, and the field of the device; precision is a parameter
    "device": "name",
    "processor": "processor",
    "backend": "backend",
    "precision": "",
    "float32_products": "float32_products",
    "xla": "xla",
    "determinism": "deterministic",
}
ENVIRONMENT = "environment variables, e.g. the number of threads"


@dataclass(frozen=True)
class Side:
    """A variant on one side of the comparison."""

    results: Results
    correct: Correct  # (seeds, images), by seed
    listed: bool = True  # in `variants`, so that DVC has stages for it


@dataclass(frozen=True)
class Row:
    """One variant's comparison in one quantity: cells, and the verdict in words."""

    variant: str
    cells: tuple[str, ...]  # network, before, after, difference
    verdict: str = ""  # empty until `with_verdicts` fills it in
    remark: str = ""
    comparison: Comparison | None = None  # None: the verdict does not depend on other rows
    unchanged: bool = False  # both sides have the very same results


def accuracy_row(variant: str, before: Side, after: Side, margin: float = MARGIN) -> Row:
    """A variant's accuracy on both sides, with the interval of the difference.

    `margin` is the difference in points below which two accuracies are equivalent. Accuracies of
    different networks or recipes are comparable: that comparison is the purpose. Those after more
    or fewer epochs are not.
    """
    old, new = before.results, after.results
    shown = (_networks(old, new), *map(_accuracy, (old, new)))
    reasons = [*_differing_data(old, new), *_differing_epochs(old, new)]
    reasons += _differing_holdout(old, new)
    if reasons:
        return Row(variant, (*shown, NONE), NOT_COMPARABLE, "; ".join(reasons))
    if np.array_equal(before.correct, after.correct):  # the same networks: no interval is needed
        same = f"{_signed(0)} [{_signed(0)}, {_signed(0)}]"
        why = "the same images classified correctly"
        return Row(variant, (*shown, same), NO_DIFFERENCE, why, unchanged=True)
    if new.images == 1:
        gain = new.metrics.accuracy - old.metrics.accuracy
        return Row(variant, (*shown, _signed(gain)), NO_VERDICT, "one test image")
    seeds = _seeds(old, new)
    advice = more_seeds(variant, *seeds, listed=after.listed)
    if min(map(len, seeds)) == 1:
        difference = images_difference(before.correct, after.correct)
        return Row(variant, (*shown, _difference(difference)), NO_VERDICT, advice)
    difference = accuracy_difference(before.correct, after.correct)
    comparison = Comparison(difference, good=1, margin=margin, advice=advice)
    return Row(variant, (*shown, _difference(difference)), comparison=comparison)


def seconds_row(variant: str, before: Side, after: Side) -> Row:
    """A variant's seconds per epoch on both sides, compared only if measured in the same way."""
    old, new = before.results, after.results
    times = [
        [run.training.seconds_per_epoch for run in sorted(side.runs, key=lambda run: run.seed)]
        for side in (old, new)
    ]
    means = [float(np.mean(side)) for side in times]
    shown = (
        _networks(old, new),
        *(
            f"{mean:.2f} ({cells.seeds(len(side))})"
            for mean, side in zip(means, times, strict=True)
        ),
    )
    reasons = [
        *_differing_data(old, new),
        *_differing_holdout(old, new),
        *_differing_devices(old, new),
    ]
    if reasons:
        return Row(variant, (*shown, NONE), NOT_COMPARABLE, "; ".join(reasons))
    if times[0] == times[1]:
        why = "the same times"
        return Row(variant, (*shown, _signed(0.0)), NO_DIFFERENCE, why, unchanged=True)
    if reasons := _several_devices(new):  # and of old, which has the same
        return Row(variant, (*shown, NONE), NOT_COMPARABLE, "; ".join(reasons))
    seeds = _seeds(old, new)
    advice = more_seeds(variant, *seeds, listed=after.listed)
    if min(map(len, seeds)) == 1:
        gain = _signed(means[1] - means[0])
        return Row(variant, (*shown, gain), NO_VERDICT, advice)
    difference = mean_difference(*times)
    comparison = Comparison(difference, good=-1, advice=advice)
    return Row(variant, (*shown, _difference(difference)), comparison=comparison)


def with_verdicts(*tables: Sequence[Row]) -> list[list[Row]]:
    """All tables of a review with their verdicts, which are corrected for their number."""
    compared = [row.comparison for table in tables for row in table if row.comparison]
    found = iter(judge(compared))
    return [
        [replace(row, **vars(next(found))) if row.comparison else row for row in table]
        for table in tables
    ]


def one_sided_row(variant: str, before: Side | None, after: Side | None) -> Row:
    """The accuracy of a variant that only one side has: it was added or removed."""
    side = before or after
    assert side is not None
    old, new = (NONE if each is None else _accuracy(each.results) for each in (before, after))
    word = "removed" if before else "added"
    return Row(variant, (side.results.network.name, old, new, NONE), word)


def _accuracy(results: Results) -> str:
    return cells.accuracy(results) + cells.marks(results)


def _differing_data(old: Results, new: Results) -> list[str]:
    sources = (old.parameters.source, new.parameters.source)
    if sources[0] != sources[1]:
        return [f"different data: {sources[0]} → {sources[1]}"]
    if old.images != new.images:
        return [f"different data: {old.images:,} → {new.images:,} test images"]
    if new.synthetic:  # CIFAR-10's images are always the same, however they are prepared
        recorded = [results.runs[0].training.identity.data for results in (old, new)]
        shared = min(map(len, recorded))  # trainings that read no test images have no hash of them
        if not shared or recorded[0][:shared] != recorded[1][:shared]:
            return ["different data: the recorded hashes of the synthetic images"]
    return []


def _differing_epochs(old: Results, new: Results) -> list[str]:
    if old.parameters.recipe.epochs == new.parameters.recipe.epochs:
        return []
    return [f"different number of epochs: {_epochs(old)} → {_epochs(new)}"]


def _differing_holdout(old: Results, new: Results) -> list[str]:
    holdouts = (old.parameters.holdout, new.parameters.holdout)
    if holdouts[0] == holdouts[1]:
        return []
    return [f"different hold-out: {' → '.join(cells.holdout(holdout) for holdout in holdouts)}"]


def _differing_devices(old: Results, new: Results) -> list[str]:
    before, after = _conditions(old), _conditions(new)
    reasons = [
        f"different {name}: {_shown(was)} → {_shown(now)}"
        for name, was, now in zip(CONDITIONS, before, after, strict=True)
        if was != now
    ]
    if _environments(old) != _environments(new):
        reasons.append(f"different {ENVIRONMENT}")
    return reasons


def _several_devices(results: Results) -> list[str]:
    """Why the mean over the seeds depends on how many of them ran where, not on the code alone."""
    found = zip(CONDITIONS, _conditions(results), strict=True)
    reasons = [f"more than one {name}: {_shown(of)}" for name, of in found if len(of) > 1]
    if len(_environments(results)) > 1:
        reasons.append(f"more than one set of {ENVIRONMENT}")
    return reasons


def _conditions(results: Results) -> list[list[str]]:
    """The values that the seeds have of each of CONDITIONS."""
    precision: list[str] = [results.parameters.precision]
    return [sorted(results.distinct(key)) if key else precision for key in CONDITIONS.values()]


def _shown(values: Sequence[str]) -> str:
    return " and ".join(markdown.code(value) if value else "not recorded" for value in values)


def _environments(results: Results) -> set[tuple[tuple[str, str | None], ...]]:
    found = (run.training.identity.environment for run in results.runs)
    return {tuple(sorted(environment.items())) for environment in found}


def _networks(old: Results, new: Results) -> str:
    names = (old.network.name, new.network.name)
    return names[0] if names[0] == names[1] else f"{names[0]} → {names[1]}"


def _epochs(results: Results) -> str:
    recognized = recognize(results.parameters)
    short = f" of {recognized.published_epochs}" if recognized.short else ""
    return f"{recognized.epochs}{short}"


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _difference(difference: Difference) -> str:
    if not difference.variance > 0:
        return _signed(float(difference.value))
    ends = ", ".join(_signed(float(end)) for end in difference.interval())
    return f"{_signed(float(difference.value))} [{ends}]"


def _seeds(old: Results, new: Results) -> tuple[list[int], list[int]]:
    before, after = ([run.seed for run in results.runs] for results in (old, new))
    return before, after
