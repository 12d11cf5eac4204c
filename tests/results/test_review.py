"""The rows of a review: which results are compared, and with what verdict."""

from typing import Any

import numpy as np
import pytest

from resnet.results import review
from resnet.results.review import Side
from resnet.variant import Network
from tests.support.results import HELD_OUT, TEST_SET, make_device, make_results


def side(seeds: int = 3, accuracy: float = 91.5, images: int = 1000, **options: Any) -> Side:
    """A side whose seeds all answer the first images correctly, and the others not."""
    accuracies = [accuracy] * seeds
    results = make_results(accuracies=accuracies, images=images, **options)
    correct = np.arange(images) < round(accuracy * images / 100)
    return Side(results, np.tile(correct, (seeds, 1)))


@pytest.mark.parametrize(
    ("before", "after", "verdict", "remark"),
    [
        (side(), side(accuracy=95), "better", ""),
        (side(), side(accuracy=85), "worse", ""),
        (side(), side(accuracy=91.4), "within noise", ""),
        (side(), side(), "within noise", "the same images classified correctly"),
        (side(1), side(3, accuracy=95), "one seed", ""),
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
    row = review.accuracy_row("model", before, after, synthetic_changed=False)
    assert (row.verdict, row.remark) == (verdict, remark)
    assert (row.cells[-1] == "–") == (verdict == "not comparable")


def test_other_synthetic_images_are_other_data() -> None:
    synthetic = side(source="synthetic")
    row = review.accuracy_row("model", synthetic, synthetic, synthetic_changed=True)
    assert (row.verdict, row.remark) == (
        "not comparable",
        "different data: `data.synthetic` changed",
    )
    row = review.accuracy_row("model", side(), side(), synthetic_changed=True)
    assert row.verdict == "within noise"


def timed(*seconds: float, **options: Any) -> Side:
    return side(len(seconds), seconds=seconds, **options)


@pytest.mark.parametrize(
    ("after", "verdict", "remark"),
    [
        (timed(12.0, 12.1, 12.2), "better", ""),
        (timed(18.0, 18.1, 18.2), "worse", ""),
        (timed(15.0, 15.1, 15.3), "within noise", ""),
        (timed(15.0), "one seed", ""),
        (timed(15.2, 15.2, 15.2), "within noise", ""),
        (timed(15.0, 15.1, 15.2), "within noise", "the same times"),
        (timed(12.0, 12.1, changes={"epochs": 20}), "better", ""),  # times are per epoch
        (
            timed(12.0, 12.1, device=make_device("TPU")),
            "not comparable",
            "different device: NVIDIA H100 80GB HBM3 → TPU",
        ),
        (
            timed(12.0, device=make_device(backend="jax")),
            "not comparable",
            "different backend: tensorflow → jax",
        ),
        (
            timed(12.0, device=make_device(float32_products="tf32")),
            "not comparable",
            "different float32_products: float32 → tf32",
        ),
        (
            timed(12.0, precision="bfloat16"),
            "not comparable",
            "different precision: float32 → bfloat16",
        ),
        (timed(12.0, source="synthetic"), "not comparable", "different data: cifar10 → synthetic"),
    ],
)
def test_seconds(after: Side, verdict: str, remark: str) -> None:
    row = review.seconds_row("model", timed(15.0, 15.1, 15.2), after, synthetic_changed=False)
    assert (row.verdict, row.remark) == (verdict, remark)


def test_the_difference_of_times_is_that_of_the_means_shown() -> None:
    row = review.seconds_row("model", timed(10.0, 10.0, 40.0), timed(15.0), synthetic_changed=False)
    assert row.cells[1:] == ("20.00 (3 seeds)", "15.00 (1 seed)", "−5.00")


def test_times_without_any_spread_get_no_verdict() -> None:
    before, after = timed(10.0, 10.0), timed(10.001, 10.001)
    row = review.seconds_row("model", before, after, synthetic_changed=False)
    remark = "no spread on either side"
    assert (row.cells[-1], row.verdict, row.remark) == ("+0.00", "within noise", remark)


def test_names_cannot_break_the_page() -> None:
    row = review.accuracy_row("model", side(), side(), synthetic_changed=False)
    changed = {"data.urls": (["a|b"], None), "k`ey": ("x\ny", 1)}
    page = review.page("a|b", "a|b", [row], [], changed, ["x: unread"], {"a|b": ["stale"]})
    lines = page.splitlines()
    assert lines[0] == "# `a|b` → `a|b`"
    tables = [line for line in lines if line.startswith("|")]
    bars = [len(line.replace("\\|", "").split("|")) - 2 for line in tables]
    assert bars == [6] * 3 + [3] * 4  # columns
    assert [cell.strip() for cell in tables[-1].split("|")[1:-1]] == ["`k'ey`", "`x y`", "`1`"]
