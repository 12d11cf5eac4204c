"""The training loop against Keras' own, on the backend that KERAS_BACKEND names; test_jax.py runs this file on JAX."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet import backend, params
from resnet.data import arrays, synthetic
from resnet.errors import BenchmarkError
from resnet.training import draws
from stages.preprocess import preprocess

Settings = Callable[[dict[str, Any]], params.Params]


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> arrays.Split:
    folder = tmp_path_factory.mktemp("synthetic")
    synthetic.write(folder / "source", 330, 110, seed=0)
    preprocess(folder / "source", folder / "arrays", "synthetic", True)
    return arrays.open_split(folder / "arrays" / "train")


def small(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"model.n": 1, "recipes.original.epochs": 2, **(changes or {})}


def trained(
    settings: params.Params,
    split: arrays.Split,
    device: backend.Device,
    seed: int = 0,
    test: arrays.Split | None = None,
    most_steps: int | None = None,
    resident: bool = True,
) -> Any:
    """The run, its epochs, and the weights after each."""
    from resnet import model
    from resnet.training import loop as training

    variant = settings.variant("model")
    network = model.build(variant.network.version, variant.network.depth, l2=variant.recipe.l2)
    run = training.Training(network, variant.recipe, settings.augment, seed, device, most_steps)
    images, held_out = training.select(split, test, settings.train.holdout.fraction, resident)
    epochs, weights = [], []
    for epoch in run.epochs(images, held_out):
        epochs.append(epoch)
        weights.append(network.get_weights())
    return run, epochs, weights


SGD = {
    "recipes.original.optimizer": "sgd",
    "recipes.original.learning_rate": 0.005,
    "recipes.original.momentum": 0.9,
}


@pytest.mark.parametrize(
    ("version", "optimizer", "changes", "most_steps"),
    [
        (1, "adam", {}, 1),
        (2, "adam", {}, 1),
        (1, "sgd", SGD, 1),
        (2, "sgd", SGD, 1),
        (1, "sgd", SGD, 5),
    ],
)
def test_steps_are_keras_own(
    settings: Settings,
    split: arrays.Split,
    device: backend.Device,
    version: int,
    optimizer: str,
    changes: dict[str, Any],
    most_steps: int,
) -> None:
    """An epoch of ours, one step a call or five, gives what Keras' train_on_batch gives: on TensorFlow's CPU the same bits."""
    import keras

    from resnet import model
    from resnet.training import normalization

    still = {
        "augment.shift": 0.0,
        "augment.flip": False,
        "recipes.original.epochs": 1,
        "recipes.original.l2": 1e-2,
        "model.version": version,
    }
    chosen = settings(small({**still, **changes}))
    recipe = chosen.variant("model").recipe
    _, (epoch,), (weights,) = trained(chosen, split, device, most_steps=most_steps)

    reference = model.build(version, chosen.variant("model").network.depth, l2=recipe.l2)
    model.initialize(reference, draws.weights_generator(0))
    twin = normalization.fused(reference)
    twin.set_weights(reference.get_weights())
    kinds = {
        "adam": keras.optimizers.Adam(recipe.learning_rate),
        "sgd": keras.optimizers.SGD(recipe.learning_rate, recipe.momentum),
    }
    twin.compile(
        kinds[optimizer],
        keras.losses.SparseCategoricalCrossentropy(),
        jit_compile=device.backend == "jax",
    )
    losses = []
    for batch in draws.epoch_draws(
        0, 0, np.arange(len(split.images), dtype=np.int32), recipe.batch_size, 0.0, False
    ).order:
        twin.reset_metrics()
        losses.append(twin.train_on_batch(split.images[batch], split.labels[batch]))
    assert len(losses) == 10
    assert epoch.loss == pytest.approx(float(np.mean(losses)), rel=1e-5)
    for variable, ours in zip(twin.weights, weights, strict=True):
        theirs = variable.numpy()
        if device.backend == "tensorflow" and not device.gpu:
            np.testing.assert_array_equal(ours, theirs)
        elif optimizer == "sgd":  # XLA regroups what it fuses, and in a loop otherwise than outside
            np.testing.assert_allclose(
                ours, theirs, atol=1e-4 if device.gpu or most_steps > 1 else 1e-6
            )
        elif not re.search(r"conv2d\w*/bias", variable.path):
            # Ahead of a batch normalization the gradient of a bias is exactly zero: what is left of it is rounding, which Adam scales
            # up to whole steps. The moving means follow those biases, at a hundredth.
            np.testing.assert_allclose(ours, theirs, atol=1e-3 if device.gpu else 1e-5)


def test_images_gathered_ahead_give_the_same_bits(
    settings: Settings, split: arrays.Split, device: backend.Device
) -> None:
    chosen = settings(small({"train.holdout.fraction": 0.2}))
    _, a, weights_a = trained(chosen, split, device)
    _, b, weights_b = trained(chosen, split, device, resident=False)
    assert [epoch[:-1] for epoch in a] == [epoch[:-1] for epoch in b]
    assert all(np.array_equal(x, y) for x, y in zip(weights_a[-1], weights_b[-1], strict=True))


def test_the_number_of_steps_in_a_call(device: backend.Device) -> None:
    from resnet import model
    from resnet.training import loop as training

    assert [training.steps_per_call(1562, most) for most in (1, 21, 51, 71, 9999)] == [
        1,
        11,
        22,
        71,
        1562,
    ]
    assert training.steps_per_call(97, 50) == 1
    network = model.build(1, 20)
    card = backend.Device(
        "a card", gpu=True, backend="jax", float32_products="tf32", deterministic=False
    )
    assert training.steps_at_most(network, 32, card) == 51  # 7.8 GFLOP a step
    assert training.steps_at_most(network, 10**6, card) == 1
    assert training.steps_at_most(network, 32, device) == (
        1 if device.backend == "jax" and not device.gpu else 51
    )


def test_the_same_seed_gives_the_same_bits(
    settings: Settings, split: arrays.Split, device: backend.Device
) -> None:
    chosen = settings(small())
    (_, a, weights_a), (_, b, weights_b) = (trained(chosen, split, device) for _ in range(2))
    assert [epoch[:-1] for epoch in a] == [epoch[:-1] for epoch in b]  # all but the seconds
    assert all(np.array_equal(x, y) for x, y in zip(weights_a[-1], weights_b[-1], strict=True))
    _, other, _ = trained(chosen, split, device, seed=1)
    assert other[-1].loss != a[-1].loss


def test_learns(settings: Settings, split: arrays.Split, device: backend.Device) -> None:
    _, epochs, _ = trained(settings(small({"recipes.original.epochs": 8})), split, device)
    assert [epoch.epoch for epoch in epochs] == list(range(8))
    assert epochs[-1].loss < 0.7 * epochs[0].loss
    assert epochs[-1].accuracy > epochs[0].accuracy + 0.2
    assert all(epoch.seconds > 0 for epoch in epochs)
    assert all(epoch.val_loss is None for epoch in epochs)


def test_held_out_images_are_scored_as_keras_scores_them(
    settings: Settings, split: arrays.Split, device: backend.Device
) -> None:
    import keras

    chosen = settings(small({"train.holdout.fraction": 0.3, "recipes.original.epochs": 1}))
    run, (epoch,), _ = trained(chosen, split, device)
    _, held_out = draws.holdout_indices(len(split.images), 0.3)
    run.model.compile(loss=keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    loss, accuracy = run.model.evaluate(split.images[held_out], split.labels[held_out], verbose=0)
    assert epoch.val_loss == pytest.approx(loss, rel=1e-5)
    assert epoch.val_accuracy == pytest.approx(accuracy)


def test_held_out_images_are_not_trained_on(
    settings: Settings, split: arrays.Split, device: backend.Device
) -> None:
    chosen = settings(small({"train.holdout.fraction": 0.5, "recipes.original.epochs": 1}))
    _, held_out = draws.holdout_indices(len(split.images), 0.5)
    spoiled = np.array(split.images)
    spoiled[held_out] = 1e6
    _, _, a = trained(chosen, split, device)
    _, _, b = trained(chosen, arrays.Split(spoiled, *list(vars(split).values())[1:]), device)
    assert all(np.array_equal(x, y) for x, y in zip(a[0], b[0], strict=True))


def test_plateau_lowers_the_rate_where_something_is_held_out(
    settings: Settings, split: arrays.Split, device: backend.Device
) -> None:
    plateau = {
        "recipes.original.plateau_factor": 0.5,
        "recipes.original.plateau_patience": 1,
        "recipes.original.learning_rate": 1e-12,
    }
    # a rate too small to change anything, so each epoch's loss is a plateau's; the moving statistics settle meanwhile
    changes = {
        "train.holdout.fraction": 0.3,
        "recipes.original.epochs": 4,
        "recipes.original.plateau_min_rate": 0.0,
        **plateau,
    }
    _, epochs, _ = trained(settings(small(changes)), split, device)
    from resnet.training.schedule import plateau_scale

    losses = [epoch.val_loss for epoch in epochs]
    expected = [1e-12 * plateau_scale(losses[:i], 0.5, 1) for i in range(4)]
    assert [epoch.learning_rate for epoch in epochs] == pytest.approx(expected)


def test_the_originals_own_hold_out_is_the_test_set(
    settings: Settings, split: arrays.Split, device: backend.Device
) -> None:
    chosen = settings(
        small(
            {
                "train.holdout.split": "test",
                "train.holdout.fraction": 1,
                "recipes.original.epochs": 1,
            }
        )
    )
    half = arrays.Split(split.images[:100], split.labels[:100], *list(vars(split).values())[2:])
    _, (epoch,), weights = trained(chosen, split, device, test=half)
    _, _, plain = trained(settings(small({"recipes.original.epochs": 1})), split, device)
    assert round(epoch.val_accuracy * 100, 6) % 1 == 0  # of 100 images
    assert all(
        np.array_equal(x, y) for x, y in zip(weights[0], plain[0], strict=True)
    )  # all others train


def test_a_loss_that_is_not_finite_stops_the_run(
    settings: Settings, split: arrays.Split, device: backend.Device
) -> None:
    chosen = settings(
        small({"recipes.original.optimizer": "sgd", "recipes.original.learning_rate": 1e30})
    )
    with pytest.raises(
        BenchmarkError, match=r"loss (nan|inf) in epoch 1, at a learning rate of 1e\+30"
    ):
        trained(chosen, split, device)


def test_too_few_images_for_a_batch(
    settings: Settings, split: arrays.Split, device: backend.Device
) -> None:
    with pytest.raises(BenchmarkError, match="batch_size is 512, but there are only 330 images"):
        trained(settings(small({"recipes.original.batch_size": 512})), split, device)


def test_bfloat16_keeps_weights_statistics_and_softmax_in_float32(
    settings: Settings, split: arrays.Split
) -> None:
    from resnet import model

    device = backend.start("bfloat16")
    try:
        chosen = settings(small())
        run, epochs, _ = trained(chosen, split, device)
        assert {variable.dtype for variable in run.model.variables} == {"float32"}
        kinds = {type(layer).__name__: layer.compute_dtype for layer in run.model.layers}
        assert kinds["Conv2D"] == "bfloat16"
        assert kinds["Dense"] == "float32"
        assert math.isfinite(epochs[-1].loss)
    finally:
        backend.start("float32")
    _, exact, _ = trained(settings(small()), split, device)
    assert epochs[0].loss == pytest.approx(exact[0].loss, rel=0.05)
    assert epochs[0].loss != exact[0].loss
    assert model.build(1, 8).layers[1].compute_dtype == "float32"


def test_checkpoint_is_stock_keras(
    settings: Settings, split: arrays.Split, device: backend.Device, tmp_path: Path
) -> None:
    import keras

    run, _, weights = trained(settings(small()), split, device)
    run.model.save(tmp_path / "last.keras")
    loaded = keras.models.load_model(tmp_path / "last.keras")
    assert all(np.array_equal(x, y) for x, y in zip(weights[-1], loaded.get_weights(), strict=True))
    assert {type(layer).__module__.split(".")[0] for layer in loaded.layers} == {"keras"}
