"""About the least time that an epoch of direct convolutions takes, from measured rates.

Each convolution counts three times: the forward pass, and the gradients of its input and of its
kernel. Each time its input and its output are read or written once. Everything between two
convolutions is free. The bound is the larger of the time of the arithmetic and the time of the
memory traffic. Other algorithms (Winograd, FFT) multiply less, and caches reduce the traffic of
small batches.
"""

import math
import time
from typing import Any

BYTES = {"float32": 4, "bfloat16": 2}
COPIED = 2**28  # bytes, larger than any cache
SIDE = 4096  # of the square matrices that are multiplied


def operations(model: Any) -> int:
    """Floating-point operations of a step per image; a multiply-add is two."""
    from resnet.model import multiply_adds

    return 2 * 3 * multiply_adds(model)


def activation_bytes(model: Any, precision: str) -> int:
    """Bytes of activations and their gradients that a step moves per image."""
    import keras

    values = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            inputs, outputs = math.prod(layer.input.shape[1:]), math.prod(layer.output.shape[1:])
            values += 3 * (inputs + outputs)
    return values * BYTES[precision]


def weight_bytes(model: Any) -> int:
    """Bytes of weights that a step moves, in float32.

    Two reads for the two passes, one write of the gradient, and Adam's reads and writes of three
    values: the weight and its two moments.
    """
    count = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    return int(count) * 4 * (2 + 1 + 6)


def seconds_per_epoch(
    model: Any, batch_size: int, precision: str, machine: dict[str, Any], images: int
) -> tuple[float, float]:
    """Seconds of the arithmetic and of the memory traffic of an epoch with that many images."""
    steps = images // batch_size
    moved = activation_bytes(model, precision) * images + weight_bytes(model) * steps
    rate = machine["operations_per_second"][precision]
    return operations(model) * images / rate, moved / machine["bytes_per_second"]


def machine() -> dict[str, Any]:
    """The copy bandwidth (bytes read and written per second) and the rates of matrix products."""
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
    """Seconds of the fastest of several compiled calls, without the first."""
    from resnet import backend

    call = backend.compiled(function, False)
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        float(call(argument)[(0,) * len(argument.shape)])  # wait for the device
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
