"""Training against Keras' own, on the backend that KERAS_BACKEND names; JAX is in test_jax.py."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from resnet import params
from resnet.data.arrays import Split
from resnet.device import Device
from resnet.errors import BenchmarkError
from resnet.training import draws
from tests.support.augmentation import generated
from tests.support.checkout import project_params
from tests.support.trainings import SMALL, Trained, first_images, synthetic_split, train

Settings = Callable[[dict[str, Any]], params.Params]

SGD = {
    "recipes.original.optimizer": "sgd",
    "recipes.original.learning_rate": 0.005,
    "recipes.original.momentum": 0.9,
}
AUGMENTED = {**SGD, "augment.shift": 0.1, "augment.flip": True}


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return synthetic_split(tmp_path_factory.mktemp("synthetic"), 330)


@pytest.fixture(scope="module")
def small(split: Split, device: Device, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A training of two epochs. No test changes it."""
    return train(project_params(tmp_path_factory.mktemp("small"), SMALL), split, device)


def assert_same_bits(a: list[Any], b: list[Any]) -> None:
    assert len(a) == len(b)
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("version", "optimizer", "changes", "max_steps_per_call"),
    [
        pytest.param(1, "adam", {}, 1, id="v1-adam"),
        pytest.param(2, "sgd", SGD, 1, id="v2-sgd"),
        pytest.param(1, "sgd", SGD, 5, id="v1-sgd-5-steps-per-call"),
        pytest.param(1, "sgd", {**AUGMENTED, "augment.order": 0}, 1, id="v1-sgd-augmented"),
        pytest.param(1, "sgd", {**AUGMENTED, "augment.order": 1}, 1, id="v1-sgd-interpolated"),
    ],
)
def test_steps_equal_those_of_keras(
    settings: Settings,
    split: Split,
    device: Device,
    version: int,
    optimizer: str,
    changes: dict[str, Any],
    max_steps_per_call: int,
) -> None:
    """An epoch equals Keras' train_on_batch on images that Keras itself has augmented.

    On TensorFlow's CPU it is bit-identical, unless images are interpolated: SciPy is in float64.
    """
    import keras

    from resnet import model
    from resnet.training import normalization

    fixed = {
        "augment.shift": 0.0,
        "augment.flip": False,
        "recipes.original.epochs": 1,
        "recipes.original.l2": 1e-2,
        "model.version": version,
    }
    chosen = settings({**SMALL, **fixed, **changes})
    recipe, augmentation = chosen.variant("model").recipe, chosen.variant("model").augment
    done = train(chosen, split, device, max_steps_per_call=max_steps_per_call)

    reference = model.build(version, chosen.variant("model").network.depth, l2=recipe.l2)
    model.initialize(reference, draws.weights_generator(0))
    twin = normalization.fused(reference)
    twin.set_weights(reference.get_weights())
    initial = {variable.path: variable.numpy().copy() for variable in twin.weights}
    optimizers = {
        "adam": keras.optimizers.Adam(recipe.learning_rate),
        "sgd": keras.optimizers.SGD(recipe.learning_rate, recipe.momentum),
    }
    twin.compile(
        optimizers[optimizer],
        keras.losses.SparseCategoricalCrossentropy(),
        jit_compile=device.backend == "jax",
    )
    drawn = draws.epoch_draws(
        0,
        0,
        np.arange(len(split.images), dtype=np.int32),
        recipe.batch_size,
        augmentation.shift,
        augmentation.flip,
    )
    losses = []
    for batch, shifts, flips in zip(*drawn, strict=True):
        images = generated(split.images[batch], shifts, flips, augmentation.order)
        twin.reset_metrics()
        losses.append(twin.train_on_batch(images, split.labels[batch]))
    assert len(losses) == 10
    assert done.epochs[0].loss == pytest.approx(float(np.mean(losses)), rel=1e-5)
    for variable, actual in zip(twin.weights, done.weights[0], strict=True):
        expected = variable.numpy()
        if device.backend == "tensorflow" and not device.gpu and not augmentation.order:
            np.testing.assert_array_equal(actual, expected)
        elif optimizer == "sgd":  # XLA fuses and regroups, differently inside and outside of a loop
            atol = 1e-4 if device.gpu or max_steps_per_call > 1 else 1e-6
            atol = 5e-4 if augmentation.order else atol  # SciPy interpolates in float64
            np.testing.assert_allclose(actual, expected, atol=atol)
        elif not re.search(r"conv2d\w*/bias|moving_mean", variable.path):
            # Where the exact gradient is zero, as that of a bias before a batch normalization, what
            # is computed is rounding error, which Adam scales up to whole steps. So single weights
            # say little; a whole variable does, but for those biases and the means they are in,
            # which the cases with SGD compare.
            moved = np.linalg.norm(expected - initial[variable.path])
            assert (
                np.linalg.norm(actual - expected) <= (1e-1 if device.gpu else 1e-2) * moved + 1e-5
            )


