"""Fused batch normalization against NumPy in float64, and networks with it against stock ones."""

from typing import Any

import numpy as np
import pytest

from resnet.training import draws

pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_layer_equals_the_formula(dtype: str) -> None:
    """Outputs, gradients and moving statistics, of activations whose mean is not zero."""
    import tensorflow as tf

    from resnet.training.normalization import FusedBatchNormalization

    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (8, 4, 4, 5)).astype(np.float32)
    weight = rng.normal(size=x.shape).astype(np.float32)  # of each output in the loss
    layer = FusedBatchNormalization(momentum=0.9, epsilon=1e-3, dtype=dtype)
    layer.build(x.shape)
    gamma, beta = rng.normal(size=(2, 5)).astype(np.float32)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    inputs = tf.cast(tf.constant(x), layer.compute_dtype)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * weight)
    gradients = tape.gradient(loss, [inputs, layer.gamma.value, layer.beta.value])
    assert outputs.dtype == layer.compute_dtype

    exact = np.array(tf.cast(inputs, tf.float32), np.float64)
    axes = (0, 1, 2)
    mean, variance, n = exact.mean(axes), exact.var(axes), exact[..., 0].size
    scale = 1 / np.sqrt(variance + 1e-3)
    normal = (exact - mean) * scale
    upstream = weight * gamma
    sums = upstream.sum(axes), normal * (upstream * normal).sum(axes)
    expected = scale / n * (n * upstream - sums[0] - sums[1])
    output_atol, sum_atol = {"float32": (1e-5, 1e-4), "mixed_bfloat16": (3e-2, 0.2)}[dtype]
    outputs, input_gradient = (tf.cast(part, tf.float32) for part in (outputs, gradients[0]))
    np.testing.assert_allclose(outputs, normal * gamma + beta, atol=output_atol)
    np.testing.assert_allclose(input_gradient, expected, atol=output_atol)
    np.testing.assert_allclose(gradients[1], (weight * normal).sum(axes), atol=sum_atol)
    np.testing.assert_allclose(gradients[2], weight.sum(axes), atol=sum_atol)
    # the statistics are float32 in both
    np.testing.assert_allclose(layer.moving_mean, 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * variance, rtol=1e-5)
    scale = gamma / np.sqrt(layer.moving_variance + 1e-3)
    inference = tf.cast(layer(inputs, training=False), tf.float32)
    expected = (exact - layer.moving_mean) * scale + beta
    np.testing.assert_allclose(inference, expected, atol=output_atol * 3)


def networks(version: int, depth: int, form: str) -> tuple[Any, Any]:
    """A stock network and its fused twin, with equal weights."""
    from resnet import model
    from resnet.training import normalization

    stock = model.build(version, depth, form=form)
    model.initialize(stock, draws.weights_generator(0))
    twin = normalization.fused(stock)
    twin.set_weights(stock.get_weights())
    return stock, twin


@pytest.mark.parametrize("form", ["original", "paper"])
@pytest.mark.parametrize(("version", "depth"), [(1, 8), (2, 11)])
def test_twin_equals_the_stock_network(version: int, depth: int, form: str) -> None:
    """Its predictions, and its gradients as one step of SGD at a rate of 1 shows them."""
    import keras

    from resnet.training.normalization import FusedBatchNormalization

    stock, twin = networks(version, depth, form)
    assert [(v.name, v.shape) for v in twin.trainable_variables] == [
        (v.name, v.shape) for v in stock.trainable_variables
    ]
    fused = sum(type(layer) is FusedBatchNormalization for layer in twin.layers)
    assert fused == {8: 7, 11: 10}[depth]
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 0.25, (32, 32, 32, 3)).astype(np.float32), rng.integers(0, 10, 32)
    start = twin.get_weights()
    np.testing.assert_allclose(twin(x, training=False), stock(x, training=False), atol=1e-6)
    for network in (stock, twin):
        network.compile(
            keras.optimizers.SGD(1.0),
            keras.losses.SparseCategoricalCrossentropy(),
            jit_compile=False,
        )
        network.train_on_batch(x, y)
    for a, b, before in zip(stock.get_weights(), twin.get_weights(), start, strict=True):
        # a last bit that moves an activation across a ReLU's kink changes a gradient's third digit
        assert np.linalg.norm(b - a) < 1e-5 + 1e-2 * np.linalg.norm(a - before)


@pytest.mark.parametrize(
    ("form", "momentum", "epsilon"), [("original", 0.99, 1e-3), ("paper", 0.9, 1e-5)]
)
def test_momentum_and_epsilon_are_those_of_the_form_in_both_networks(
    form: str, momentum: float, epsilon: float
) -> None:
    """Measured on inputs so small that epsilon matters."""
    rng = np.random.default_rng(0)
    x = rng.normal(0.5, 0.01, (16, 32, 32, 16)).astype(np.float32)
    exact = np.asarray(x, np.float64)
    mean, variance = exact.mean((0, 1, 2)), exact.var((0, 1, 2))
    for network in networks(1, 8, form):
        layer = network.layers[2]
        assert "BatchNormalization" in type(layer).__name__
        expected = (exact - mean) / np.sqrt(variance + epsilon)
        np.testing.assert_allclose(layer(x, training=True), expected, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(layer.moving_mean, (1 - momentum) * mean, rtol=1e-4)
        moved = momentum + (1 - momentum) * variance
        np.testing.assert_allclose(layer.moving_variance, moved, rtol=1e-4)
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)
        np.testing.assert_allclose(layer(x, training=False), expected, rtol=1e-3, atol=1e-4)
