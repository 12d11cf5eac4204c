"""The word for a difference, chosen so that it is wrong in at most one review in twenty.

A difference is `better` or `worse` where a t test rejects that there is none, and `equivalent`
where two one-sided t tests reject that it is as large as a margin (Schuirmann 1987,
doi:10.1007/BF01068419). Otherwise there is `no difference seen`, which claims nothing: with more
seeds there might be one.

All comparisons of a review are corrected together, by Holm's step-down procedure (Holm 1979,
Scand. J. Statist. 6, 65). Each comparison asks both questions, but a difference is not at once 0
and as large as the margin. So at every step there are at most as many true hypotheses as there are
comparisons with one that is not rejected, and that is the factor of a p value (Shaffer 1986,
doi:10.1080/01621459.1986.10478341).
"""

import shlex
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from resnet.results import markdown
from resnet.results.intervals import Difference

LEVEL = 0.05
MARGIN = 0.5  # points of accuracy
BETTER, WORSE = "better", "worse"
EQUIVALENT, NO_DIFFERENCE, NO_VERDICT = "equivalent", "no difference seen", "no verdict"
AGREES, DIFFERS, CANNOT_TELL = "agrees", "differs", "cannot tell"
ENOUGH_SEEDS = 3  # with two, hardly any difference is found: docs/statistics.md
HOW_TO_READ = (
    "Brackets contain the 95 % interval of the difference. For an accuracy it accounts for the "
    "seeds and for the test images, for a time for the seeds. One seed does not show how seeds "
    "vary: where a side has only one, the interval accounts for the test images alone, and there "
    "is no verdict. Times are means over the seeds; the tables have medians.",
    f"*{BETTER}* and *{WORSE}*: there is a difference. *{EQUIVALENT}*: it is smaller than the "
    f"margin. *{NO_DIFFERENCE}*: there may be one that these seeds do not show. All comparisons on "
    "this page are corrected together (Holm), so at most one review in twenty has a wrong verdict. "
    "docs/statistics.md has the method and the simulations that show this.",
)


@dataclass(frozen=True)
class Comparison:
    """A difference that is to be judged."""

    difference: Difference
    good: int  # the sign of a change for the better
    margin: float | None = None  # None: equivalence is not asked
    advice: str = ""  # what to do where no difference is seen


@dataclass(frozen=True)
class Verdict:
    """A word, and what a reader has to know beside it."""

    verdict: str
    remark: str = ""


def judge(comparisons: Sequence[Comparison]) -> list[Verdict]:
    """The verdicts of one review."""
    varying = [each for each in comparisons if each.difference.variance > 0]
    pairs = iter(_adjusted(varying))
    return [
        _verdict(each, *next(pairs), len(varying))
        if each.difference.variance > 0
        else Verdict(NO_VERDICT, "nothing varies on either side, so there is no measure of noise")
        for each in comparisons
    ]


def more_seeds(
    variant: str, base: Collection[int], rev: Collection[int], *, listed: bool = True
) -> str:
    """What to do where a side has too few seeds to see much; empty where both have enough.

    The command trains a variant that is listed on the side of `rev`.
    """
    few = [len(side) < ENOUGH_SEEDS for side in (base, rev)]
    why = (
        "one seed does not show how seeds vary"
        if min(len(base), len(rev)) == 1
        else "two seeds show only large differences"
    )
    match few:
        case [False, False]:
            return ""
        case [True, False]:
            return f"{why}; train more on the base"
        case [True, True]:
            advice = f"{why}; train more on both sides"
        case _:
            advice = f"{why}; train more"
    if not listed:
        return advice
    seeds = set(base) | set(rev)
    for seed in range(ENOUGH_SEEDS):
        if len(seeds) < ENOUGH_SEEDS:
            seeds.add(seed)
    override = f"'seeds=[{','.join(map(str, sorted(seeds)))}]'"
    target = shlex.quote(f"evaluate@{variant}")  # without one, every listed variant is trained
    return f"{advice}: {markdown.code(f'dvc exp run -S {override} {target}')}"


def agreement(difference: Difference) -> str:
    """The word for a result of ours beside a published one, each judged by itself."""
    if not difference.variance > 0:
        return CANNOT_TELL
    if difference.p_no_difference() <= LEVEL:
        return DIFFERS
    return AGREES if difference.p_beyond(MARGIN) <= LEVEL else CANNOT_TELL


def _adjusted(comparisons: Sequence[Comparison]) -> list[tuple[float, float]]:
    """For each comparison the adjusted p values of no difference, and of one beyond the margin."""
    found: list[tuple[float, int, int]] = []  # p value, comparison, question
    for number, each in enumerate(comparisons):
        found.append((float(each.difference.p_no_difference()), number, 0))
        if each.margin is not None:
            found.append((float(each.difference.p_beyond(each.margin)), number, 1))
    open_questions = Counter(number for _, number, _ in found)
    adjusted = [[1.0, 1.0] for _ in comparisons]
    largest = 0.0
    for p, number, question in sorted(found):
        largest = max(largest, p * len(open_questions))
        adjusted[number][question] = min(largest, 1.0)
        open_questions[number] -= 1
        if not open_questions[number]:
            del open_questions[number]
    return [(none, beyond) for none, beyond in adjusted]


def _verdict(comparison: Comparison, none: float, beyond: float, count: int) -> Verdict:
    """The verdict for adjusted p values, of one among `count` comparisons."""
    difference, margin = comparison.difference, comparison.margin
    within = f"by less than {margin:g}" if margin is not None and beyond <= LEVEL else ""
    if none <= LEVEL:
        return Verdict(BETTER if difference.value * comparison.good > 0 else WORSE, within)
    if within:
        return Verdict(EQUIVALENT, f"within ±{margin:g}")
    if difference.p_no_difference() <= LEVEL:
        chance = f"in {count} comparisons, one such interval may exclude 0 by chance"
        return Verdict(NO_DIFFERENCE, "; ".join(filter(None, [chance, comparison.advice])))
    return Verdict(NO_DIFFERENCE, comparison.advice)
