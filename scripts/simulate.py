"""How often the verdicts of a review are wrong, and what they find: docs/statistics.md.

Simulates comparisons whose truth is known, over a grid of numbers of seeds, their spreads,
accuracies and test images. `make simulate` takes a few minutes on one core. It writes every cell of
the grid to docs/statistics/ and the page that summarizes them. It always gives the same numbers.
"""

import argparse
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from resnet.errors import command_parser, run_stage
from resnet.files import write_text
from resnet.results.intervals import Difference, Seeds, Values, combine, mean_difference
from resnet.results.scores import Correct
from resnet.results.verdicts import (
    BETTER,
    EQUIVALENT,
    LEVEL,
    MARGIN,
    NO_DIFFERENCE,
    Comparison,
    judge,
)
from scripts.statistics_page import NO_IMAGES, page

PAGE = Path("docs/statistics.md")
TABLES = Path("docs/statistics/cells.csv"), Path("docs/statistics/reviews.csv")
IMAGES = 10_000
SEEDS = (2, 3, 5, 10)
SPREADS = (0.15, 0.2, 0.3, 1.0)  # standard deviation of a seed's accuracy, in points
ACCURACIES = (85.0, 92.0, 95.0)
# correlation of the two sides' difficulties; with "no images", only seeds vary
ANSWERS = {"same": 1.0, "correlated": 0.95, "independent": 0.0}
# Standard deviation of an image's difficulty, in logits: seeds of 86 % then disagree on 9 % of the
# images, as those of ResNet20v1-short do.
DIFFICULTY = 4.5
DRAWS = 2_000
DRAWS_WITHOUT_IMAGES = 20_000
EFFECTS = (0.5, 1.0)  # differences to be found, in points
VARIANTS = 10  # of a review
SEED = 20261128

Floats = NDArray[np.float64]
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


def rates(moments: Moments, rule: Rule = combine) -> Iterator[dict[str, float]]:
    """For each pair of SIDES, in how many percent of the comparisons what is found.

    `false`: better or worse where nothing differs; `false_equivalent`: equivalent where the
    difference is the margin; `found_...`: better where that is the difference; `equivalent`: where
    nothing differs.
    """
    for before, after in itertools.combinations_with_replacement(range(len(SIDES)), 2):
        null = moments.difference(rule, before, after)
        changed = {
            effect: null._replace(value=null.value + effect) for effect in {MARGIN, *EFFECTS}
        }
        names = [f"{key}_{i}" for i in (1, 2) for key in ("seeds", "spread")]
        yield {
            "draws": len(moments.means),
            **dict(zip(names, (*SIDES[before], *SIDES[after]), strict=True)),
            "false": _percent(null.p_no_difference()),
            "false_equivalent": _percent(changed[MARGIN].p_beyond(MARGIN)),
            **{f"found_{each}": _found(changed[each]) for each in EFFECTS},
            "equivalent": _percent(null.p_beyond(MARGIN)),
        }


def _percent(p: Values) -> float:
    return round(100 * float(np.mean(p <= LEVEL)), 2)


def _found(difference: Difference) -> float:
    return _percent(np.where(difference.value > 0, difference.p_no_difference(), 1.0))


def all_with_images(draws: int, seed: int = SEED) -> dict[tuple[str, float], Moments]:
    """The simulated comparisons for all answers and accuracies."""
    found = {}
    for number, (answers, accuracy) in enumerate(itertools.product(ANSWERS, ACCURACIES)):
        rng = np.random.default_rng((seed, number))
        found[answers, accuracy] = draw(draws, accuracy, ANSWERS[answers], rng)
        print(f"{answers}, {accuracy:g} %: done", flush=True)
    return found


def grid(simulated: Mapping[tuple[str, float], Moments], seed: int = SEED) -> pd.DataFrame:
    """Every cell: `rates` for all accuracies and answers, and without images."""
    rows: list[dict[str, Any]] = [
        {"answers": answers, "accuracy": accuracy, **each}
        for (answers, accuracy), moments in simulated.items()
        for each in rates(moments)
    ]
    return pd.DataFrame([*rows, *without_images(seed, len(rows))])


def without_images(seed: int, number: int) -> list[dict[str, Any]]:
    """The cells without images; `number` is that of the other cells, and part of the seed."""
    moments = draw_without_images(DRAWS_WITHOUT_IMAGES, np.random.default_rng((seed, number)))
    return [{"answers": NO_IMAGES, "accuracy": np.nan, **each} for each in rates(moments)]


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


def wrong_reviews(
    seeds: int,
    changed: int,
    reviews: int,
    simulated: Collection[Moments],
    rng: np.random.Generator,
) -> float:
    """In how many percent of the reviews of VARIANTS variants any verdict is wrong.

    All variants have an accuracy, of which each is one of those that are simulated, and a time.
    Each side's spread is one of SPREADS. The first `changed` variants have an accuracy that differs
    by the margin, and nothing else differs.
    """
    sides = [number for number, side in enumerate(SIDES) if side.seeds == seeds]
    accuracies = [
        moments.difference(combine, *pair)
        for moments in simulated
        for pair in itertools.product(sides, repeat=2)
    ]
    truths = [MARGIN, 0.0] * changed + [0.0, 0.0] * (VARIANTS - changed)  # accuracy and time
    wrong = 0
    for _ in range(reviews):
        comparisons = []
        for truth in truths[::2]:
            drawn = accuracies[rng.integers(len(accuracies))]
            number = rng.integers(len(drawn.value))
            difference = Difference(*(of_draw[number] for of_draw in drawn))
            difference = difference._replace(value=difference.value + truth)
            comparisons.append(Comparison(difference, good=1, margin=MARGIN))
            times = rng.standard_normal((2, seeds)) * rng.choice(SPREADS, (2, 1))
            comparisons.append(Comparison(mean_difference(*times), good=1))
        words = [each.verdict for each in judge(comparisons)]
        wrong += any(
            word not in (NO_DIFFERENCE, BETTER if truth else EQUIVALENT)
            for word, truth in zip(words, truths, strict=True)
        )
    return 100 * wrong / reviews


def reviews(draws: int, simulated: Collection[Moments], seed: int = SEED) -> pd.DataFrame:
    """`wrong_reviews` for each of SEEDS: where nothing differs, and where half the variants do."""
    rng = np.random.default_rng((seed, 1))
    rows = [
        (
            seeds,
            draws,
            *(
                wrong_reviews(seeds, changed, draws, simulated, rng)
                for changed in (0, VARIANTS // 2)
            ),
        )
        for seeds in SEEDS
    ]
    return pd.DataFrame(rows, columns=["seeds", "reviews", "none", "half"])


def main(arguments: argparse.Namespace) -> None:
    if not arguments.render:
        simulated = all_with_images(DRAWS)
        tables = grid(simulated), reviews(DRAWS, simulated.values())
        for path, table in zip(TABLES, tables, strict=True):
            path.parent.mkdir(exist_ok=True)
            write_text(path, table.to_csv(index=False, lineterminator="\n"))
    write_text(PAGE, page(*map(pd.read_csv, TABLES)))
    print(f"written to {PAGE}")


if __name__ == "__main__":
    command = command_parser("scripts.simulate", __doc__)
    command.add_argument(
        "--render", action="store_true", help="only write the page, from the tables there are"
    )
    run_stage(main, command)
