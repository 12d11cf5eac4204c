"""The order of trainings and the time that is left, against orders and sums worked out by hand."""

import shutil
from itertools import permutations
from pathlib import Path

import pytest

from cluster import measure
from cluster.schedule import Epochs, longest_first, makespan
from resnet import params
from resnet.files import read_json
from resnet.training.pending import Name
from scripts.table import originals
from tests.support.checkout import ROOT, project_params, project_values

SETTINGS = params.parse(project_values())
SECTIONS = SETTINGS.sections
SECONDS = {  # per epoch, of the original's table
    "model": 35,
    "ResNet32v1": 50,
    "ResNet44v1": 70,
    "ResNet56v1": 90,
    "ResNet110v1": 165,
    "ResNet56v2": 100,
    "ResNet110v2": 180,
}


def test_the_original_takes_longest_for_what_starts_first() -> None:
    names = [Name(variant, seed) for variant in originals(SETTINGS) for seed in range(3)]
    ordered = longest_first(names, SECTIONS)
    assert sorted(ordered) == sorted(names)
    assert {name.variant for name in ordered[:6]} == {"ResNet110v2", "ResNet110v1"}
    assert [name.variant for name in ordered[-3:]] == ["model"] * 3
    hours = [SECONDS[name.variant] * 200 / 3600 for name in ordered]
    assert makespan([], hours, 8) == pytest.approx(15.3, abs=0.05)
    assert makespan([], hours, 1) == pytest.approx(sum(hours))


def test_short_recipes_are_short() -> None:
    names = [Name("ResNet20v1-short", 0), Name("model", 0), Name("ResNet20v2-short", 0)]
    assert longest_first(names, SECTIONS)[0] == Name("model", 0)


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_longest_first_is_at_most_a_third_above_the_best_order(slots: int) -> None:
    work = [5.0, 4.0, 3.0, 3.0, 3.0, 2.0]
    best = min(makespan([], order, slots) for order in permutations(work))
    assert best >= sum(work) / slots
    assert makespan([], sorted(work, reverse=True), slots) <= best * (4 / 3 - 1 / (3 * slots))


def test_makespan_with_running_trainings() -> None:
    assert makespan([], [], 2) == 0
    assert makespan([10.0], [], 2) == 10
    assert makespan([10.0], [4.0, 4.0], 2) == 10  # both beside it
    assert makespan([10.0, 1.0], [4.0, 4.0], 2) == 10  # 1 + 4 + 4 = 9
    assert makespan([10.0, 3.0], [4.0, 4.0], 2) == 11
    assert makespan([], [5.0, 4.0], 0) == 9  # after the last node was lost, as if one came back


def test_what_is_left_follows_from_the_epochs_that_are_printed() -> None:
    first, second = Name("ResNet20v1-short", 0), Name("ResNet20v1-short", 1)
    epochs = Epochs(SECTIONS)
    assert epochs.left([first], [second], 1) is None
    assert epochs.shown(first) == ""
    for number in (1, 2):
        line = f"epoch {number}/12  loss 1.5  50.00 %  test: loss 1.4  51.00 %  rate 0.001  30.0 s"
        epochs.read(first, line)
    epochs.read(first, "epoch of something else 3/12 s")
    assert epochs.shown(first) == " (epoch 2/12)"
    assert epochs.left([first], [second], 1) == pytest.approx((10 + 12) * 30)
    assert epochs.left([first], [second], 2) == pytest.approx(12 * 30)
    epochs.save(first, "epoch1-0123.npz")
    epochs.lose(first)  # the second epoch was not saved
    assert epochs.left([], [first], 1) == pytest.approx(11 * 30)
    epochs.read(first, "resuming after epoch 4 of 12")  # from a state of an earlier driver
    assert (epochs.done[first], epochs.saved[first]) == (4, 4)
    assert epochs.left([], [first], 1) == pytest.approx(8 * 30)
    small, large = SECTIONS["model"], SECTIONS["ResNet56v1"]
    ratio = large.network.n / small.network.n  # about: the blocks make up nearly all of the work
    left = epochs.left([], [Name("ResNet56v1", 0)], 1)
    assert left == pytest.approx(200 * 30 * ratio, rel=0.05)


def test_the_recorded_order_is_that_of_the_present_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = read_json(ROOT / "cluster" / "results.json")["order"]["rows"]
    project_params(tmp_path, {})
    (tmp_path / "metrics").mkdir()
    shutil.copy(ROOT / "metrics" / "published.csv", tmp_path / "metrics")
    monkeypatch.setattr(measure, "ROOT", tmp_path)
    for row, before in zip(measure._order(tmp_path), recorded, strict=True):
        assert row == pytest.approx(before)