def test_images_gathered_in_a_thread_give_the_same_bits(
    settings: Settings, split: Split, device: Device
) -> None:
    chosen = settings({**SMALL, "train.holdout.fraction": 0.2})
    a = train(chosen, split, device)
    b = train(chosen, split, device, on_device=False)
    assert [e._replace(seconds=0) for e in a.epochs] == [e._replace(seconds=0) for e in b.epochs]
    assert_same_bits(a.weights[-1], b.weights[-1])


def test_number_of_steps_in_a_call(device: Device) -> None:
    from resnet import model
    from resnet.training import loop

    most = [1, 21, 51, 71, 9999]
    assert [loop.steps_per_call(1562, each) for each in most] == [1, 11, 22, 71, 1562]
    assert loop.steps_per_call(97, 50) == 1
    network = model.build(1, 20)
    gpu = Device("a GPU", "a GPU", True, "jax", True, "tf32", False)
    assert loop.default_steps_per_call(network, 32, gpu) == 51  # of 7.8 GFLOP each
    assert loop.default_steps_per_call(network, 10**6, gpu) == 1
    on_jax_cpu = device.backend == "jax" and not device.gpu
    assert loop.default_steps_per_call(network, 32, device) == (1 if on_jax_cpu else 51)


def test_same_seed_gives_the_same_bits(
    settings: Settings, split: Split, device: Device, small: Trained
) -> None:
    a, b = small, train(settings(SMALL), split, device)
    assert [e._replace(seconds=0) for e in a.epochs] == [e._replace(seconds=0) for e in b.epochs]
    assert_same_bits(a.weights[-1], b.weights[-1])
    other = train(settings(SMALL), split, device, seed=1)
    assert other.epochs[-1].loss != a.epochs[-1].loss


def test_resumed_training_gives_the_same_bits(
    settings: Settings, split: Split, device: Device, small: Trained
) -> None:
    from resnet import model
    from resnet.training import inputs, loop, step

    chosen = settings({**SMALL, "recipes.original.epochs": 3})
    variant = chosen.variant("model")
    recipe = variant.recipe
    whole = train(chosen, split, device)
    saved = step.to_host(small.training.state)
    network = model.build(1, 8, l2=recipe.l2)
    training = loop.Training(network, 8, recipe, variant.augment, 0, device)
    (epoch,) = training.epochs(inputs.whole(split), done=2, state=saved)
    assert epoch._replace(seconds=0) == whole.epochs[2]._replace(seconds=0)
    assert_same_bits(network.get_weights(), whole.weights[2])


def test_learns(settings: Settings, split: Split, device: Device) -> None:
    epochs = train(settings({**SMALL, "recipes.original.epochs": 8}), split, device).epochs
    assert [epoch.epoch for epoch in epochs] == list(range(1, 9))
    assert epochs[-1].loss < 0.7 * epochs[0].loss
    assert epochs[-1].accuracy > epochs[0].accuracy + 20  # percentage points
    assert all(0 <= epoch.accuracy <= 100 and epoch.seconds > 0 for epoch in epochs)
    assert all(epoch.val_loss is None and epoch.test_loss is None for epoch in epochs)


def test_first_epochs_are_warmed_up_in_deep_networks(
    settings: Settings, split: Split, device: Device
) -> None:
    """A shallower one has no warm-up: test_schedule.py."""
    warmup = {"epochs": 1, "factor": 0.1, "depth": 8}
    chosen = settings({**SMALL, "recipes.original.warmup": warmup})
    epochs = train(chosen, first_images(split, 40), device).epochs
    assert [epoch.learning_rate for epoch in epochs] == pytest.approx([1e-4, 1e-3])


def test_loss_that_is_not_finite_stops_the_training(
    settings: Settings, split: Split, device: Device
) -> None:
    rate = {"recipes.original.optimizer": "sgd", "recipes.original.learning_rate": 1e30}
    message = r"^loss (nan|inf) in epoch 1, at a learning rate of 1e\+30: lower learning_rate$"
    with pytest.raises(BenchmarkError, match=message):
        train(settings({**SMALL, **rate}), split, device)


def test_too_few_images_for_a_batch(settings: Settings, split: Split, device: Device) -> None:
    with pytest.raises(BenchmarkError, match="batch_size is 512, but there are only 330 images"):
        train(settings({**SMALL, "recipes.original.batch_size": 512}), split, device)


def test_bfloat16_keeps_weights_statistics_and_softmax_in_float32(
    settings: Settings, split: Split, bfloat16: Device, small: Trained
) -> None:
    from resnet import backend, model

    done = train(settings(SMALL), split, bfloat16)
    assert {variable.dtype for variable in done.training.model.variables} == {"float32"}
    dtypes = {type(layer).__name__: layer.compute_dtype for layer in done.training.model.layers}
    assert dtypes["Conv2D"] == "bfloat16"
    assert dtypes["Dense"] == "float32"
    assert math.isfinite(done.epochs[-1].loss)

    assert done.epochs[0].loss == pytest.approx(small.epochs[0].loss, rel=0.05)
    assert done.epochs[0].loss != small.epochs[0].loss
    backend.start("float32")
    assert model.build(1, 8).layers[1].compute_dtype == "float32"
