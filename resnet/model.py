"""ResNets for 32 x 32 images, versions 1 and 2, each in two forms.

The form "original" is that of cifar10_resnet.py of the Keras examples, "paper" that of
[1] He et al., Deep Residual Learning for Image Recognition, arXiv:1512.03385, section 4.2
[2] He et al., Identity Mappings in Deep Residual Networks, arXiv:1603.05027, and its code,
    resnet-pre-act.lua of github.com/KaimingHe/resnet-1k-layers
"""

import math
from functools import partial

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

IMAGE = (32, 32, 3)
STAGES = 3  # of (32, 32), (16, 16) and (8, 8) positions
TRUNCATED_STD = 0.87962566103423978  # of a unit normal distribution cut off at two deviations


def build(
    version: int,
    depth: int,
    *,
    form: str = "original",
    classes: int = 10,
    l2: float = 1e-4,
    l2_on: str = "convolutions",
) -> keras.Model:
    """The network of that version, depth and form; raises ValueError where there is none.

    Images (batch, 32, 32, 3) to probabilities (batch, classes). l2_on is "convolutions" for a
    penalty on their kernels, or "all" for one on every trainable parameter. The kernels are zero
    until `initialize` draws them.
    """
    networks = {1: resnet_v1, 2: resnet_v2}
    if version not in networks:
        raise ValueError(f"version is {version}: must be 1 or 2")
    if form not in ("original", "paper"):
        raise ValueError(f"form is {form!r}: must be 'original' or 'paper'")
    other_l2 = l2 if l2_on == "all" else 0.0
    return networks[version](depth, form == "paper", classes, l2, other_l2)


def resnet_v1(
    depth: int, paper: bool = False, classes: int = 10, l2: float = 1e-4, other_l2: float = 0.0
) -> keras.Model:
    """Blocks of two 3x3 convolutions, ReLU after the addition; depth 6n + 2, n blocks a stage [1].

    Where a stage changes the size, the original's shortcut is a projection without batch
    normalization, the paper's is its option A, without parameters. The paper's convolutions have no
    biases. other_l2 is the penalty on everything but the kernels of convolutions.
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"depth is {depth}: must be 6n + 2 for version 1, such as 20 or 32")
    conv = partial(_conv, l2=l2, bias=not paper, bias_l2=other_l2)
    bn = partial(_bn, paper=paper, l2=other_l2)

    inputs = keras.Input(IMAGE)
    x = _relu(bn(conv(16, 3)(inputs)))  # (32, 32, 16)
    for stage in range(STAGES):  # (32, 32, 16), (16, 16, 32), (8, 8, 64)
        filters = 16 * 2**stage
        for block in range((depth - 2) // 6):
            downsample = stage > 0 and block == 0
            strides = 2 if downsample else 1
            y = _relu(bn(conv(filters, 3, strides)(x)))
            y = bn(conv(filters, 3)(y))
            if downsample:
                x = _option_a(x) if paper else conv(filters, 1, strides)(x)
            x = _relu(layers.add([x, y]))
    return keras.Model(inputs, _classifier(x, classes, other_l2), name=f"ResNet{depth}v1")


def resnet_v2(
    depth: int, paper: bool = False, classes: int = 10, l2: float = 1e-4, other_l2: float = 0.0
) -> keras.Model:
    """Bottlenecks 1x1, 3x3, 1x1, each BN-ReLU-convolution; depth 9n + 2, n blocks a stage [2].

    The original's bottlenecks have 16, 64 and 128 filters, the paper's 16, 32 and 64 and no biases.
    The first block of a stage has a projection. In the paper its input is that of the residual
    branch, after BN and ReLU; in the original's second and third stage it is the sum before them.
    """
    if depth < 11 or (depth - 2) % 9:
        raise ValueError(f"depth is {depth}: must be 9n + 2 for version 2, such as 56 or 110")
    conv = partial(_conv, l2=l2, bias=not paper, bias_l2=other_l2)
    bn = partial(_bn, paper=paper, l2=other_l2)
    widths = [(16, 64), (32, 128), (64, 256)] if paper else [(16, 64), (64, 128), (128, 256)]

    inputs = keras.Input(IMAGE)
    x = conv(16, 3)(inputs)  # (32, 32, 16)
    for stage, (inner, outer) in enumerate(widths):  # (32, 32, 64), (16, 16, 128), (8, 8, 256)
        for block in range((depth - 2) // 9):
            strides = 2 if stage > 0 and block == 0 else 1
            y = _relu(bn(x))
            if block == 0 and (paper or stage == 0):
                x = y
            y = conv(inner, 1, strides)(y)
            y = conv(inner, 3)(_relu(bn(y)))
            y = conv(outer, 1)(_relu(bn(y)))
            if block == 0:
                x = conv(outer, 1, strides)(x)
            x = layers.add([x, y])
    outputs = _classifier(_relu(bn(x)), classes, other_l2)
    return keras.Model(inputs, outputs, name=f"ResNet{depth}v2")


def multiply_adds(model: keras.Model) -> int:
    """Multiply-adds of one image's forward pass, in the convolutions and the classifier."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.Dense):
            positions = math.prod(layer.output.shape[1:-1])
            total += positions * math.prod(layer.kernel.shape)
    return total


def initialize(model: keras.Model, rng: np.random.Generator) -> None:
    """Draw every kernel from `rng` by `he_normal`: the same weights on every backend."""
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.Dense):
            layer.kernel.assign(he_normal(rng, layer.kernel.shape))


def he_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Weights (..., inputs, outputs) as keras.initializers.HeNormal draws them.

    They are normal, cut off at two deviations, with a standard deviation of sqrt(2 / fan_in).
    """
    values = rng.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.standard_normal(outside.sum())
    fan_in = int(np.prod(shape[:-1]))
    return np.asarray(values * (np.sqrt(2 / fan_in) / TRUNCATED_STD), np.float32)


def _conv(
    filters: int, size: int, strides: int = 1, *, l2: float, bias: bool, bias_l2: float
) -> layers.Layer:
    return layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        use_bias=bias,
        kernel_initializer="zeros",
        kernel_regularizer=_penalty(l2),
        bias_regularizer=_penalty(bias_l2 if bias else 0.0),
    )


def _bn(x: keras.KerasTensor, *, paper: bool, l2: float) -> keras.KerasTensor:
    """Batch normalization with Keras' defaults, or with those of the papers' code in Torch."""
    momentum, epsilon = (0.9, 1e-5) if paper else (0.99, 1e-3)
    normalization = layers.BatchNormalization(
        momentum=momentum,
        epsilon=epsilon,
        gamma_regularizer=_penalty(l2),
        beta_regularizer=_penalty(l2),
    )
    return normalization(x)


def _relu(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Activation("relu")(x)


def _option_a(x: keras.KerasTensor) -> keras.KerasTensor:
    """Every second position of every second row, then as many zero channels again [1]."""
    x = layers.AveragePooling2D(1, strides=2)(x)
    return layers.Concatenate()([x, layers.Rescaling(0.0)(x)])


def _penalty(l2: float) -> keras.Regularizer | None:
    return keras.regularizers.L2(l2) if l2 else None


def _classifier(x: keras.KerasTensor, classes: int, l2: float) -> keras.KerasTensor:
    """Mean over the 8 x 8 positions, then probabilities, which are float32 in every precision."""
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return layers.Dense(
        classes,
        activation="softmax",
        kernel_initializer="zeros",
        kernel_regularizer=_penalty(l2),
        bias_regularizer=_penalty(l2),
        dtype="float32",
    )(x)
