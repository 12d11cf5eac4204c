"""The floor: how long the arithmetic and the memory traffic of an epoch would take, each alone at the machine's measured best.

Counted are three convolutions for one (forward, and the gradients of its input and of its kernel), and for each of them its
input and its output read or written once, everything between two convolutions being free: less no implementation that runs
convolution by convolution can do. Caches may still beat the traffic on small batches, so the floor is the larger of the two.
"""

import math
import time
from typing import Any

BYTES = {"float32": 4, "bfloat16": 2}
COPIED = 2**28  # bytes, larger than any cache
SIDE = 4096  # of the square matrices multiplied


def operations(model: Any) -> int:
    """Floating-point operations of one image's step: a multiply-add is two."""
    from resnet.model import multiply_adds

    return 2 * 3 * multiply_adds(model)


def activation_bytes(model: Any, precision: str) -> int:
    """Bytes that one image's step moves: forward in and out; for the gradients, out's twice, the input's, and the input again."""
    import keras

    values = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            taken, given = (math.prod(tensor.shape[1:]) for tensor in (layer.input, layer.output))
            values += (taken + given) + (given + taken) + (given + taken)
    return values * BYTES[precision]


def weight_bytes(model: Any) -> int:
    """Bytes of weights that a step moves, in float32: read for both passes, the gradient, and Adam's reading and writing of three."""
    return (
        int(sum(math.prod(variable.shape) for variable in model.trainable_variables))
        * 4
        * (2 + 1 + 6)
    )


def seconds_per_epoch(
    model: Any, batch_size: int, precision: str, machine: dict[str, Any], images: int
) -> tuple[float, float]:
    """Seconds of the arithmetic and of the memory traffic of an epoch over so many images."""
    moved = activation_bytes(model, precision) * images + weight_bytes(model) * (
        images // batch_size
    )
    return operations(model) * images / machine["operations_per_second"][
        precision
    ], moved / machine["bytes_per_second"]


def machine() -> dict[str, Any]:
    """This machine's copy bandwidth (bytes read and written a second) and its rate of matrix products, in the backend that trains."""
    from keras import ops

    values = ops.ones((COPIED // 4,), "float32")
    bandwidth = 2 * COPIED / _best(lambda x: x + 1, values)
    rates = {
        precision: 2
        * SIDE**3
        / _best(lambda x: ops.matmul(x, x), ops.ones((SIDE, SIDE), precision))
        for precision in BYTES
    }
    return {"bytes_per_second": bandwidth, "operations_per_second": rates}


def _best(function: Any, argument: Any, runs: int = 5) -> float:
    """Seconds of the fastest of some compiled calls, the first left out."""
    from resnet import backend

    call = backend.compiled(function, False)
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        float(call(argument)[(0,) * len(argument.shape)])  # wait for the device
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
