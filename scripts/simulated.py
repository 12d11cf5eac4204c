"""Simulated comparisons of accuracies whose truth is known, for simulate.py.

The difficulty of an image and the effect of a seed are drawn, and from these the answers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from resnet.results.intervals import Difference, Seeds, Values
from resnet.results.scores import Correct

IMAGES = 10_000
SEEDS = (2, 3, 5, 10)
SPREADS = (0.15, 0.2, 0.3, 1.0)  # standard deviation of a seed's accuracy, in points
ACCURACIES = (85.0, 92.0, 95.0)
# correlation of the two sides' difficulties; with "no images", only seeds vary
ANSWERS = {"same": 1.0, "correlated": 0.95, "independent": 0.0}
# Standard deviation of an image's difficulty, in logits: seeds of 86 % then disagree on 9 % of the
# images, as those of ResNet20v1-short do.
DIFFICULTY = 4.5

Floats: TypeAlias = NDArray[np.float64]
Rule = Callable[[Values, Seeds, Seeds, Values], Difference]


class Side(NamedTuple):
    seeds: int
    spread: float


SIDES = tuple(Side(seeds, spread) for spread in SPREADS for seeds in SEEDS)


@dataclass(frozen=True)
class Moments:
    """What a rule needs of many comparisons of all pairs of SIDES."""

    means: Floats  # (draws, 2, sides)
    variances: Floats  # (draws, 2, sides)
    floors: Floats  # (draws, 2, sides)
    gain_variances: Floats  # (draws, sides, sides)

    @classmethod
    def empty(cls, draws: int) -> Self:
        shape = (draws, 2, len(SIDES))
        pairs = np.empty((draws, len(SIDES), len(SIDES)))
        return cls(np.empty(shape), np.empty(shape), np.empty(shape), pairs)

    def fill(self, number: int, before: Correct, after: Correct) -> None:
        """The moments of one comparison, from all answers (spreads, seeds, images)."""
        images = before.shape[-1]
        counts = np.array([side.seeds for side in SIDES])
        shares = [_shares(correct) for correct in (before, after)]
        means = [share.mean(axis=1, dtype=np.float64) for share in shares]
        products = [[a @ b.T / images for b in shares] for a in shares]  # (sides, sides) each
        for which, correct in enumerate((before, after)):
            accuracies = 100 * np.count_nonzero(correct, axis=2) / images  # (spreads, seeds)
            variances = [accuracies[:, :seeds].var(axis=1, ddof=1) for seeds in SEEDS]
            answers = means[which] - np.diagonal(products[which][which])  # of p (1 - p)
            self.means[number, which] = 100 * means[which]
            self.variances[number, which] = np.stack(variances, axis=1).ravel()
            self.floors[number, which] = 100**2 * answers * counts / (counts - 1) / images
        squares = np.add.outer(*(np.diagonal(products[which][which]) for which in range(2)))
        gain = squares - 2 * products[0][1] - np.subtract.outer(*means) ** 2
        self.gain_variances[number] = 100**2 * gain / (images - 1)

    def difference(self, rule: Rule, before: int, after: int) -> Difference:
        """The differences between two of SIDES (draws,)."""
        first, second = (
            Seeds(SIDES[side].seeds, self.variances[:, which, side], self.floors[:, which, side])
            for which, side in enumerate((before, after))
        )
        value = self.means[:, 1, after] - self.means[:, 0, before]
        return rule(value, first, second, self.gain_variances[:, before, after])


def draw(draws: int, accuracy: float, correlation: float, rng: np.random.Generator) -> Moments:
    """Simulate comparisons of all pairs of SIDES, equally accurate.

    A side with fewer seeds has the first of those with most, on the same images.
    """
    most = max(SEEDS)
    logits, accuracies, floor = _accuracies(accuracy)
    effects = np.sqrt(np.maximum(np.square(SPREADS) - floor, 0))[:, None]
    moments = Moments.empty(draws)
    for number in range(draws):
        common = rng.standard_normal(IMAGES, np.float32)
        answers = []
        for _ in range(2):
            own = rng.standard_normal(IMAGES, np.float32)
            normal = correlation**0.5 * common + (1 - correlation) ** 0.5 * own
            odds = np.exp(-DIFFICULTY * normal)  # against a correct answer
            truth = accuracy + effects * rng.standard_normal((len(SPREADS), most))
            factors = np.exp(-np.interp(truth, accuracies, logits)).astype(np.float32)
            uniform = rng.random((len(SPREADS), most, IMAGES), np.float32)
            answers.append(uniform * (1 + factors[:, :, None] * odds) < 1)
        moments.fill(number, *answers)
    return moments


def draw_without_images(draws: int, rng: np.random.Generator) -> Moments:
    """The same for quantities that the images have no part in, such as seconds per epoch."""
    values = rng.standard_normal((draws, 2, len(SPREADS), max(SEEDS)))
    sides = [
        (values[:, :, i, :seeds] * spread) for i, spread in enumerate(SPREADS) for seeds in SEEDS
    ]
    return Moments(
        np.stack([side.mean(axis=-1) for side in sides], axis=-1),
        np.stack([side.var(axis=-1, ddof=1) for side in sides], axis=-1),
        np.zeros((draws, 2, len(SIDES))),
        np.zeros((draws, len(SIDES), len(SIDES))),
    )


def _accuracies(accuracy: float) -> tuple[Floats, Floats, float]:
    """Mean logits and the accuracies they give, and the variance of single answers at `accuracy`.

    The accuracies are averages over the normal distribution of the difficulties.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    weights = weights / weights.sum()
    logits = np.linspace(-10, 25, 3501)
    chances = special.expit(logits[:, None] + DIFFICULTY * nodes)  # (logits, nodes)
    accuracies = 100 * chances @ weights
    at = np.interp(accuracy, accuracies, logits)
    chance = special.expit(at + DIFFICULTY * nodes)
    return logits, accuracies, float(100**2 * (chance * (1 - chance)) @ weights / IMAGES)


def _shares(correct: Correct) -> NDArray[Any]:
    """Of answers (spreads, seeds, images), for each of SIDES the share of seeds that are correct.

    The result is (sides, images).
    """
    spreads, _, images = correct.shape
    counts = np.zeros((spreads, images), np.uint8)
    shares, done = [], 0
    for seeds in SEEDS:
        counts += correct[:, done:seeds].view(np.uint8).sum(axis=1, dtype=np.uint8)
        done = seeds
        shares.append(counts / np.float32(seeds))
    return np.stack(shares, axis=1).reshape(len(SIDES), images)
