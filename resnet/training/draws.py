"""All the randomness of a run, drawn on the host with NumPy and keyed by (seed, epoch).

So the draws are the same whatever the backend, the device, the number of steps in a compiled call or the number of interruptions.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WEIGHTS, EPOCH, HOLDOUT = range(3)  # each use has a stream of its own


class EpochDraws(NamedTuple):
    """What an epoch draws, a row a step."""

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
    """Draw an epoch over `images`, the indices to train on: a fresh permutation, the last partial batch dropped.

    Shifts are uniform over ± shift × 32 pixels, as the original's ImageDataGenerator draws them for a fraction; or, where crop
    is not 0, over the whole pixels from -crop to crop: a 32 x 32 crop of an image padded by so many on each side.
    """
    rng = np.random.default_rng((EPOCH, seed, epoch))
    steps = len(images) // batch_size
    order = rng.permutation(images)[: steps * batch_size]
    size = (steps, batch_size, 2)
    shifts = (
        rng.integers(-crop, crop, size, endpoint=True)
        if crop
        else rng.uniform(-32 * shift, 32 * shift, size)
    )
    flips = rng.random((steps, batch_size)) < (0.5 if flip else 0.0)
    return EpochDraws(
        order.reshape(steps, batch_size).astype(np.int32), shifts.astype(np.float32), flips
    )


def weights_generator(seed: int) -> np.random.Generator:
    """The generator of a run's initial weights."""
    return np.random.default_rng((WEIGHTS, seed))


def holdout_indices(images: int, fraction: float) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Indices to train on and to hold out, both sorted: the same for every seed and variant, so that they can be compared."""
    held_out = np.random.default_rng(HOLDOUT).permutation(images)[: round(images * fraction)]
    mask = np.zeros(images, bool)
    mask[held_out] = True
    return np.flatnonzero(~mask).astype(np.int32), np.flatnonzero(mask).astype(np.int32)
