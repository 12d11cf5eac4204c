"""The forward passes of the papers and of the original in NumPy, in float64.

They are written from the text of He et al., arXiv:1512.03385 (section 4.2) and arXiv:1603.05027,
and of the original, and share no code with resnet/model.py.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class NumpyNetwork:
    """A network with the weights of a Keras model, whose layers are used in the order of creation.

    A layer that is used out of order, or not used, is noticed by its shape or by `unused`.
    """

    def __init__(self, model: Any, form: str) -> None:
        def in_order(kind: str) -> Any:
            layers = [layer for layer in model.layers if type(layer).__name__ == kind]
            return iter(sorted(layers, key=_creation))

        self.convolutions = in_order("Conv2D")
        self.normalizations = in_order("BatchNormalization")
        self.denses = in_order("Dense")
        self.paper = form == "paper"
        self.epsilon = 1e-5 if self.paper else 1e-3

    @property
    def unused(self) -> list[Any]:
        return [*self.convolutions, *self.normalizations, *self.denses]

    def resnet_v1(self, x: Array, n: int) -> Array:
        """Images (batch, 32, 32, 3) to probabilities (batch, 10); depth 6n + 2."""
        x = relu(self._bn(self._conv(x)))
        for stage in range(3):
            for block in range(n):
                y = self._bn(self._conv(relu(self._bn(self._conv(x)))))
                if stage > 0 and block == 0:
                    x = option_a(x) if self.paper else self._conv(x)
                x = relu(x + y)
        return self._classify(x)

    def resnet_v2(self, x: Array, n: int) -> Array:
        """Images (batch, 32, 32, 3) to probabilities (batch, 10); depth 9n + 2."""
        x = self._conv(x)
        for stage in range(3):
            for block in range(n):
                activated = relu(self._bn(x))
                y = self._conv(activated)
                y = self._conv(relu(self._bn(y)))
                y = self._conv(relu(self._bn(y)))
                if block == 0:  # the original activates its first convolution's output at once
                    x = self._conv(activated if self.paper or stage == 0 else x)
                x = x + y
        return self._classify(relu(self._bn(x)))

    def _conv(self, x: Array) -> Array:
        layer = next(self.convolutions)
        kernel, *bias = (np.asarray(weight, np.float64) for weight in layer.get_weights())
        assert len(bias) == (0 if self.paper else 1)
        return convolve(x, kernel, layer.strides[0]) + (bias[0] if bias else 0.0)

    def _bn(self, x: Array) -> Array:
        gamma, beta, mean, variance = (
            np.asarray(weight, np.float64) for weight in next(self.normalizations).get_weights()
        )
        return np.asarray(gamma * (x - mean) / np.sqrt(variance + self.epsilon) + beta)

    def _classify(self, x: Array) -> Array:
        kernel, bias = (
            np.asarray(weight, np.float64) for weight in next(self.denses).get_weights()
        )
        logits = x.mean(axis=(1, 2)) @ kernel + bias
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.asarray(np.maximum(x, 0))


def option_a(x: Array) -> Array:
    """Every second row and column of x (n, h, w, c), with as many zero channels appended."""
    x = x[:, ::2, ::2]
    return np.concatenate([x, np.zeros_like(x)], axis=3)


def convolve(x: Array, kernel: Array, strides: int) -> Array:
    """A "same" convolution of x (n, h, w, c); an odd padding has its extra pixel at the end."""
    size = kernel.shape[0]
    out = -(-x.shape[1] // strides)
    padding = max((out - 1) * strides + size - x.shape[1], 0)
    ends = (padding // 2, padding - padding // 2)
    x = np.pad(x, ((0, 0), ends, ends, (0, 0)))
    y = np.zeros((len(x), out, out, kernel.shape[3]))
    for i in range(size):
        for j in range(size):
            rows = slice(i, i + strides * out, strides)
            columns = slice(j, j + strides * out, strides)
            y += x[:, rows, columns][:, :out, :out] @ kernel[i, j]
    return y


def _creation(layer: Any) -> int:
    """The number that Keras gave a layer when it was created."""
    _, _, number = layer.name.rpartition("_")
    return int(number) if number.isdecimal() else 0
