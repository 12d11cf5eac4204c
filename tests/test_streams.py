"""Random streams: each purpose has its own, and the same keys always give the same numbers."""

import hashlib
import itertools

import numpy as np
import pytest

from resnet.streams import Purpose, generator
from resnet.training import draws


def test_no_two_purposes_or_keys_share_a_stream() -> None:
    keys = [(), (0,), (1,), (2**32 - 1,), (1, 0), (0, 1), (1, 1), (5, 3), (3, 5)]
    first = {
        (purpose, key): tuple(generator(purpose, *key).integers(2**63, size=4).tolist())
        for purpose in Purpose
        for key in keys
    }
    # NumPy pads keys with zeros, so keys of one purpose must always have the same length
    aliases = {(), (0,)}, {(1,), (1, 0)}
    for (a, numbers_a), (b, numbers_b) in itertools.combinations(first.items(), 2):
        same_purpose = a[0] == b[0]
        alias = same_purpose and any({a[1], b[1]} <= each for each in aliases)
        assert (numbers_a == numbers_b) == alias, (a, b)


def test_the_numbers_of_the_purposes_never_change() -> None:
    assert {purpose.name: purpose.value for purpose in Purpose} == {
        "WEIGHTS": 1,
        "ORDER": 2,
        "SHIFTS": 3,
        "FLIPS": 4,
        "HOLDOUT": 5,
        "SYNTHETIC": 6,
    }


def test_the_draws_never_change() -> None:
    images = np.arange(320, dtype=np.int32)
    drawn = draws.epoch_draws(1, 2, images, 32, 0.1, True)
    cropped = draws.epoch_draws(1, 2, images, 32, 0.1, True, 4).shifts
    parts = b"".join(part.tobytes() for part in (*drawn, cropped))
    assert hashlib.sha256(parts).hexdigest() == (
        "61e32e5c8229a03a48bfde1e5705e77f9b51a112503256b9af56c58ee3c2bd61"
    )
    held_out = draws.holdout_indices(1000, 0.1)[1].tobytes()
    assert hashlib.sha256(held_out).hexdigest() == (
        "9a1cb66b43d0d7fde4cf110f198b9311a13ef72f6d2002f9da0d9b6e896b2ea3"
    )


@pytest.mark.usefixtures("device")
def test_the_initial_weights_never_change() -> None:
    from resnet import model

    network = model.build(1, 8)
    model.initialize(network, draws.weights_generator(0))
    parts = b"".join(weights.tobytes() for weights in network.get_weights())
    assert hashlib.sha256(parts).hexdigest() == (
        "7c092e4d5bf5721c92e2db6608d33af6c252026f55ac47339d553d0d73e3a8d7"
    )


def test_a_change_of_the_augmentation_leaves_the_other_draws_alone() -> None:
    images = np.arange(100, dtype=np.int32)
    shifted = draws.epoch_draws(0, 3, images, 32, 0.1, True)
    cropped = draws.epoch_draws(0, 3, images, 32, 0.1, True, crop=4)
    still = draws.epoch_draws(0, 3, images, 32, 0.0, False)
    np.testing.assert_array_equal(shifted.order, cropped.order)
    np.testing.assert_array_equal(shifted.order, still.order)
    np.testing.assert_array_equal(shifted.flips, cropped.flips)
    assert not still.flips.any()
    assert not still.shifts.any()
    assert (draws.epoch_draws(0, 4, images, 32, 0.1, True).order != shifted.order).any()
