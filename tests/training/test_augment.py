"""Shifts, flips and crops against Keras' own ImageDataGenerator, and the draws of an epoch."""

from typing import Any

import numpy as np
import pytest

from resnet.training.draws import epoch_draws, holdout_indices
from tests.support.augmentation import Images, generated

pytestmark = pytest.mark.usefixtures("device")


def augmented(images: Images, shifts: Any, flips: Any, order: int, padded: bool = False) -> Images:
    from keras import ops

    from resnet.training.augment import augment

    tensor = ops.convert_to_tensor(images)
    shifted = augment(tensor, np.float32(shifts), np.array(flips), order, padded)
    return np.asarray(ops.convert_to_numpy(shifted))


@pytest.mark.parametrize("order", [0, 1])
def test_shift_and_flip_equal_those_of_keras(order: int) -> None:
    rng = np.random.default_rng(order)
    images = rng.normal(size=(64, 32, 32, 3)).astype(np.float32)
    draws = epoch_draws(3, 1, np.arange(64, dtype=np.int32), 64, shift=0.1, flip=True)
    shifts, flips = draws.shifts[0], draws.flips[0]
    assert flips.any()
    assert not flips.all()
    expected = generated(images, shifts, flips, order)
    np.testing.assert_allclose(augmented(images, shifts, flips, order), expected, atol=1e-5)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (40, -40), (0.5, -0.5), (31.4, 0)])
def test_shifts_beyond_the_edges(order: int, shift: tuple[float, float]) -> None:
    image = np.random.default_rng(5).normal(size=(1, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(
        augmented(image, [shift], [False], order),
        generated(image, [shift], [False], order),
        atol=1e-5,
    )


def test_no_shift_and_no_flip_leave_images_as_they_are() -> None:
    images = np.random.default_rng(5).normal(size=(4, 32, 32, 3)).astype(np.float32)
    for order in (0, 1):
        np.testing.assert_array_equal(
            augmented(images, np.zeros((4, 2)), np.zeros(4, bool), order), images
        )


@pytest.mark.parametrize("flip", [False, True])
def test_crop_equals_that_of_the_image_padded_with_zeros(flip: bool) -> None:
    images = np.random.default_rng(5).normal(size=(81, 32, 32, 3)).astype(np.float32)
    shifts = [(row, column) for row in range(-4, 5) for column in range(-4, 5)]
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    expected = [
        image[4 + row : 36 + row, 4 + column : 36 + column]
        for image, (row, column) in zip(padded, shifts, strict=True)
    ]
    if flip:
        expected = [image[:, ::-1] for image in expected]
    cropped = augmented(images, shifts, np.full(81, flip), 0, padded=True)
    np.testing.assert_array_equal(cropped, expected)


def test_every_crop_occurs_equally_often() -> None:
    draws = epoch_draws(0, 0, np.arange(20_000, dtype=np.int32), 32, shift=0.1, flip=True, crop=4)
    assert draws.shifts.dtype == np.float32
    offsets, counts = np.unique(draws.shifts.reshape(-1, 2), axis=0, return_counts=True)
    assert offsets.tolist() == [[row, column] for row in range(-4, 5) for column in range(-4, 5)]
    np.testing.assert_allclose(counts / counts.sum(), 1 / 81, rtol=0.3)


def test_every_offset_occurs_including_the_largest() -> None:
    draws = epoch_draws(0, 0, np.arange(20_000, dtype=np.int32), 32, shift=0.1, flip=True)
    offsets, counts = np.unique(np.floor(draws.shifts + 0.5), return_counts=True)
    assert offsets.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    # uniform over ±3.2: the outermost two have what is beyond 2.5
    expected = np.array([0.7, 1, 1, 1, 1, 1, 0.7]) / 6.4
    np.testing.assert_allclose(counts / counts.sum(), expected, atol=0.01)
    assert np.abs(draws.shifts).max() <= 3.2
    assert abs(draws.flips.mean() - 0.5) < 0.02


def test_each_image_of_a_batch_is_shifted_by_itself() -> None:
    draws = epoch_draws(0, 0, np.arange(64, dtype=np.int32), 32, shift=0.1, flip=True)
    assert len(np.unique(draws.shifts)) == draws.shifts.size


def test_epoch_uses_each_image_at_most_once_in_full_batches() -> None:
    images = np.arange(100, 200, dtype=np.int32)
    draws = epoch_draws(0, 0, images, 32, 0.1, True)
    assert draws.order.shape == (3, 32)
    assert len(set(draws.order.ravel().tolist())) == 96
    assert set(draws.order.ravel().tolist()) <= set(images.tolist())


def test_draws_are_keyed_by_seed_and_epoch() -> None:
    images = np.arange(320, dtype=np.int32)

    def draw(seed: int, epoch: int) -> bytes:
        return b"".join(part.tobytes() for part in epoch_draws(seed, epoch, images, 32, 0.1, True))

    assert draw(0, 0) == draw(0, 0)
    assert len({draw(seed, epoch) for seed in range(5) for epoch in range(5)}) == 25


def test_holdout_splits_the_images() -> None:
    kept, held_out = holdout_indices(1000, 0.1)
    assert len(held_out) == 100
    assert sorted([*kept.tolist(), *held_out.tolist()]) == list(range(1000))
    assert len(np.unique(held_out // 100)) > 5  # spread over all of them
    assert [len(part) for part in holdout_indices(1000, 0.0)] == [1000, 0]
