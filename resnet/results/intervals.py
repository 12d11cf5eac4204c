"""The difference between two sides, each with several seeds, and how precisely it is known.

A side's mean varies with its seeds, and both vary with the choice of test images. The variance of
the difference has these components, for accuracies in points squared:

- Each side's seeds: the variance of its n accuracies over n. Single answers that vary from seed to
  seed contribute B = mean_i(p_i (1 - p_i) n / (n - 1)) / N to it, where p_i is the share of the
  seeds that classify image i of N correctly. N images give B precisely, and the variance of a
  seed's accuracy is not below it, as long as its answers to different images do not depend on each
  other negatively. So where few seeds agree by chance, B is used instead.
- The images: what the two sides systematically answer differently, the variance of p_b,i - p_a,i
  over the images, over N, less the parts of it that B explains. With the seeds' part this is what
  Clark's min F' adds up for two crossed random factors, without counting single answers twice.

The degrees of freedom lie between two known answers. Satterthwaite's, as in Welch's t test, are
right on average, but the seeds' variances are estimates too, and with two or three seeds they are
too many whenever the larger variance is by chance estimated too small. The smaller n - 1 is never
too many, for any spreads (Hsu; Mickey and Brown). The harmonic mean of the two is used. In it the
smaller n - 1 counts twice if the sides have different numbers of seeds, and Satterthwaite's are at
most those of two sides with the smaller n. docs/statistics.md shows by simulation that this holds.

Means of other quantities, such as seconds per epoch, have the seeds' component alone.

Seeds are not paired. The same seed draws the same initial weights and order on both sides, but
training soon forgets them; if it does not, the interval is too wide, never too narrow.

Clark 1973, doi:10.1016/S0022-5371(73)80014-3; Satterthwaite 1946, doi:10.2307/3002019; Hsu 1938,
Statist. Res. Mem. 2, 1; Mickey and Brown 1966, Ann. Math. Statist. 37, 639; on the sources of
variance in benchmarks, Bouthillier et al. 2021, arXiv:2103.03098.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from resnet.results.scores import Correct

CONFIDENCE = 0.95

Values: TypeAlias = Any  # a float, or in simulations an array of one number per comparison


class Interval(NamedTuple):
    """The ends of a confidence interval."""

    low: Values
    high: Values


class Difference(NamedTuple):
    """A difference, after minus before, with the variance of its estimate."""

    value: Values
    variance: Values
    df: Values  # degrees of freedom of the variance

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Student's t interval."""
        half = special.stdtrit(self.df, (1 + confidence) / 2) * np.sqrt(self.variance)
        return Interval(self.value - half, self.value + half)

    def p_no_difference(self) -> Values:
        """The p value of a true difference of 0: the t test, two-sided."""
        return 2 * special.stdtr(self.df, -np.abs(self.value) / np.sqrt(self.variance))

    def p_beyond(self, margin: float) -> Values:
        """The p value of a true difference of at least the margin: two one-sided t tests."""
        return special.stdtr(self.df, (np.abs(self.value) - margin) / np.sqrt(self.variance))


@dataclass(frozen=True)
class Seeds:
    """What the seeds of one side tell about how seeds vary."""

    count: int  # at least 2
    variance: Values  # of the seeds' values
    floor: Values = 0.0  # the variance that single answers alone give


def combine(value: Values, before: Seeds, after: Seeds, gain_variance: Values = 0.0) -> Difference:
    """The difference of two means over seeds.

    `gain_variance` is the variance over the images of each image's own difference, over their
    number.
    """
    first, second = (np.maximum(side.variance, side.floor) / side.count for side in (before, after))
    answers = before.floor / before.count + after.floor / after.count
    images = np.maximum(gain_variance - answers, 0)
    safe = min(before.count, after.count) - 1
    squares = first**2 / (before.count - 1) + second**2 / (after.count - 1)
    with np.errstate(invalid="ignore"):  # no spread on either side
        welch = np.where(squares > 0, (first + second) ** 2 / squares, safe)
    weight = 1 / 2 if before.count == after.count else 2 / 3  # of the safe one
    df = 1 / (weight / safe + (1 - weight) / np.minimum(welch, 2 * safe))
    return Difference(value, first + second + images, df)


def accuracy_difference(before: Correct, after: Correct) -> Difference:
    """The difference of two accuracies in points, over the same images (seeds, images).

    Both sides have at least two seeds, and there are at least two images.
    """
    gain = _gain(before, after)
    return combine(
        float(gain.mean()), _answers(before), _answers(after), float(gain.var(ddof=1) / gain.size)
    )


def images_difference(before: Correct, after: Correct) -> Difference:
    """The same where a side has one seed: as precise as these networks are known, not others.

    The paired t test over the images, of which there are at least two.
    """
    gain = _gain(before, after)
    return Difference(float(gain.mean()), float(gain.var(ddof=1) / gain.size), gain.size - 1)


def mean_difference(before: Sequence[float], after: Sequence[float]) -> Difference:
    """The difference of two means over seeds, at least two on each side."""
    return combine(float(np.mean(after) - np.mean(before)), _values(before), _values(after))


def published_difference(
    published: float, std: float | None, runs: int, ours: Sequence[float]
) -> Difference:
    """Our mean over at least two seeds minus a published accuracy, in points.

    Both are of the same test images, so only seeds vary. Where no standard deviation is published,
    the value counts as one more run, which varies as ours do.
    """
    value = float(np.mean(ours) - published)
    if std is None:
        seeds = _values(ours)
        return Difference(value, seeds.variance * (1 + 1 / seeds.count), seeds.count - 1)
    return combine(value, Seeds(runs, std**2), _values(ours))


def _gain(before: Correct, after: Correct) -> NDArray[np.float64]:
    """Each image's own difference in points (images,)."""
    gain: NDArray[np.float64] = 100 * (after.mean(axis=0) - before.mean(axis=0))
    return gain


def _answers(correct: Correct) -> Seeds:
    count, images = correct.shape
    share = correct.mean(axis=0)  # (images,)
    answers = 100**2 * np.mean(share * (1 - share)) * count / (count - 1) / images
    return replace(_values(100 * correct.mean(axis=1)), floor=float(answers))


def _values(values: Sequence[float] | NDArray[np.float64]) -> Seeds:
    same = np.ptp(values) == 0  # whose variance rounding makes more than 0
    return Seeds(len(values), 0.0 if same else float(np.var(values, ddof=1)))
