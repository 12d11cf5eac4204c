"""The intervals of a difference: against SciPy's tests, and by simulation."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats

from resnet.results.intervals import (
    BETTER,
    NOISE,
    WORSE,
    Interval,
    accuracy_interval,
    mean_interval,
    verdict,
)
from resnet.results.scores import Correct
from tests.support.checkout import ROOT

IMAGES = 10_000


def simulated(
    pairs: int, seeds: tuple[int, int], better: float = 0.0, own: float = 0.0
) -> Iterator[tuple[Correct, Correct]]:
    """Pairs of sides that answer the same 10,000 images at 92 %, each pair with other images.

    How difficult an image is, is common to both sides: beta-distributed, so that two seeds disagree
    on 5 % of the images. A seed is better or worse on all of them, which changes its accuracy by
    0.2 points (1σ). `own` is what each side finds difficult independently of the other, and
    `better` how much better the second side is, both in logits: 0.45 is 1.06 points.
    """
    rng = np.random.default_rng(20261124)
    for _ in range(pairs):
        chance = np.clip(rng.beta(0.46, 0.04, IMAGES), 1e-6, 1 - 1e-6)
        common = np.log(chance / (1 - chance))
        sides = []
        for count, gain in zip(seeds, (0.0, better), strict=True):
            logits = common + own * rng.standard_normal(IMAGES) + rng.normal(gain, 0.08, (count, 1))
            chances = 1 / (1 + np.exp(-logits.astype(np.float32)))
            sides.append(rng.random((count, IMAGES), dtype=np.float32) < chances)
        yield sides[0], sides[1]


def verdicts(pairs: Iterator[tuple[Correct, Correct]]) -> list[str]:
    return [verdict(accuracy_interval(before, after), good=1) for before, after in pairs]


def documented() -> dict[int, list[int]]:
    """The table of these simulations in docs/review.md: seeds per side to its numbers."""
    rows = re.findall(
        r"^\| (\d+) \| (\d+) \| (\d+) % \| (\d+) % \|$",
        (ROOT / "docs" / "review.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return {int(seeds): [int(number) for number in numbers] for seeds, *numbers in rows}


@pytest.mark.parametrize(
    ("seeds", "own"), [((2, 2), 0), ((3, 3), 0), ((5, 5), 0), ((2, 10), 0), ((5, 5), 1)]
)
def test_of_1000_changes_without_an_effect_at_most_6_percent_get_a_verdict(
    seeds: tuple[int, int], own: float
) -> None:
    words = verdicts(simulated(1000, seeds, own=own))
    count = words.count(BETTER) + words.count(WORSE)
    assert count <= 60
    assert seeds[0] != seeds[1] or own or count == documented()[seeds[0]][0]
    accuracies = [100 * before.mean() for before, _ in simulated(20, seeds)]
    assert 91.5 < np.mean(accuracies) < 92.5


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_a_point_is_found_as_often_as_documented(seeds: int) -> None:
    pairs = list(simulated(200, (seeds, seeds), better=0.43))
    gains = [100 * (after.mean() - before.mean()) for before, after in pairs]
    assert np.mean(gains) == pytest.approx(1.0, abs=0.05)
    found = verdicts(iter(pairs)).count(BETTER) / 200
    assert verdicts((after, before) for before, after in pairs).count(WORSE) == 200 * found
    assert found == pytest.approx(documented()[seeds][1] / 100, abs=0.1)  # which has 1,000 pairs
    assert seeds < 5 or found >= 0.9


def test_one_seed_is_the_paired_t_test_over_the_images() -> None:
    ((before, after),) = simulated(1, (1, 1))
    interval = accuracy_interval(before, after)
    expected = stats.ttest_rel(100.0 * after[0], 100.0 * before[0]).confidence_interval(0.95)
    np.testing.assert_allclose(interval, (100 * (after.mean() - before.mean()), *expected))


def test_times_are_welchs_t_test() -> None:
    before, after = [15.2, 15.4, 15.1], [14.0, 14.5, 14.1]
    expected = stats.ttest_ind(after, before, equal_var=False).confidence_interval(0.95)
    np.testing.assert_allclose(mean_interval(before, after)[1:], expected)


def test_where_seeds_vary_most_it_is_welchs_interval_and_else_that_of_the_images() -> None:
    rng = np.random.default_rng(1)
    effects = rng.uniform(0.3, 0.9, (2, 4))  # seeds that vary so much that images do not matter
    before, after = (rng.random((4, IMAGES)) < part[:, None] for part in effects)
    sides = (100 * after.mean(axis=1), 100 * before.mean(axis=1))
    welch = stats.ttest_ind(*sides, equal_var=False).confidence_interval(0.95)
    np.testing.assert_allclose(accuracy_interval(before, after)[1:], welch, rtol=0.01)
    chance = rng.choice([0.0, 1.0], (2, 500), p=[0.1, 0.9])  # every seed gives the same answer
    before, after = (np.tile(part > 0, (3, 1)) for part in chance)
    half = stats.sem(100 * (chance[1] - chance[0])) * stats.t.ppf(0.975, 8)
    interval = accuracy_interval(before, after)
    np.testing.assert_allclose(interval.high - interval.difference, half)


def test_no_spread_at_all_is_an_interval_of_one_point_without_a_warning() -> None:
    same = accuracy_interval(np.ones((3, 20), bool), np.zeros((2, 20), bool))
    assert same == Interval(-100, -100, -100)
    assert mean_interval([2.0, 2.0], [1.0, 1.0]) == Interval(-1, -1, -1)


def test_one_image_gives_no_verdict_and_no_warning() -> None:
    for seeds in (1, 3):
        interval = accuracy_interval(np.zeros((seeds, 1), bool), np.ones((seeds, 1), bool))
        assert interval.difference == 100
        assert verdict(interval, good=1) == NOISE
