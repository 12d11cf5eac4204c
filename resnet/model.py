"""The original's networks: ResNet v1 [a] and its bottleneck form of ResNet v2 [b], for 32 x 32 images; [b]'s own widths too.

[a] He et al., Deep Residual Learning for Image Recognition, arXiv:1512.03385, section 4.2
[b] He et al., Identity Mappings in Deep Residual Networks, arXiv:1603.05027
The original: cifar10_resnet.py of the Keras examples.
"""

import math
from functools import partial

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

IMAGE = (32, 32, 3)


def build(
    version: int,
    depth: int,
    *,
    width: str = "original",
    classes: int = 10,
    l2: float = 1e-4,
    l2_on: str = "convolutions",
) -> keras.Model:
    """The network of that version, depth and width; raises ValueError where there is none.

    The l2 penalty is on the kernels of convolutions, or, where l2_on is "all", on every trainable parameter.
    """
    rest = l2 if l2_on == "all" else 0.0
    if version == 1:
        return resnet_v1(depth, classes=classes, l2=l2, rest=rest)
    return resnet_v2(depth, paper=width == "paper", classes=classes, l2=l2, rest=rest)


def resnet_v1(depth: int, *, classes: int = 10, l2: float = 1e-4, rest: float = 0.0) -> keras.Model:
    """Three stages of blocks of two 3x3 convolutions, ReLU after the addition; depth = 6n + 2, n blocks a stage [a].

    Images (batch, 32, 32, 3) to probabilities (batch, classes). `rest` is the l2 of what is no convolution's kernel.
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"depth is {depth}: must be 6n + 2 for version 1, 20 or 32 say")
    conv, bn = partial(_conv, l2=l2, rest=rest), partial(_bn, rest=rest)

    inputs = keras.Input(IMAGE)
    x = _relu(bn(conv(16, 3)(inputs)))  # (32, 32, 16)
    for stage in range(3):  # (32, 32, 16), (16, 16, 32), (8, 8, 64)
        filters = 16 * 2**stage
        for block in range((depth - 2) // 6):
            downsample = stage > 0 and block == 0
            strides = 2 if downsample else 1
            y = _relu(bn(conv(filters, 3, strides)(x)))
            y = bn(conv(filters, 3)(y))
            if downsample:
                x = conv(filters, 1, strides)(
                    x
                )  # a projection without batch normalization, as the original has it
            x = _relu(layers.add([x, y]))
    return keras.Model(inputs, _classifier(x, classes, rest), name=f"ResNet{depth}v1")


def resnet_v2(
    depth: int, *, paper: bool = False, classes: int = 10, l2: float = 1e-4, rest: float = 0.0
) -> keras.Model:
    """Three stages of bottlenecks 1x1, 3x3, 1x1, each BN-ReLU-convolution; depth = 9n + 2, n blocks a stage [b].

    The original's widths: the inner convolutions have 16, 64 and 128 filters, where the paper's have 16, 32 and 64, and no biases.
    Images (batch, 32, 32, 3) to probabilities (batch, classes). `rest` is the l2 of what is no convolution's kernel.
    """
    if depth < 11 or (depth - 2) % 9:
        raise ValueError(f"depth is {depth}: must be 9n + 2 for version 2, 56 or 110 say")
    conv, bn = partial(_conv, l2=l2, rest=rest, bias=not paper), partial(_bn, rest=rest)
    widths = [(16, 64), (32, 128), (64, 256)] if paper else [(16, 64), (64, 128), (128, 256)]

    inputs = keras.Input(IMAGE)
    x = _relu(bn(conv(16, 3)(inputs)))  # (32, 32, 16)
    for stage, (inner, outer) in enumerate(widths):  # (32, 32, 64), (16, 16, 128), (8, 8, 256)
        for block in range((depth - 2) // 9):
            strides = 2 if stage > 0 and block == 0 else 1
            y = (
                x if stage == block == 0 else _relu(bn(x))
            )  # the very first input is activated already
            y = conv(inner, 1, strides)(y)
            y = conv(inner, 3)(_relu(bn(y)))
            y = conv(outer, 1)(_relu(bn(y)))
            if block == 0:
                x = conv(outer, 1, strides)(x)
            x = layers.add([x, y])
    return keras.Model(inputs, _classifier(_relu(bn(x)), classes, rest), name=f"ResNet{depth}v2")


def multiply_adds(model: keras.Model) -> int:
    """Multiply-adds of one image's forward pass: those of the convolutions and of the classifier."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.Dense):
            positions = math.prod(layer.output.shape[1:-1])
            total += positions * math.prod(layer.kernel.shape)
    return total


def initialize(model: keras.Model, rng: np.random.Generator) -> None:
    """Draw every kernel anew from `rng`, he_normal: the same weights whatever the backend."""
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.Dense):
            layer.kernel.assign(he_normal(rng, layer.kernel.shape))


def he_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Weights (..., inputs, outputs) as keras.initializers.HeNormal draws them: a normal distribution cut off at two deviations.

    Its standard deviation after the cut is sqrt(2 / fan_in); 0.8796... is that of a unit normal cut so.
    """
    values = rng.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.standard_normal(outside.sum())
    fan_in = int(np.prod(shape[:-1]))
    return np.asarray(values * (np.sqrt(2 / fan_in) / 0.87962566103423978), np.float32)


def _conv(
    filters: int, size: int, strides: int = 1, *, l2: float, rest: float, bias: bool = True
) -> layers.Layer:
    return layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        use_bias=bias,
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L2(l2),
        bias_regularizer=_penalty(rest),
    )


def _bn(x: keras.KerasTensor, *, rest: float) -> keras.KerasTensor:
    return layers.BatchNormalization(
        gamma_regularizer=_penalty(rest), beta_regularizer=_penalty(rest)
    )(x)


def _relu(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Activation("relu")(x)


def _penalty(l2: float) -> keras.Regularizer | None:
    return keras.regularizers.L2(l2) if l2 else None


def _classifier(x: keras.KerasTensor, classes: int, rest: float) -> keras.KerasTensor:
    """Mean over the 8 x 8 positions, then the classes' probabilities, in float32 whatever the precision before."""
    y = layers.Flatten()(layers.AveragePooling2D(8)(x))
    penalties = {"kernel_regularizer": _penalty(rest), "bias_regularizer": _penalty(rest)}
    return layers.Dense(
        classes, activation="softmax", kernel_initializer="he_normal", dtype="float32", **penalties
    )(y)
