"""The simulation: what it measures, and a quick form of it that the rule has to pass."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from resnet.results.intervals import Difference, Seeds, Values, accuracy_difference, combine
from scripts import simulate, simulated
from scripts.simulated import SEEDS, SIDES, SPREADS, Moments, Rule
from scripts.statistics_page import NO_IMAGES, page
from tests.support.checkout import ROOT

DRAWS = 300


def clark(value: Values, before: Seeds, after: Seeds, gain_variance: Values = 0.0) -> Difference:
    """Clark's min F' with at most four degrees of freedom for each seed after the first."""
    sides = [(side.variance / side.count, side.count - 1) for side in (before, after)]
    variance = gain_variance + sides[0][0] + sides[1][0]
    squares = gain_variance**2 / (simulated.IMAGES - 1) + sum(v**2 / df for v, df in sides)
    most = 4 * min(df for _, df in sides)
    return Difference(value, variance, np.minimum(variance**2 / squares, most))


def too_many(rule: Rule, moments: Moments) -> list[str]:
    """The cells with more wrong verdicts than a rate of 5 % gives by chance.

    One cell of 10,000 would have more.
    """
    draws = len(moments.means)
    limit = 100 * stats.binom.isf(1e-4, draws, 0.05) / draws
    return [
        f"{key}: {cell}"
        for cell in simulate.rates(moments, rule)
        for key in ("false", "false_equivalent")
        if cell[key] > limit
    ]


@pytest.fixture(scope="module")
def comparisons() -> list[Moments]:
    """Of each kind of answers one accuracy, and without images."""
    rng = np.random.default_rng(20261128)
    kinds = zip(simulated.ACCURACIES, simulated.ANSWERS.values(), strict=True)
    moments = [simulated.draw(DRAWS, *kind, rng) for kind in kinds]
    return [*moments, simulated.draw_without_images(20 * DRAWS, rng)]


def test_no_cell_has_more_than_5_percent_wrong_verdicts(comparisons: list[Moments]) -> None:
    for moments in comparisons:
        assert not too_many(combine, moments)


def test_the_accuracies_of_whole_reviews_are_those_that_are_simulated(
    comparisons: list[Moments],
) -> None:
    rng = np.random.default_rng(1)
    assert simulate.wrong_reviews(5, 0, 100, comparisons, rng) < 10
    better = [replace(each, means=each.means + np.array([[0.0], [9.0]])) for each in comparisons]
    assert simulate.wrong_reviews(5, 0, 100, better, rng) == 100


def test_a_rule_with_too_many_wrong_verdicts_does_not_pass(comparisons: list[Moments]) -> None:
    failing = [cell for moments in comparisons for cell in too_many(clark, moments)]
    assert any("'seeds_1': 2" in cell for cell in failing)


def test_the_simulated_sides_are_as_accurate_and_spread_as_they_should_be(
    comparisons: list[Moments],
) -> None:
    for accuracy, moments in zip(simulated.ACCURACIES, comparisons, strict=False):
        for number, side in enumerate(SIDES):
            of_side = moments.means[:, :, number]
            assert of_side.mean() == pytest.approx(accuracy, abs=0.2)
            floor = moments.floors[:, :, number].mean()
            expected = max(side.spread**2, floor)
            assert moments.variances[:, :, number].mean() == pytest.approx(expected, rel=0.3)


def test_the_moments_are_those_of_the_answers() -> None:
    rng = np.random.default_rng(1)
    shape = (len(SPREADS), max(SEEDS), 500)
    chance = rng.uniform(0.5, 1, 500)
    before, after = (rng.random(shape) < chance for _ in range(2))
    moments = Moments.empty(1)
    moments.fill(0, before, after)
    for first, second in itertools.product(range(len(SIDES)), repeat=2):
        sides = []
        for answers, number in ((before, first), (after, second)):
            side = SIDES[number]
            sides.append(answers[SPREADS.index(side.spread), : side.seeds])
        expected = accuracy_difference(*sides)
        found = moments.difference(combine, first, second)
        np.testing.assert_allclose(np.ravel(found), expected, rtol=1e-4, atol=1e-4)


def cells() -> Iterator[pd.DataFrame]:
    for name in ("cells", "reviews"):
        yield pd.read_csv(ROOT / "docs" / "statistics" / f"{name}.csv")


def test_the_page_is_of_the_committed_table() -> None:
    text = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    assert text == page(*cells())


def test_the_committed_table_shows_what_the_page_promises() -> None:
    """At most 5 % in every cell of at least 2,000, and the power at a spread of 0.2 points."""
    table, reviews = cells()
    assert len(table) == 10 * len(SIDES) * (len(SIDES) + 1) // 2
    assert (table["draws"] >= 2000).all()
    for key in ("false", "false_equivalent"):
        counts = table[key] * table["draws"] / 100
        assert (counts <= stats.binom.isf(1e-4, table["draws"], 0.05)).all()
    # at 85 %, single answers alone give a larger spread
    alike = table.query(
        "seeds_1 == seeds_2 and spread_1 == spread_2 == 0.2 and answers == 'same' and accuracy > 85"
    )
    found = alike.groupby("seeds_1")[["found_0.5", "found_1.0"]].min().to_dict()
    assert found["found_1.0"][5] >= 98
    assert found["found_0.5"][5] >= 84
    assert found["found_1.0"][3] >= 90
    assert 0 < found["found_1.0"][2] < 50
    for key in ("none", "half"):
        counts = reviews[key] * reviews["reviews"] / 100
        assert (counts <= stats.binom.isf(1e-4, reviews["reviews"], 0.05)).all()


def test_the_committed_table_is_that_of_the_present_rule() -> None:
    """The cells without images, which are simulated in seconds, are as they were committed."""
    table, _ = cells()
    committed = table[table["answers"] == NO_IMAGES].reset_index(drop=True)
    others = len(table) - len(committed)
    found = pd.DataFrame(simulate.without_images(simulate.SEED, others))
    # in percent of 20,000 draws, of which few are near enough to 5 % to depend on rounding
    pd.testing.assert_frame_equal(found, committed, rtol=0, atol=0.02)


def test_the_same_seed_gives_the_same_numbers(comparisons: list[Moments]) -> None:
    first, second = (simulate.reviews(3, comparisons, seed=1) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
