"""The rows of a review: which results are compared, and with what verdict."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from resnet.device import Device
from resnet.results import review
from resnet.results.review import Row, Side
from resnet.results.review_page import Code, differing_code
from resnet.variant import Network
from tests.support.results import (
    HELD_OUT,
    TEST_SET,
    make_device,
    make_results,
    make_run,
    results_of,
)


def side(seeds: int = 3, accuracy: float = 91.5, images: int = 1000, **options: Any) -> Side:
    """A side whose seeds all answer the first images correctly, and the others not."""
    accuracies = [accuracy] * seeds
    results = make_results(accuracies=accuracies, images=images, **options)
    correct = np.arange(images) < round(accuracy * images / 100)
    return Side(results, np.tile(correct, (seeds, 1)))


def unlisted(side: Side) -> Side:
    return replace(side, listed=False)


def judged(row: Row) -> Row:
    """The row as in a review without others."""
    ((found,),) = review.with_verdicts([row])
    return found


COMMAND = "`dvc exp run -S 'seeds=[0,1,2]' evaluate@model`"
WHY = "one seed does not show how seeds vary"
BOTH = f"train more on both sides: {COMMAND}"
TWO = "two seeds show only large differences"
NOTHING_VARIES = "nothing varies on either side, so there is no measure of noise"


@pytest.mark.parametrize(
    ("before", "after", "verdict", "remark"),
    [
        (side(), side(accuracy=95), "better", ""),
        (side(), side(accuracy=85), "worse", ""),
        (side(), side(accuracy=91.4), "equivalent", "within ±0.5"),
        (side(), side(accuracy=91.9), "no difference seen", ""),
        (side(2), side(2, accuracy=91.9), "no difference seen", f"{TWO}; {BOTH}"),
        (side(2), side(2, accuracy=91.4), "no difference seen", f"{TWO}; {BOTH}"),
        (side(), side(), "no difference seen", "the same images classified correctly"),
        (side(1), side(1), "no difference seen", "the same images classified correctly"),
        (side(1), side(1, accuracy=95), "no verdict", f"{WHY}; {BOTH}"),
        (side(3), side(1, accuracy=95), "no verdict", f"{WHY}; train more: {COMMAND}"),
        (side(1), side(3, accuracy=95), "no verdict", f"{WHY}; train more on the base"),
        (side(1), unlisted(side(1, accuracy=95)), "no verdict", f"{WHY}; train more on both sides"),
        (side(3), unlisted(side(1, accuracy=95)), "no verdict", f"{WHY}; train more"),
        (side(accuracy=100), side(accuracy=0), "no verdict", NOTHING_VARIES),
        (side(accuracy=100, images=1), side(accuracy=0, images=1), "no verdict", "one test image"),
        (side(), side(network=Network(version=1, n=9), accuracy=95), "better", ""),
        (side(), side(changes={"batch_size": 128}, accuracy=95), "better", ""),
        (side(), side(source="synthetic"), "not comparable", "different data: cifar10 → synthetic"),
        (side(), side(images=500), "not comparable", "different data: 1,000 → 500 test images"),
        (
            side(),
            side(changes={"epochs": 20}),
            "not comparable",
            "different number of epochs: 200 → 20 of 200",
        ),
        (
            side(),
            side(holdout=TEST_SET),
            "not comparable",
            "different hold-out: no hold-out (last epoch) → best epoch on the test set",
        ),
        (
            side(),
            side(recipe="paper", holdout=HELD_OUT),
            "not comparable",
            "different number of epochs: 200 → 164; different hold-out: no hold-out (last epoch) → "
            "best epoch on a held-out 0.1 of the training set",
        ),
    ],
)
def test_accuracy(before: Side, after: Side, verdict: str, remark: str) -> None:
    row = judged(review.accuracy_row("model", before, after))
    assert (row.verdict, row.remark) == (verdict, remark)
    assert (row.cells[-1] == "–") == (verdict == "not comparable")


TRAIN, TEST, OTHER = "1" * 64, "2" * 64, "3" * 64


def with_data(side: Side, *data: str) -> Side:
    """The side as trained on arrays with these hashes."""
    for run in side.results.runs:
        run.training.identity.data[:] = data
    return side


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ((TRAIN,), (TRAIN,), True),
        ((TRAIN,), (OTHER,), False),
        ((TRAIN, TEST), (TRAIN, OTHER), False),
        ((TRAIN, TEST), (TRAIN,), True),  # the second side did not read the test images
        ((TRAIN,), (), False),  # not recorded
        ((), (), False),
    ],
)
def test_synthetic_images_are_the_same_only_if_the_runs_recorded_so(
    before: tuple[str, ...], after: tuple[str, ...], same: bool
) -> None:
    old, new = (with_data(timed(15.0, 15.1, source="synthetic"), *data) for data in (before, after))
    remark = "different data: the recorded hashes of the synthetic images"
    for row, equal in (
        (review.accuracy_row("model", old, new), "the same images classified correctly"),
        (review.seconds_row("model", old, new), "the same times"),
    ):
        assert row.remark == (equal if same else remark)


def test_the_images_of_cifar10_are_the_same_however_they_are_prepared() -> None:
    other = with_data(side(subtract_pixel_mean=False), OTHER)
    assert review.accuracy_row("model", side(), other).verdict == "no difference seen"


def timed(*seconds: float, **options: Any) -> Side:
    return side(len(seconds), seconds=seconds, **options)


@pytest.mark.parametrize(
    ("after", "verdict", "remark"),
    [
        (timed(12.0, 12.1, 12.2), "better", ""),
        (timed(18.0, 18.1, 18.2), "worse", ""),
        (timed(15.0, 15.1, 15.3), "no difference seen", ""),
        (timed(15.0), "no verdict", f"{WHY}; train more: {COMMAND}"),
        (timed(15.2, 15.2, 15.2), "no difference seen", ""),
        (timed(15.0, 15.1, 15.2), "no difference seen", "the same times"),
        (timed(15.0, 15.1), "no difference seen", f"{TWO}; train more: {COMMAND}"),
        (timed(12.0, 12.1, changes={"epochs": 20}), "better", ""),  # times are per epoch
        (
            timed(12.0, 12.1, device=make_device("TPU")),
            "not comparable",
            "different device: `NVIDIA H100 80GB HBM3` → `TPU`",
        ),
        (
            timed(12.0, 12.1, device=make_device(processor="another generation")),
            "not comparable",
            "different processor: `some processor` → `another generation`",
        ),
        (
            timed(12.0, device=make_device(backend="jax")),
            "not comparable",
            "different backend: `tensorflow` → `jax`",
        ),
        (
            timed(12.0, device=make_device(float32_products="tf32")),
            "not comparable",
            "different float32_products: `float32` → `tf32`",
        ),
        (
            timed(12.0, precision="bfloat16"),
            "not comparable",
            "different precision: `float32` → `bfloat16`",
        ),
        (
            timed(12.0, device=make_device(xla=False)),
            "not comparable",
            "different xla: `True` → `False`",
        ),
        (
            timed(12.0, device=make_device(deterministic=True)),
            "not comparable",
            "different determinism: `False` → `True`",
        ),
        (
            timed(12.0, device=make_device(processor="")),
            "not comparable",
            "different processor: `some processor` → not recorded",
        ),
        (
            timed(12.0, holdout=HELD_OUT),
            "not comparable",
            "different hold-out: no hold-out (last epoch) → best epoch on a held-out 0.1 of the "
            "training set",
        ),
        (timed(12.0, source="synthetic"), "not comparable", "different data: cifar10 → synthetic"),
    ],
)
def test_seconds(after: Side, verdict: str, remark: str) -> None:
    before = timed(15.0, 15.1, 15.2)
    row = judged(review.seconds_row("model", before, after))
    assert (row.verdict, row.remark) == (verdict, remark)


def on(*devices: Device) -> Side:
    """A side with a seed on each of these devices; an A100 takes 15 seconds, any other 12."""
    runs = [
        make_run(seed=seed, device=device, seconds=15.0 if device.name == "A100" else 12.0)
        for seed, device in enumerate(devices)
    ]
    return Side(results_of(runs), side(len(devices)).correct)


A100, H100 = make_device("A100"), make_device("H100")


@pytest.mark.parametrize(
    ("before", "after", "remark"),
    [
        # as many seconds on each device, so that the means differ by the shares alone
        ([*[A100] * 7, H100], [A100, *[H100] * 7], "more than one device: `A100` and `H100`"),
        ([A100, H100], [H100, A100], "more than one device: `A100` and `H100`"),
        ([A100, A100], [A100, H100], "different device: `A100` → `A100` and `H100`"),
        (
            [A100, replace(A100, processor="")],
            [A100, A100, replace(A100, processor="")],
            "more than one processor: not recorded and `some processor`",
        ),
    ],
)
def test_times_are_not_compared_where_the_seeds_of_a_side_ran_in_several_ways(
    before: list[Device], after: list[Device], remark: str
) -> None:
    row = judged(review.seconds_row("model", on(*before), on(*after)))
    assert (row.verdict, row.remark) == ("not comparable", remark)


def test_the_same_times_are_the_same_on_several_devices() -> None:
    row = review.seconds_row("model", on(A100, H100), on(A100, H100))
    assert row.remark == "the same times"


def test_times_with_several_environments_within_a_side_are_not_compared() -> None:
    sides = timed(15.0, 15.1), timed(12.0, 12.1)
    for each in sides:
        each.results.runs[1].training.identity.environment["OMP_NUM_THREADS"] = "1"
    row = judged(review.seconds_row("model", *sides))
    several = "more than one set of environment variables, e.g. the number of threads"
    assert (row.verdict, row.remark) == ("not comparable", several)


def test_times_with_other_environment_variables_are_not_compared() -> None:
    before, after = timed(15.0, 15.1), timed(12.0, 12.1)
    after.results.runs[1].training.identity.environment["OMP_NUM_THREADS"] = "1"
    row = judged(review.seconds_row("model", before, after))
    assert row.verdict == "not comparable"
    assert row.remark == "different environment variables, e.g. the number of threads"


def test_code_of_all_seeds_is_compared() -> None:
    before, after = timed(15.0, 15.1).results, timed(15.0, 15.1).results
    assert differing_code(before, after) == Code((), ("stages/train.py",))
    after.runs[1].training.identity.code["stages/train.py"] = "f" * 64
    assert differing_code(before, after) == Code(("stages/train.py",), ())


def test_the_difference_of_times_is_that_of_the_means_shown() -> None:
    row = review.seconds_row("model", timed(10.0, 10.0, 40.0), timed(15.0))
    assert row.cells[1:] == ("20.00 (3 seeds)", "15.00 (1 seed)", "−5.00")


def test_times_without_any_spread_get_no_verdict() -> None:
    before, after = timed(10.0, 10.0), timed(10.001, 10.001)
    row = judged(review.seconds_row("model", before, after))
    assert (row.cells[-1], row.verdict, row.remark) == ("+0.00", "no verdict", NOTHING_VARIES)


def test_a_wide_margin_makes_more_results_equivalent() -> None:
    for margin, word in ((0.5, "no difference seen"), (2.0, "equivalent")):
        after = side(accuracy=91.9)
        row = review.accuracy_row("model", side(), after, margin=margin)
        assert judged(row).verdict == word


def test_the_tables_of_a_review_are_corrected_together() -> None:
    def times(*seconds: float) -> Row:
        before = timed(15.0, 15.1, 15.2)
        return review.seconds_row("model", before, timed(*seconds))

    faster = times(14.4, 14.5, 14.7)
    assert judged(faster).verdict == "better"
    tables = review.with_verdicts([faster] * 2, [times(15.0, 15.1, 15.3)] * 10)
    assert [row.verdict for table in tables for row in table] == ["no difference seen"] * 12
    assert tables[0][0].remark == "in 12 comparisons, one such interval may exclude 0 by chance"


@pytest.mark.parametrize(
    ("seeds", "added"),
    [([0], "[0,1,2]"), ([1], "[0,1,2]"), ([5], "[0,1,5]"), ([7, 9], "[0,7,9]")],
)
def test_the_seeds_to_add_are_those_that_are_missing(seeds: list[int], added: str) -> None:
    def few(accuracy: float) -> Side:
        runs = [make_run(seed=seed, accuracy=accuracy, images=1000) for seed in seeds]
        return Side(results_of(runs), side(len(seeds), accuracy).correct)

    row = judged(review.accuracy_row("model", few(91.5), few(91.9)))
    assert row.remark.endswith(f": `dvc exp run -S 'seeds={added}' evaluate@model`")


def test_a_command_is_harmless_with_any_variants_name() -> None:
    """The name is that of a file, which a pull request chooses."""
    row = review.accuracy_row("a; rm x` @b", side(1), side(1, accuracy=95))
    assert row.remark.endswith("``dvc exp run -S 'seeds=[0,1,2]' 'evaluate@a; rm x` @b'``")
