"""Random generators, one independent stream for each purpose.

Two purposes never share a stream, even where their seeds are equal: the weights of seed 0 are
independent of the synthetic images of seed 0.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What is drawn. The numbers are part of every result: never change or reuse one."""

    WEIGHTS = 1
    ORDER = 2
    SHIFTS = 3
    FLIPS = 4
    HOLDOUT = 5
    SYNTHETIC = 6


def generator(purpose: Purpose, *keys: int) -> np.random.Generator:
    """The generator of a purpose, for keys such as seed and epoch, each from 0 to 2^32 - 1."""
    return np.random.default_rng((purpose, *keys))
