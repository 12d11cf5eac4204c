"""The progress of a training: its best epoch, its times, and the form in which it is saved."""

import json

import numpy as np
import pytest

from resnet.training.history import Epoch
from resnet.training.record import Change, Start

pytestmark = pytest.mark.usefixtures("device")


def epoch(number: int, accuracy: float | None = None, seconds: float = 1.0) -> Epoch:
    loss = None if accuracy is None else 2.0 - accuracy / 100
    return Epoch(number, 1.5, 50.0, 1e-3, seconds, val_loss=loss, val_accuracy=accuracy)


def test_best_is_the_first_of_the_most_accurate_epochs() -> None:
    from resnet.training.progress import Progress
    from resnet.training.step import State

    done = Progress()
    for number, accuracy in enumerate([10.0, 40.0, 30.0, 40.0], start=1):
        vector = np.full(3, number, np.float32)
        state = State(vector, vector, (vector, vector), np.float32(number))
        done = done.after(epoch(number, accuracy), state, 2.0 * number, 0.5)
    assert (done.epochs, done.best) == (4, 2)
    assert done.best_state is not None
    np.testing.assert_array_equal(done.best_state.weights, [2, 2, 2])
    assert done.best_state.optimizer_state == ()
    assert done.held_out_losses == pytest.approx((1.9, 1.6, 1.7, 1.6))
    assert (done.seconds, done.compile_seconds) == (8.0, 0.5)


def test_without_held_out_images_there_is_no_best() -> None:
    from resnet.training.progress import Progress
    from resnet.training.step import State

    vector = np.zeros(3, np.float32)
    done = Progress().after(epoch(1), State(vector, vector, (), np.float32(1)), 1.0, 0.0)
    assert (done.best, done.best_state, done.held_out_losses) == (None, None, ())


@pytest.mark.parametrize(
    ("starts", "changed", "seconds", "expected"),
    [
        ([1], [], [9.0, 1.0, 2.0, 3.0], 2.0),
        ([1, 3], [], [9.0, 1.0, 8.0, 3.0], 2.0),  # without epochs 1 and 3
        ([1], [], [9.0], 9.0),
        ([1, 2], [], [9.0, 7.0], 8.0),  # all epochs, since there are no others
        ([1, 4], [4], [9.0, 1.0, 1.0, 8.0, 4.0, 6.0], 5.0),  # of the device that finished it
        ([1, 3, 5], [3], [9.0, 1.0, 8.0, 4.0, 7.0, 6.0], 5.0),
        ([1, 3], [3], [9.0, 1.0, 8.0], 8.0),
        ([1, 4], [4], [9.0, 1.0, 3.0], 2.0),  # only the output was missing
    ],
)
def test_seconds_per_epoch_leave_out_the_first_of_each_start_and_what_other_devices_took(
    starts: list[int], changed: list[int], seconds: list[float], expected: float
) -> None:
    from resnet.training.progress import Progress

    change = Change(key="device.name", before="there", after="here")
    done = Progress(
        history=tuple(epoch(i, seconds=each) for i, each in enumerate(seconds, start=1)),
        starts=tuple(
            Start(epoch=start, changes=[change] if start in changed else []) for start in starts
        ),
    )
    assert done.seconds_per_epoch == expected


@pytest.mark.parametrize("held_out", [False, True])
def test_saved_form_restores_all_of_it(held_out: bool) -> None:
    from resnet.training.progress import Progress
    from resnet.training.resume import Saved
    from resnet.training.step import State

    vectors = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    state = State(vectors[0], vectors[1], (vectors[2], vectors[3]), np.float32(7))
    change = Change(key="environment.OMP_NUM_THREADS", before=None, after="2")
    done = Progress(starts=(Start(epoch=1, changes=[]), Start(epoch=2, changes=[change])))
    done = done.after(epoch(1, 20.0 if held_out else None), state, 3.0, 0.5)
    saved = done.to_saved()
    restored = Progress.from_saved(Saved(1, saved.arrays, json.loads(json.dumps(saved.notes))))
    assert restored._replace(state=None, best_state=None) == done._replace(
        state=None, best_state=None
    )
    for before, after in ((done.state, restored.state), (done.best_state, restored.best_state)):
        assert (before is None) == (after is None)
        if before is not None and after is not None:
            np.testing.assert_array_equal(after.weights, before.weights)
            np.testing.assert_array_equal(after.stats, before.stats)
            np.testing.assert_array_equal(after.optimizer_state, before.optimizer_state)
            assert after.step == before.step


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_finite_looks_at_weights_and_statistics(value: float) -> None:
    from resnet.training.progress import Progress
    from resnet.training.step import State

    good, bad = np.zeros(3, np.float32), np.array([0, value, 0], np.float32)
    assert Progress().finite
    assert Progress(state=State(good, good, (good,), np.float32(1))).finite
    assert not Progress(state=State(bad, good, (good,), np.float32(1))).finite
    assert not Progress(state=State(good, bad, (good,), np.float32(1))).finite
