"""The text of docs/statistics.md, from the tables that scripts/simulate.py makes."""

import itertools

import pandas as pd
from scipy import stats

from resnet.results import markdown
from resnet.results.verdicts import LEVEL

NO_IMAGES = "no images"
SIDE_COLUMNS = ["seeds_1", "spread_1", "seeds_2", "spread_2"]
STATED = (0.15, 0.3, 1.0)  # the spreads of the tables of wrong verdicts
FOUND = {
    "found_0.5": "0.5 points are found",
    "found_1.0": "1 point is found",
    "equivalent": "Equivalent, where nothing differs",
}

RULE = (
    "# The statistics of a review",
    "`make simulate` writes this page and [statistics/](statistics/), with every cell of the grid; "
    "do not edit it.",
    "## The rule",
    "Each side has n seeds, evaluated on the same N test images. For accuracies in points, with "
    "p the share of a side's seeds that classify an image correctly, the components of the "
    "variance are:",
    "- s², the variance of the seeds' accuracies, of each side;\n"
    "- B = 100² · mean of p (1 − p) n / (n − 1) / N, what s² would be if a seed's answers to "
    "different images were independent. The N images estimate it precisely. The true variance of a "
    "seed's accuracy is not below it, as long as no answers depend on each other negatively;\n"
    "- G = 100² · variance of p₂ − p₁ over the images / N, what the two sides answer differently.",
    "The variance of the difference and its degrees of freedom are:",
    "```\n"
    "a = max(s₁², B₁) / n₁        b = max(s₂², B₂) / n₂\n"
    "V = a + b + max(0, G − B₁ / n₁ − B₂ / n₂)\n"
    "welch = (a + b)² / (a² / (n₁ − 1) + b² / (n₂ − 1))\n"
    "safe = min(n₁, n₂) − 1\n"
    "w = 1/2 if n₁ = n₂, else 2/3\n"
    "df = 1 / (w / safe + (1 − w) / min(welch, 2 · safe))\n"
    "```",
    "Adding the seeds' and the images' variance follows Clark's min F' (1973). `welch` is "
    "the number of degrees of freedom by Satterthwaite (1946). `safe` never gives too many wrong "
    "verdicts (Hsu 1938; Mickey and Brown 1966). Bouthillier et al. (2021, arXiv:2103.03098) "
    "describe the sources of variance of a benchmark. `resnet/results/intervals.py` has the "
    "references. Seconds per epoch, and published accuracies, of which no answers are known, have "
    "B = G = 0.",
    "*Better* and *worse* are a two-sided t test at 5 %, *equivalent* two one-sided tests at 5 %. "
    "All comparisons of a review are corrected together with Holm's procedure "
    "(`resnet/results/verdicts.py`).",
)
SIMULATION = (
    "## The simulation",
    "The images of each comparison are drawn. The difficulty of an image, in logits, is normally "
    "distributed with a standard deviation of 4.5, so that seeds of 86 % disagree on 9 % of the "
    "images, as those of ResNet20v1-short do. Both sides find the same images difficult (*same*), "
    "nearly the same (*correlated*, 0.95), or *independent* ones. A seed is better or worse on all "
    "images, so that the accuracies of the seeds, on given images, have the given standard "
    "deviation (the spread), or that of single answers where it is larger: 0.22 points at 85 %, "
    "0.17 at 92 %, 0.15 at 95 %. The accuracies are 85, 92 and 95 %, with 10,000 images and "
    "{draws} comparisons in each cell. So a rate of 5 % is measured with a standard error of "
    "{error:.1f}, and if it were 5 % in all {cells} cells, about one of them would show more than "
    "{chance:.1f} %.",
)
FALSE = (
    "## Wrong verdicts where nothing differs (false positives)",
    "The percentage of single comparisons called better or worse, the largest over the accuracies "
    "and answers, by the seeds and spreads of the two sides. The largest of all cells is "
    "{worst:.1f} %.",
)
TIMES = (
    "The same without images, as for seconds per epoch, with {draws_without} comparisons in each "
    "cell. The largest is {worst_without:.1f} %.",
)
EQUIVALENCE = (
    "The percentage of comparisons called equivalent where the accuracies differ by exactly the "
    "margin of 0.5 points, the largest over the cells with and without images. The largest of all "
    "is {worst_equivalent:.1f} %.",
)
POWER = (
    "## What is found (power)",
    "The percentage of comparisons in which an existing difference is found, and that are "
    "called equivalent within 0.5 points where there is none. Means over 85, 92 and 95 %.",
)
REVIEWS = (
    "## Whole reviews",
    "The percentage of reviews with any wrong verdict (the family-wise error rate), of {reviews} "
    "reviews of ten variants, each with an accuracy and a time. The accuracies are drawn from the "
    "comparisons above, those of different answers and spreads mixed.",
)


