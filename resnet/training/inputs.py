"""The images that a training reads, on the device or mapped from the disk."""

from typing import Any, NamedTuple

import numpy as np
from keras import ops
from numpy.typing import NDArray

from resnet.data.arrays import Split
from resnet.errors import BenchmarkError
from resnet.training.draws import holdout_indices

Tensor = Any  # a tensor of the backend


class Images(NamedTuple):
    """Images (n, 32, 32, 3), labels (n,), and the indices of those that are used.

    They are tensors where they are on the device, else arrays that are mapped from the disk.
    """

    images: Tensor
    labels: Tensor
    indices: NDArray[np.int32]
    on_device: bool

    def gather(self, order: NDArray[np.int32]) -> tuple[Tensor, Tensor, NDArray[np.int32]]:
        """Images, labels, and `order`, indices of any shape, as indices into these images.

        Images on the device are returned whole, others only those that `order` names.
        """
        if self.on_device:
            return self.images, self.labels, order
        chosen = order.ravel()
        images, labels = (ops.convert_to_tensor(array[chosen]) for array in self[:2])
        return images, labels, np.arange(order.size, dtype=np.int32).reshape(order.shape)


def whole(split: Split, on_device: bool = True) -> Images:
    """All images of a split."""
    images, labels = split.images, split.labels
    if on_device:
        images, labels = ops.convert_to_tensor(images), ops.convert_to_tensor(labels)
    return Images(images, labels, np.arange(len(split.images), dtype=np.int32), on_device)


def split_holdout(train: Images, fraction: float) -> tuple[Images, Images | None]:
    """The images to train on, and the held-out ones; None where the fraction is 0.

    Raises BenchmarkError where the fraction of the images rounds to none of them.
    """
    kept, held_out = holdout_indices(len(train.indices), fraction)
    if fraction and not len(held_out):
        raise BenchmarkError(
            f"train.holdout.fraction is {fraction:g}, which is less than one of the "
            f"{len(train.indices)} images; raise it, or set it to 0 to hold out none"
        )
    held = train._replace(indices=held_out) if len(held_out) else None
    return train._replace(indices=kept), held
