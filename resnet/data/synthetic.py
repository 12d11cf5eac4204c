"""Synthetic images in CIFAR-10's format, for the demo and the tests.

They are gratings, one orientation and spatial frequency per class. The phase is random, so the
mean image of every class is the same and a linear model on pixels learns nothing, while a small
convolutional network does. Flips and shifts keep the class. All arithmetic is in integers, so a
seed gives the same bytes on every machine.
"""

import math
from pathlib import Path

import numpy as np

from resnet.data import cifar10
from resnet.files import replaced
from resnet.streams import Purpose, generator

SIDE = 32
STEPS = 256  # samples of a full period in WAVE
WAVE = np.array(
    [round(127 * math.sin(2 * math.pi * step / STEPS)) for step in range(STEPS)], np.int16
)
# Of the gratings, in eighths of a period across the image: 1.25 to 12 periods.
PERIODS_8 = (10, 20, 36, 60, 96)
CLASS_NAMES = tuple(
    f"synthetic {direction} {i}"
    for direction in ("horizontal", "vertical")
    for i in range(len(PERIODS_8))
)
README = (
    "<p>Synthetic images made from a seed, for trying the benchmark out. "
    "This is not CIFAR-10.</p>\n"
)


def write(folder: Path, train_images: int, test_images: int, seed: int) -> None:
    """Write that many images, a multiple of 5 for training, to `folder`.

    The folder appears complete or not at all.
    """
    per_file = train_images // len(cifar10.TRAIN_FILES)
    with replaced(folder) as partial:
        partial.mkdir()
        for number, (split, names) in enumerate(cifar10.SPLITS.items()):
            rng = generator(Purpose.SYNTHETIC, seed, number)
            count = train_images if split == "train" else test_images
            labels = rng.permutation(np.arange(count) % cifar10.CLASSES)
            for i, (name, part) in enumerate(zip(names, np.split(labels, len(names)), strict=True)):
                filenames = [
                    f"synthetic_{split}_{i * per_file + j:05d}.png" for j in range(len(part))
                ]
                title = f"synthetic {split} batch {i + 1} of {len(names)}"
                cifar10.write_batch(partial / name, title, draw(part, rng), part, filenames)
        cifar10.write_meta(partial / "batches.meta", CLASS_NAMES, per_file)
        (partial / "readme.html").write_text(README, encoding="ascii")


def draw(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one image per label: labels (n,) from 0 to 9 give images (n, 32, 32, 3) uint8."""
    n = len(labels)
    steps = STEPS // SIDE * np.array(PERIODS_8)[labels % len(PERIODS_8)] // 8  # in WAVE, per pixel
    phase = rng.integers(STEPS, size=n)
    lines = WAVE[(steps[:, None] * np.arange(SIDE) + phase[:, None]) % STEPS]  # (n, 32)
    upright = (labels >= len(PERIODS_8))[:, None, None]
    waves = np.where(upright, lines[:, None, :], lines[:, :, None])  # (n, 32, 32)
    colour = rng.integers(64, 192, size=(n, 1, 1, 3), dtype=np.int16)
    contrast = rng.integers(16, 65, size=(n, 1, 1, 3), dtype=np.int16)
    noise = rng.integers(-48, 49, size=(n, SIDE, SIDE, 3), dtype=np.int16)
    pixels: np.ndarray = np.clip(
        colour + contrast * waves[..., None] // 128 + noise, 0, 255
    ).astype(np.uint8)
    return pixels
