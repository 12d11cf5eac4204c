"""Intervals of a difference between two sides, each with several seeds on the same test images.

The variance of a difference of accuracies is the sum of two, as in Clark's min F' for two crossed
random factors: that of the seeds as in Welch's t test (scipy.stats.ttest_ind, equal_var=False), and
that of the test images as in the paired t test (scipy.stats.ttest_rel). The randomness of a single
image in a single run is in both, so the interval is a little too wide. The degrees of freedom
are Satterthwaite's, but at most four for each of the smaller side's seeds after the first. With
few seeds, Satterthwaite's alone are sometimes so many that, with two seeds against ten, 7 % of the
changes without an effect would be called better or worse.
Clark 1973, doi:10.1016/S0022-5371(73)80014-3; Satterthwaite 1946, doi:10.2307/3002019.

Seeds are not paired. The same seed draws the same initial weights and order on both sides, but
training soon forgets them; if it does not, the interval is too wide, never too narrow.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from resnet.results.scores import Correct

CONFIDENCE = 0.95
BETTER, WORSE, NOISE = "better", "worse", "within noise"


class Interval(NamedTuple):
    """A difference, after minus before, and its 95 % interval."""

    difference: float
    low: float
    high: float


def accuracy_interval(before: Correct, after: Correct) -> Interval:
    """The difference of two accuracies in points, over the same images (seeds, images).

    The seeds' variance is included where both sides have at least two.
    """
    gain = 100 * (after.mean(axis=0) - before.mean(axis=0))  # (images,)
    if gain.size == 1:  # a single image says nothing about others
        return Interval(float(gain[0]), -100.0, 100.0)
    images = (float(stats.sem(gain)), gain.size - 1)
    if min(len(before), len(after)) == 1:
        return _interval(float(gain.mean()), [images])
    seeds = _seeds(100 * before.mean(axis=1), 100 * after.mean(axis=1))
    return _interval(float(gain.mean()), [images, *seeds], most=4 * min(df for _, df in seeds))


def mean_interval(before: Sequence[float], after: Sequence[float]) -> Interval:
    """The difference of two means over seeds, at least two on each side: Welch's."""
    seeds = _seeds(before, after)
    difference = float(np.mean(after) - np.mean(before))
    return _interval(difference, seeds, most=4 * min(df for _, df in seeds))


def verdict(interval: Interval, good: int) -> str:
    """A word for an interval; `good` is the sign of a change for the better."""
    if interval.low <= 0 <= interval.high:
        return NOISE
    return BETTER if interval.difference * good > 0 else WORSE


def _seeds(*sides: Any) -> list[tuple[float, int]]:
    """The standard error of each side's mean over its seeds, with its degrees of freedom."""
    return [(float(stats.sem(values)), len(values) - 1) for values in sides]


def _interval(
    difference: float, parts: Sequence[tuple[float, int]], most: float = np.inf
) -> Interval:
    """The t interval of a difference whose variance is the sum of several.

    `parts` has a standard error and degrees of freedom for each; the sum has at most `most`.
    """
    variance = sum(error**2 for error, _ in parts)
    if not variance:  # the same predictions throughout
        return Interval(difference, difference, difference)
    freedom = min(most, variance**2 / sum(error**4 / df for error, df in parts))
    low, high = stats.t.interval(CONFIDENCE, freedom, loc=difference, scale=variance**0.5)
    return Interval(difference, float(low), float(high))
