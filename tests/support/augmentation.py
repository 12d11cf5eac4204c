"""Shifts and flips by Keras' own ImageDataGenerator, which shares no code with resnet/."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]


def generated(images: Images, shifts: Any, flips: Any, order: int) -> Images:
    """Images (n, h, w, c) as ImageDataGenerator, which is private in Keras 3, transforms each.

    shifts (n, 2) are rows and columns, flips (n,) booleans; order is that of the interpolation.
    """
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    generator = ImageDataGenerator(
        fill_mode="nearest", interpolation_order=order, data_format="channels_last"
    )
    # for Keras, x is along the columns
    transforms = [
        {"tx": float(column), "ty": float(row), "flip_horizontal": bool(flip)}
        for (row, column), flip in zip(shifts, flips, strict=True)
    ]
    return np.array(
        [
            generator.apply_transform(image, transform)
            for image, transform in zip(images, transforms, strict=True)
        ]
    )