def page(cells: pd.DataFrame, reviews: pd.DataFrame) -> str:
    """docs/statistics.md, from `simulate.grid` and `simulate.reviews`."""
    without = cells[cells["answers"] == NO_IMAGES]
    images = cells[cells["answers"] != NO_IMAGES]
    draws = int(images["draws"].iloc[0])
    numbers = {
        "draws": f"{draws:,}",
        "draws_without": f"{without['draws'].iloc[0]:,}",
        "error": 100 * (LEVEL * (1 - LEVEL) / draws) ** 0.5,
        "chance": 100 * float(stats.binom.isf(1 / len(images), draws, LEVEL)) / draws,
        "cells": f"{len(images):,}",
        "worst": images["false"].max(),
        "worst_without": without["false"].max(),
        "worst_equivalent": cells["false_equivalent"].max(),
        "reviews": f"{reviews['reviews'].iloc[0]:,}",
    }
    blocks = [
        *RULE,
        *_filled(SIMULATION, numbers),
        *_filled(FALSE, numbers),
        _largest(images, "false"),
        *_filled(TIMES, numbers),
        _largest(without, "false"),
        *_filled(EQUIVALENCE, numbers),
        _largest(cells, "false_equivalent"),
        *POWER,
        _power(images),
        *_filled(REVIEWS, numbers),
        markdown.table(
            ["Seeds", "Nothing differs", "Half the accuracies differ by the margin"],
            [
                [f"{row.seeds}", f"{row.none:.1f}", f"{row.half:.1f}"]
                for row in reviews.itertuples()
            ],
            ("right",) * 3,
        ),
    ]
    return markdown.page(blocks)


def _filled(blocks: tuple[str, ...], numbers: dict[str, object]) -> list[str]:
    return [block.format(**numbers) for block in blocks]


def _largest(cells: pd.DataFrame, key: str) -> str:
    """The largest value for each pair of numbers of seeds and each pair of spreads."""
    largest: dict[tuple[float, ...], float] = {}
    for *side, value in cells[[*SIDE_COLUMNS, key]].itertuples(index=False):
        for sides in (tuple(side), (*side[2:], *side[:2])):
            largest[sides] = max(value, largest.get(sides, 0.0))
    spreads = list(itertools.product(STATED, repeat=2))
    rows = [
        [f"{a} and {b}", *(f"{largest[a, first, b, second]:.1f}" for first, second in spreads)]
        for a, b in itertools.combinations_with_replacement(sorted(set(cells["seeds_1"])), 2)
    ]
    columns = ["Seeds", *(f"{first:g} and {second:g}" for first, second in spreads)]
    return markdown.table(columns, rows, ("right",) * len(columns))


def _power(cells: pd.DataFrame) -> str:
    """What is found where both sides have as many seeds and the same spread."""
    alike = cells[(cells["seeds_1"] == cells["seeds_2"]) & (cells["spread_1"] == cells["spread_2"])]
    means = alike.groupby(["seeds_1", "spread_1", "answers"], sort=False)[list(FOUND)].mean()
    rows = [
        [f"{seeds} and {seeds}", f"{spread:g}", answers, *(f"{value:.0f}" for value in values)]
        for (seeds, spread, answers), values in zip(means.index, means.to_numpy(), strict=True)
    ]
    rows.sort(key=lambda row: (int(row[0].split()[0]), float(row[1])))
    columns = ["Seeds", "Spread", "Answers", *FOUND.values()]
    return markdown.table(columns, rows, ("right", "right", "left", *("right" for _ in FOUND)))
