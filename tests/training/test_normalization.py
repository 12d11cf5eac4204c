"""The fused batch normalization against NumPy in float64, and a network that has it against the stock one."""

import numpy as np
import pytest

from resnet.training import draws

pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_layer_is_the_formula(dtype: str) -> None:
    """Outputs, gradients and moving statistics, of activations that are not centred."""
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
    mean, variance, n = exact.mean((0, 1, 2)), exact.var((0, 1, 2)), exact[..., 0].size
    scale = 1 / np.sqrt(variance + 1e-3)
    normal = (exact - mean) * scale
    upstream = weight * gamma
    wanted = (
        scale
        / n
        * (n * upstream - upstream.sum((0, 1, 2)) - normal * (upstream * normal).sum((0, 1, 2)))
    )
    rough = {"float32": 1e-5, "mixed_bfloat16": 3e-2}[dtype]  # of what leaves the layer
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), normal * gamma + beta, atol=rough)
    np.testing.assert_allclose(tf.cast(gradients[0], tf.float32), wanted, atol=rough)
    np.testing.assert_allclose(
        gradients[1], (weight * normal).sum((0, 1, 2)), atol=1e-4 if dtype == "float32" else 0.2
    )
    np.testing.assert_allclose(
        gradients[2], weight.sum((0, 1, 2)), atol=1e-4 if dtype == "float32" else 0.2
    )
    np.testing.assert_allclose(
        layer.moving_mean, 0.1 * mean, rtol=1e-5
    )  # statistics are float32 in both
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * variance, rtol=1e-5)
    resting = (exact - layer.moving_mean) / np.sqrt(layer.moving_variance + 1e-3) * gamma + beta
    np.testing.assert_allclose(
        tf.cast(layer(inputs, training=False), tf.float32), resting, atol=rough * 3
    )


@pytest.mark.parametrize(("version", "depth"), [(1, 8), (2, 11)])
def test_twin_is_the_stock_network(version: int, depth: int) -> None:
    """Its answers, and the gradients as a step of plain SGD shows them."""
    import keras

    from resnet import model
    from resnet.training import normalization

    stock = model.build(version, depth)
    model.initialize(stock, draws.weights_generator(0))
    twin = normalization.fused(stock)
    assert [variable.shape for variable in twin.trainable_variables] == [
        variable.shape for variable in stock.trainable_variables
    ]
    assert (
        sum(type(layer) is normalization.FusedBatchNormalization for layer in twin.layers)
        == {8: 7, 11: 10}[depth]
    )
    twin.set_weights(stock.get_weights())
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
    for theirs, ours, before in zip(stock.get_weights(), twin.get_weights(), start, strict=True):
        # a last bit that puts an activation on the other side of a ReLU's kink is seen in the gradient's third digit
        assert np.linalg.norm(ours - theirs) < 1e-5 + 1e-2 * np.linalg.norm(theirs - before)
