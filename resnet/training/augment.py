"""Shifts and flips of whole batches, on the backend. What is drawn comes in; what is done is a pure function of it.

The same as the original's ImageDataGenerator(width_shift_range, height_shift_range, horizontal_flip, fill_mode="nearest"), or as
padding with zeros and cropping.
"""

from typing import Any

from keras import ops

Tensor = Any  # a tensor of the backend


def augment(
    images: Tensor, shifts: Tensor, flips: Tensor, order: int, padded: bool = False
) -> Tensor:
    """Shift each image by its rows and columns, then flip those that `flips` says left to right.

    Pixel (i, j) of a shifted image is the original's at (i + rows, j + columns), the nearest edge pixel outside it, or 0 where
    `padded`.
    images (n, h, w, c) float; shifts (n, 2) float, in pixels; flips (n,) bool; order 0 takes the nearest pixel,
    order 1 interpolates bilinearly. Returns (n, h, w, c).
    """
    _, height, width, _ = images.shape
    rows = ops.expand_dims(ops.arange(height, dtype="int32"), 0)  # (1, h)
    columns = ops.expand_dims(ops.arange(width, dtype="int32"), 0)  # (1, w)
    columns = ops.where(ops.expand_dims(flips, 1), width - 1 - columns, columns)  # (n, w)
    if order == 0:
        whole = ops.cast(ops.floor(shifts + 0.5), "int32")
        return _take(images, rows + whole[:, 0:1], columns + whole[:, 1:2], padded)
    floor = ops.floor(shifts)
    whole = ops.cast(floor, "int32")
    part = ops.reshape(shifts - floor, (-1, 2, 1, 1, 1))
    rows, columns = rows + whole[:, 0:1], columns + whole[:, 1:2]
    upper = (1 - part[:, 1]) * _take(images, rows, columns, padded) + part[:, 1] * _take(
        images, rows, columns + 1, padded
    )
    lower = (1 - part[:, 1]) * _take(images, rows + 1, columns, padded) + part[:, 1] * _take(
        images, rows + 1, columns + 1, padded
    )
    return (1 - part[:, 0]) * upper + part[:, 0] * lower


def _take(images: Tensor, rows: Tensor, columns: Tensor, padded: bool) -> Tensor:
    """Pixels (n, h, w, c) of images at rows (n, h) and columns (n, w), indices outside an image meaning its edge, or 0 if padded."""
    n, height, width, channels = images.shape
    inside = ops.expand_dims((rows >= 0) & (rows < height), 2) & ops.expand_dims(
        (columns >= 0) & (columns < width), 1
    )  # (n, h, w)
    rows = ops.clip(rows, 0, height - 1) + height * ops.expand_dims(ops.arange(n, dtype="int32"), 1)
    index = ops.expand_dims(rows * width, 2) + ops.expand_dims(
        ops.clip(columns, 0, width - 1), 1
    )  # (n, h, w)
    pixels = ops.take(ops.reshape(images, (n * height * width, channels)), index, axis=0)
    return (
        ops.where(ops.expand_dims(inside, 3), pixels, ops.zeros_like(pixels)) if padded else pixels
    )
