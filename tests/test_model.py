"""The networks: their published parameter counts, their layers, and their arithmetic against plain NumPy."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytestmark = pytest.mark.usefixtures("device")

Array = NDArray[np.float64]

# version, n, parameters, of these trainable, convolutions, batch normalizations, millions of multiply-adds forward
COUNTED = [
    (1, 3, 274_442, 273_066, 21, 19, 40.81),
    (1, 5, 470_218, 467_946, 33, 31, 69.12),
    (1, 7, 665_994, 662_826, 45, 43, 97.44),
    (1, 9, 861_770, 857_706, 57, 55, 125.75),
    (1, 18, 1_742_762, 1_734_666, 111, 109, 253.15),
    (1, 27, 2_623_754, 2_611_626, 165, 163, 380.55),
    (2, 2, 574_090, 570_602, 22, 19, 66.24),
    (2, 6, 1_673_738, 1_663_338, 58, 55, 193.12),
    (2, 12, 3_323_210, 3_302_442, 112, 109, 383.44),
    (2, 18, 4_972_682, 4_941_546, 166, 163, 573.75),
    (2, 111, 30_539_498, 30_347_658, 1003, 1000, 3523.66),
]


def build(version: int, n: int, **options: Any) -> Any:
    from resnet import model

    return model.build(version, (6 if version == 1 else 9) * n + 2, **options)


@pytest.mark.parametrize(
    ("version", "n", "parameters", "trainable", "convolutions", "normalizations", "millions"),
    COUNTED,
)
def test_counts(
    version: int,
    n: int,
    parameters: int,
    trainable: int,
    convolutions: int,
    normalizations: int,
    millions: float,
) -> None:
    from resnet.model import multiply_adds

    model = build(version, n)
    assert multiply_adds(model) / 1e6 == pytest.approx(millions, abs=0.005)
    assert model.count_params() == parameters
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == trainable
    layers = Counter(type(layer).__name__ for layer in model.layers)
    blocks = 3 * n
    activations = {1: 2 * blocks + 1, 2: 3 * blocks + 1}[version]
    assert layers == {
        "InputLayer": 1,
        "Conv2D": convolutions,
        "BatchNormalization": normalizations,
        "Activation": activations,
        "Add": blocks,
        "AveragePooling2D": 1,
        "Flatten": 1,
        "Dense": 1,
    }
    assert model.output_shape == (None, 10)


def test_the_papers_width_has_the_papers_counts() -> None:
    model = build(2, 18, width="paper")
    assert model.count_params() == 1_727_482
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 1_703_258
    original = build(2, 18, width="original")
    assert [type(layer) for layer in model.layers] == [type(layer) for layer in original.layers]
    inner = [
        layer.filters
        for layer in model.layers
        if type(layer).__name__ == "Conv2D" and layer.kernel_size == (3, 3)
    ]
    assert inner == [16] + [16] * 18 + [32] * 18 + [64] * 18


def test_l2_on_all_is_on_every_trainable_parameter() -> None:
    for version in (1, 2):
        model = build(version, 1, l2=3e-4, l2_on="all")
        rng = np.random.default_rng(version)
        model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
        squares = sum(
            float(np.sum(np.square(np.asarray(weight, np.float64))))
            for weight in model.trainable_weights
        )
        assert float(sum(model.losses)) == pytest.approx(3e-4 * squares, rel=1e-5)


def test_every_convolution_is_the_originals() -> None:
    for version in (1, 2):
        for layer in build(version, 2, l2=2e-4).layers:
            if type(layer).__name__ == "Conv2D":
                assert layer.use_bias
                assert layer.padding == "same"
                assert layer.activation.__name__ == "linear"
                assert type(layer.kernel_initializer).__name__ == "HeNormal"
                assert layer.kernel_regularizer.l2 == pytest.approx(2e-4)
                assert layer.bias_regularizer is None
        assert layer.activation.__name__ == "softmax"
        assert layer.kernel_regularizer is None


def test_shapes_halve_and_widen() -> None:
    for version, n, widths in ((1, 3, [16, 32, 64]), (2, 2, [64, 128, 256])):
        shapes = [
            layer.output.shape[1:]
            for layer in build(version, n).layers
            if type(layer).__name__ == "Add"
        ]
        assert shapes == [
            (32 >> stage, 32 >> stage, width)
            for stage, width in enumerate(widths)
            for _ in range(n)
        ]


@pytest.mark.parametrize(
    ("version", "depth"), [(1, 2), (1, 21), (1, 11), (1, 0), (2, 2), (2, 20 - 6), (2, 32), (2, 44)]
)
def test_impossible_depth(version: int, depth: int) -> None:
    from resnet import model

    with pytest.raises(
        ValueError,
        match=rf"depth is {depth}: must be {'6n' if version == 1 else '9n'} \+ 2 for version {version}",
    ):
        model.build(version, depth)


def test_initial_weights_are_he_normal_and_keyed_by_the_seed() -> None:
    from resnet.model import initialize
    from resnet.training import draws

    def weights(seed: int) -> list[Any]:
        model = build(1, 2)
        initialize(model, draws.weights_generator(seed))
        return list(model.get_weights())

    a, b, other = weights(0), weights(0), weights(1)
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not np.array_equal(a[0], other[0])
    for kernel in (weight for weight in a if weight.ndim == 4 and weight.size > 4000):
        deviation = np.sqrt(2 / np.prod(kernel.shape[:3]))
        assert kernel.std() == pytest.approx(deviation, rel=0.05)
        assert np.abs(kernel).max() < 2 * deviation / 0.8796
        assert np.abs(kernel).max() > 1.9 * deviation / 0.8796


def convolve(x: Array, kernel: Array, bias: Array, strides: int) -> Array:
    """A 'same' convolution of x (n, h, w, c) as its definition has it; TensorFlow pads the odd pixel at the end."""
    size = kernel.shape[0]
    out = -(-x.shape[1] // strides)
    padding = max((out - 1) * strides + size - x.shape[1], 0)
    ends = (padding // 2, padding - padding // 2)
    x = np.pad(x, ((0, 0), ends, ends, (0, 0)))
    y = np.zeros((len(x), out, out, kernel.shape[3]))
    for i in range(size):
        for j in range(size):
            y += (
                x[:, i : i + strides * out : strides, j : j + strides * out : strides][
                    :, :out, :out
                ]
                @ kernel[i, j]
            )
    return y + bias


class Plain:
    """A network in plain NumPy: takes a Keras model's layers in the order in which they were made."""

    def __init__(self, model: Any) -> None:
        def made(kind: str) -> Any:
            layers = [layer for layer in model.layers if type(layer).__name__ == kind]
            return iter(
                sorted(
                    layers,
                    key=lambda layer: (
                        int(layer.name.rpartition("_")[2]) if layer.name[-1].isdigit() else 0
                    ),
                )
            )

        self.convolutions, self.normalizations, self.denses = (
            made("Conv2D"),
            made("BatchNormalization"),
            made("Dense"),
        )

    def conv(self, x: Array) -> Array:
        layer = next(self.convolutions)
        kernel, bias = (np.asarray(weight, np.float64) for weight in layer.get_weights())
        return convolve(x, kernel, bias, layer.strides[0])

    def bn(self, x: Array) -> Array:
        gamma, beta, mean, variance = (
            np.asarray(weight, np.float64) for weight in next(self.normalizations).get_weights()
        )
        return np.asarray(gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta)

    def classify(self, x: Array) -> Array:
        kernel, bias = (
            np.asarray(weight, np.float64) for weight in next(self.denses).get_weights()
        )
        logits = x.mean(axis=(1, 2)) @ kernel + bias
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def resnet_v1(self, x: Array, n: int) -> Array:
        x = relu(self.bn(self.conv(x)))
        for stage in range(3):
            for block in range(n):
                y = self.bn(self.conv(relu(self.bn(self.conv(x)))))
                x = relu((self.conv(x) if stage and not block else x) + y)
        return self.classify(x)

    def resnet_v2(self, x: Array, n: int) -> Array:
        x = relu(self.bn(self.conv(x)))
        for stage in range(3):
            for block in range(n):
                y = self.conv(relu(self.bn(x)) if stage or block else x)
                y = self.conv(relu(self.bn(y)))
                y = self.conv(relu(self.bn(y)))
                x = (x if block else self.conv(x)) + y
        return self.classify(relu(self.bn(x)))


def relu(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0))


@pytest.mark.parametrize("version", [1, 2])
def test_whole_network_is_plain_numpy(version: int) -> None:
    """Every block, with a projection and without, in its order: an activation in the wrong place keeps every shape."""
    model = build(version, 2)
    rng = np.random.default_rng(version)
    # biases, scales and statistics too, which a fresh network has at 0 and 1
    model.set_weights(
        [
            weight + rng.uniform(0, 0.5, weight.shape) * (weight.ndim == 1)
            for weight in model.get_weights()
        ]
    )
    images = rng.normal(size=(4, 32, 32, 3))
    plain = Plain(model)
    expected = (plain.resnet_v1 if version == 1 else plain.resnet_v2)(images, 2)
    assert not list(plain.convolutions) + list(plain.normalizations) + list(plain.denses)
    assert expected.std() > 0.01
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=2e-4, atol=1e-7)
