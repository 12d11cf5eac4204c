"""The randomness of a training, drawn on the host with NumPy and keyed by purpose, seed and epoch.

So the draws are the same on every backend and device, for every number of steps in a compiled call
and of interruptions.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resnet.streams import Purpose, generator

SIDE = 32  # pixels


class EpochDraws(NamedTuple):
    """The draws of an epoch, one row per step."""

    order: NDArray[np.int32]  # (steps, batch) indices of images
    shifts: NDArray[np.float32]  # (steps, batch, 2) rows and columns, in pixels
    flips: NDArray[np.bool_]  # (steps, batch)


def epoch_draws(
    seed: int,
    epoch: int,
    images: NDArray[np.int32],
    batch_size: int,
    shift: float,
    flip: bool,
    crop: int = 0,
) -> EpochDraws:
    """Draw an epoch, counted from 0, over `images`, the indices to train on.

    The order is a new permutation without its last partial batch. Shifts are uniform over ± shift
    times 32 pixels, as the original's ImageDataGenerator draws them for a fraction; where crop is
    not 0, they are integers from -crop to crop, which is a 32 x 32 crop of an image padded by that
    many pixels on each side.
    """
    steps = len(images) // batch_size
    order = generator(Purpose.ORDER, seed, epoch).permutation(images)[: steps * batch_size]
    size = (steps, batch_size, 2)
    rng = generator(Purpose.SHIFTS, seed, epoch)
    if crop:
        shifts = rng.integers(-crop, crop, size, endpoint=True).astype(np.float32)
    else:
        shifts = rng.uniform(-SIDE * shift, SIDE * shift, size).astype(np.float32)
    probability = 0.5 if flip else 0.0
    flips = generator(Purpose.FLIPS, seed, epoch).random((steps, batch_size)) < probability
    return EpochDraws(order.reshape(steps, batch_size).astype(np.int32), shifts, flips)


def weights_generator(seed: int) -> np.random.Generator:
    """The generator of a training's initial weights."""
    return generator(Purpose.WEIGHTS, seed)


def holdout_indices(images: int, fraction: float) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Indices to train on and to hold out, both sorted.

    They are the same for every seed and variant, so that these can be compared.
    """
    held_out = generator(Purpose.HOLDOUT).permutation(images)[: round(images * fraction)]
    mask = np.zeros(images, bool)
    mask[held_out] = True
    return np.flatnonzero(~mask).astype(np.int32), np.flatnonzero(mask).astype(np.int32)
