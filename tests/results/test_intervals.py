"""The differences and their intervals: against SciPy's tests and worked by hand."""

import numpy as np
import pytest
from scipy import stats

from resnet.results.intervals import (
    Difference,
    accuracy_difference,
    images_difference,
    mean_difference,
    published_difference,
)
from resnet.results.scores import Correct

IMAGES = 10_000


def answers(chances: tuple[float, ...], seed: int = 0) -> Correct:
    """A side (seeds, images) whose seeds are correct on each image with these chances."""
    rng = np.random.default_rng(seed)
    return rng.random((len(chances), IMAGES)) < np.array(chances)[:, None]


def test_intervals_and_p_values_are_those_of_students_t() -> None:
    found = Difference(0.4, 0.09, 2.4)
    expected = stats.t.interval(0.95, 2.4, loc=0.4, scale=0.3)
    np.testing.assert_allclose(found.interval(), expected)
    assert found.p_no_difference() == pytest.approx(2 * stats.t.sf(0.4 / 0.3, 2.4))
    # the larger of two one-sided tests, against -0.5 and against 0.5
    one_sided = [stats.t.sf((0.4 + 0.5) / 0.3, 2.4), stats.t.cdf((0.4 - 0.5) / 0.3, 2.4)]
    assert found.p_beyond(0.5) == pytest.approx(max(one_sided))
    low, high = found.interval(0.9)
    for margin in (float(high) - 1e-6, float(high) + 1e-6):
        assert (found.p_beyond(margin) <= 0.05) == (-margin < low and high < margin)


def test_means_have_welchs_variance_and_cautious_degrees_of_freedom() -> None:
    before, after = [15.0, 15.2, 15.4], [14.0, 14.2, 14.4]  # both have a variance of 0.04
    found = mean_difference(before, after)
    welch = stats.ttest_ind(after, before, equal_var=False)
    assert found.value / np.sqrt(found.variance) == pytest.approx(welch.statistic)
    assert found.df == pytest.approx(2 / (1 / 2 + 1 / 4))  # Welch's are 4
    # with a side of many seeds and most of the variance in the other, Welch's are near 1
    found = mean_difference([10.0, 20.0], list(np.linspace(0, 0.1, 10)))
    assert found.df == pytest.approx(3 / (2 / 1 + 1 / 1), abs=1e-3)
    # Welch's, here about 10, are at most twice the smaller side's
    found = mean_difference([10.0, 10.1], [8.0, 12.0] * 5)
    assert found.df == pytest.approx(3 / (2 / 1 + 1 / 2))


def test_seeds_that_differ_much_are_welchs_variance() -> None:
    before, after = answers((0.3, 0.5, 0.9), 1), answers((0.4, 0.6, 0.8), 2)
    found = accuracy_difference(before, after)
    welch = stats.ttest_ind(100 * after.mean(axis=1), 100 * before.mean(axis=1), equal_var=False)
    assert found.value / np.sqrt(found.variance) == pytest.approx(welch.statistic, rel=1e-3)


def test_seeds_that_agree_by_chance_count_as_varying_as_single_answers_do() -> None:
    """Two seeds that are correct on as many images, but not on the same ones."""
    before = np.zeros((2, 100), bool)
    before[0, :90] = before[1, 10:] = True
    found = accuracy_difference(before, before)
    # p is 1/2 on 20 images: B = 100^2 * (20/4 * 2/1 / 100) / 100; each side's half, no more for G
    assert found.variance == pytest.approx(2 * (100**2 * 0.1 / 100) / 2)
    assert found.df == pytest.approx(2 / (1 / 1 + 1 / 2))


def test_the_floor_is_the_variance_of_seeds_that_differ_by_chance_alone() -> None:
    found = [
        accuracy_difference(answers((0.9,) * 5, 2 * i), answers((0.9,) * 5, 2 * i + 1))
        for i in range(200)
    ]
    true = 2 * 100**2 * 0.9 * 0.1 / IMAGES / 5
    largest = stats.chi2(4, scale=1 / 4).expect(lambda ratio: max(ratio, 1))  # of s^2 / B and 1
    assert np.mean([each.variance for each in found]) == pytest.approx(largest * true, rel=0.05)
    assert np.var([each.value for each in found]) == pytest.approx(true, rel=0.3)


def test_sides_whose_seeds_agree_leave_the_variance_of_the_images() -> None:
    rng = np.random.default_rng(1)
    before, after = (np.tile(rng.random(500) < 0.9, (3, 1)) for _ in range(2))
    found = accuracy_difference(before, after)
    gain = 100.0 * after[0] - 100.0 * before[0]
    assert found.variance == pytest.approx(stats.sem(gain) ** 2)
    assert found.df == 2


def test_one_seed_is_the_paired_t_test_over_the_images() -> None:
    before, after = answers((0.9,), 1), answers((0.91,), 2)
    found = images_difference(before, after)
    expected = stats.ttest_rel(100.0 * after[0], 100.0 * before[0])
    np.testing.assert_allclose(found.interval(), expected.confidence_interval(0.95))
    assert found.p_no_difference() == pytest.approx(expected.pvalue)


def test_one_published_run_is_one_more_run_of_ours() -> None:
    ours = [92.0, 92.2, 92.4]
    found = published_difference(92.16, None, 1, ours)
    # the prediction interval of one more value: Student's, equal variances
    expected = stats.ttest_ind(ours, [92.16], equal_var=True)
    assert found.p_no_difference() == pytest.approx(expected.pvalue)


def test_a_published_mean_with_its_spread_is_compared_as_two_means() -> None:
    ours, theirs = [85.0, 85.4, 85.9], [84.8, 85.2, 85.1, 84.9, 85.3]
    found = published_difference(float(np.mean(theirs)), float(np.std(theirs, ddof=1)), 5, ours)
    np.testing.assert_allclose(found, mean_difference(theirs, ours))


def test_no_spread_at_all_is_no_variance_without_a_warning() -> None:
    for found in (
        accuracy_difference(np.ones((3, 20), bool), np.zeros((2, 20), bool)),
        mean_difference([2.0, 2.0], [1.0, 1.0]),
        mean_difference([15.1, 15.1, 15.1], [15.3, 15.3, 15.3]),  # np.var gives 5e-30
        published_difference(92.1, None, 1, [92.3, 92.3, 92.3]),
    ):
        assert found.variance == 0
