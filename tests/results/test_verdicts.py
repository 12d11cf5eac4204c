"""The words of a review: the tests behind them, and their correction, worked by hand."""

import numpy as np
import pytest
from scipy import stats

from resnet.results.intervals import Difference, mean_difference
from resnet.results.verdicts import Comparison, Verdict, agreement, judge


def comparison(p: float, good: int = 1, margin: float | None = None) -> Comparison:
    """A difference of 1 with this p value."""
    error = 1 / stats.t.isf(p / 2, 4)
    return Comparison(Difference(1.0, error**2, 4), good, margin)


def precise(value: float, good: int = 1, margin: float | None = 0.5) -> Comparison:
    return Comparison(Difference(value, 0.01**2, 4), good, margin)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (precise(1.0), Verdict("better")),
        (precise(-1.0), Verdict("worse")),
        (precise(1.0, good=-1, margin=None), Verdict("worse")),
        (precise(0.0), Verdict("equivalent", "within ±0.5")),
        (precise(0.0, margin=None), Verdict("no difference seen")),
        (precise(0.2), Verdict("better", "by less than 0.5")),
        (precise(-0.2), Verdict("worse", "by less than 0.5")),
        (precise(0.2, margin=0.1), Verdict("better")),
        (comparison(0.049), Verdict("better")),
        (comparison(0.051), Verdict("no difference seen")),
    ],
)
def test_one_comparison(one: Comparison, expected: Verdict) -> None:
    assert judge([one]) == [expected]


def test_holms_procedure() -> None:
    """p of 0.01, 0.02, 0.03 and 0.04: the factors are 4, 3, 2 and 1."""
    words = [each.verdict for each in judge([comparison(p) for p in (0.04, 0.01, 0.03, 0.02)])]
    assert words == ["no difference seen", "better", "no difference seen", "no difference seen"]
    words = [each.verdict for each in judge([comparison(p) for p in (0.04, 0.012, 0.024, 0.016)])]
    assert words == ["better"] * 4


def test_a_verdict_that_the_correction_takes_away_says_why() -> None:
    first, second = judge([comparison(0.04), comparison(0.6)])
    remark = "in 2 comparisons, one such interval may exclude 0 by chance"
    assert (first, second) == (Verdict("no difference seen", remark), Verdict("no difference seen"))


def test_a_comparison_counts_until_both_its_questions_are_answered() -> None:
    """`precise(0.0)` is equivalent, but its difference is still to be tested."""
    assert judge([precise(0.0), comparison(0.02)])[1].verdict == "better"  # 2 * 0.02
    assert judge([precise(0.0), comparison(0.03)])[1].verdict == "no difference seen"
    assert judge([precise(0.2), comparison(0.03)])[1].verdict == "better"  # both are answered


def test_where_nothing_varies_there_is_no_verdict_and_no_share_in_the_correction() -> None:
    for value in (0.0, -100.0):
        fixed = Comparison(Difference(value, 0.0, 2), 1, 0.5)
        first, second = judge([fixed, comparison(0.04)])
        assert first.verdict == "no verdict"
        assert "nothing varies" in first.remark
        assert second.verdict == "better"
        assert agreement(fixed.difference) == "cannot tell"
    assert judge([]) == []


@pytest.mark.parametrize(
    ("value", "error", "word"),
    [
        (0.1, 0.05, "agrees"),
        (0.4, 0.05, "differs"),
        (1.0, 0.1, "differs"),
        (0.1, 1.0, "cannot tell"),
    ],
)
def test_agreement(value: float, error: float, word: str) -> None:
    assert agreement(Difference(value, error**2, 4)) == word
    assert agreement(Difference(-value, error**2, 4)) == word


def test_ten_unchanged_variants_are_called_anything_in_one_review_of_twenty() -> None:
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(400):
        spreads = rng.choice([0.15, 0.3, 1.0], (10, 2, 1))
        sides = rng.standard_normal((10, 2, 3)) * spreads
        comparisons = [Comparison(mean_difference(*pair), 1, 0.5) for pair in sides]
        wrong += any(each.verdict in ("better", "worse") for each in judge(comparisons))
    assert wrong <= stats.binom.isf(1e-4, 400, 0.05)
