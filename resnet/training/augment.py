"""Shifts and flips of whole batches, on the backend, as a pure function of the draws.

They are those of the original's ImageDataGenerator(width_shift_range, height_shift_range,
horizontal_flip, fill_mode="nearest"), or padding with zeros and cropping.
"""

from typing import Any

from keras import ops

Tensor = Any  # a tensor of the backend


def augment(
    images: Tensor, shifts: Tensor, flips: Tensor, order: int, padded: bool = False
) -> Tensor:
    """Shift each image by its rows and columns, then flip it left to right where `flips` is true.

    images (n, h, w, c) float; shifts (n, 2) float, in pixels; flips (n,) bool. Returns images.
    Pixel (i, j) of a shifted image is the input's at (i + rows, j + columns); outside of the input
    it is the nearest edge pixel, or 0 where `padded`. Order 0 takes the nearest pixel, order 1
    interpolates bilinearly.
    """
    _, height, width, _ = images.shape
    rows = ops.expand_dims(ops.arange(height, dtype="int32"), 0)  # (1, h)
    columns = ops.expand_dims(ops.arange(width, dtype="int32"), 0)  # (1, w)
    columns = ops.where(ops.expand_dims(flips, 1), width - 1 - columns, columns)  # (n, w)
    if order == 0:
        whole = ops.cast(ops.floor(shifts + 0.5), "int32")
        return _pixels(images, rows + whole[:, 0:1], columns + whole[:, 1:2], padded)
    floor = ops.floor(shifts)
    whole = ops.cast(floor, "int32")
    part = ops.reshape(shifts - floor, (-1, 2, 1, 1, 1))  # of the way to the next pixel
    rows, columns = rows + whole[:, 0:1], columns + whole[:, 1:2]

    def interpolated(rows: Tensor) -> Tensor:
        left = _pixels(images, rows, columns, padded)
        right = _pixels(images, rows, columns + 1, padded)
        return (1 - part[:, 1]) * left + part[:, 1] * right

    return (1 - part[:, 0]) * interpolated(rows) + part[:, 0] * interpolated(rows + 1)


def _pixels(images: Tensor, rows: Tensor, columns: Tensor, padded: bool) -> Tensor:
    """Pixels (n, h, w, c) of images at rows (n, h) and columns (n, w).

    Positions outside an image mean its nearest edge pixel, or 0 where `padded`.
    """
    n, height, width, channels = images.shape
    inside_rows = ops.expand_dims((rows >= 0) & (rows < height), 2)
    inside = inside_rows & ops.expand_dims((columns >= 0) & (columns < width), 1)  # (n, h, w)
    rows = ops.clip(rows, 0, height - 1) + height * ops.expand_dims(ops.arange(n, dtype="int32"), 1)
    columns = ops.expand_dims(ops.clip(columns, 0, width - 1), 1)
    index = ops.expand_dims(rows * width, 2) + columns  # (n, h, w)
    pixels = ops.take(ops.reshape(images, (n * height * width, channels)), index, axis=0)
    if not padded:
        return pixels
    return ops.where(ops.expand_dims(inside, 3), pixels, ops.zeros_like(pixels))
