"""How often the verdicts of a review are wrong, and what they find: docs/statistics.md.

Simulates comparisons whose truth is known, over a grid of numbers of seeds, their spreads,
accuracies and test images. `make simulate` takes a few minutes on one core. It writes every cell of
the grid to docs/statistics/ and the page that summarizes them. It always gives the same numbers.
"""

import argparse
import itertools
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from resnet.errors import command_parser, run_stage
from resnet.files import write_text
from resnet.results.intervals import Difference, Values, combine, mean_difference
from resnet.results.verdicts import (
    BETTER,
    EQUIVALENT,
    LEVEL,
    MARGIN,
    NO_DIFFERENCE,
    Comparison,
    judge,
)
from scripts.simulated import (
    ACCURACIES,
    ANSWERS,
    SEEDS,
    SIDES,
    SPREADS,
    Moments,
    Rule,
    draw,
    draw_without_images,
)
from scripts.statistics_page import NO_IMAGES, page

PAGE = Path("docs/statistics.md")
TABLES = Path("docs/statistics/cells.csv"), Path("docs/statistics/reviews.csv")
DRAWS = 2_000
DRAWS_WITHOUT_IMAGES = 20_000
EFFECTS = (0.5, 1.0)  # differences to be found, in points
VARIANTS = 10  # of a review
CHANGED = (0, 5)  # how many of them have another accuracy
SEED = 20261128


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
        (seeds, draws, *(wrong_reviews(seeds, each, draws, simulated, rng) for each in CHANGED))
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
