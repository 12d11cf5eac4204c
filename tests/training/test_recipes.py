"""Trainings by the paper's recipe: crops, decay, rates and momentum against Keras and NumPy."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet import backend, params
from resnet.data import arrays
from resnet.device import Device
from resnet.training import draws
from resnet.training.record import model_folder
from resnet.variant import Augment, Warmup
from stages import train as stage
from tests.support.trainings import synthetic_split, train, write_workspace


def test_papers_recipe_is_sgd_on_padded_crops(
    settings: Callable[[dict[str, Any]], params.Params], device: Device, tmp_path: Path
) -> None:
    import keras

    from resnet import model
    from resnet.training import inputs, loop, normalization

    split = synthetic_split(tmp_path, 260)
    changes = {"train.recipe": "paper", "model.version": 2, "model.n": 1, "model.epochs": 2}
    recipe = settings(changes).variant("model").recipe
    recipe = recipe.model_copy(update={"warmup": Warmup(epochs=1, factor=0.1, depth=0)})
    decay = 1e-2  # a hundred times the paper's, to be seen in four steps
    l2 = recipe.l2 * decay / 1e-4
    network = model.build(2, 11, form="paper", l2=l2, l2_on=recipe.l2_on)
    augmentation = Augment(shift=0.0, order=0, flip=True)
    training = loop.Training(network, 11, recipe, augmentation, 0, device)
    epochs = list(training.epochs(inputs.whole(split)))
    rates = [epoch.learning_rate for epoch in epochs]
    np.testing.assert_allclose(rates, [0.01, 0.1])

    # the fused kernels are tested in test_normalization.py
    reference = normalization.fused(model.build(2, 11, form="paper", l2=0.0))
    model.initialize(reference, draws.weights_generator(0))
    # A step of SGD at a rate of 1 subtracts the gradient itself. Momentum, rate and the decay of
    # every parameter are then NumPy.
    reference.compile(
        keras.optimizers.SGD(1.0),
        keras.losses.SparseCategoricalCrossentropy(),
        jit_compile=device.backend == "jax",
    )
    padded = np.pad(split.images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    velocity: list[Any] = [0.0] * len(reference.trainable_variables)
    for epoch, rate in enumerate((0.01, 0.1)):
        drawn = draws.epoch_draws(0, epoch, np.arange(260, dtype=np.int32), 128, 0.0, True, crop=4)
        for order, shifts, flips in zip(*drawn, strict=True):
            batch = []
            for image, (row, column), flip in zip(order, shifts.astype(int), flips, strict=True):
                crop = padded[image, 4 + row : 36 + row, 4 + column : 36 + column]
                batch.append(crop[:, ::-1] if flip else crop)
            variables = reference.trainable_variables
            before = [variable.numpy().copy() for variable in variables]
            reference.train_on_batch(np.array(batch), split.labels[order])
            for i, (variable, weight) in enumerate(zip(variables, before, strict=True)):
                gradient = weight - variable.numpy() + decay * weight
                velocity[i] = 0.9 * velocity[i] - rate * gradient
                variable.assign(weight + velocity[i])
    for actual, expected in zip(network.weights, reference.weights, strict=True):
        # the decay of a scale of batch normalization alone changes it by 1e-3
        np.testing.assert_allclose(actual.numpy(), expected.numpy(), atol=2e-4)


def test_the_stage_trains_what_the_parameters_say(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also seed, held-out images and warm-up, as in a training that is put together here."""
    import keras

    changes = {
        "seeds": [1],
        "train.holdout.fraction": 0.3,
        "model.form": "paper",
        "model.augment": {"flip": False},
        "train.recipe": "paper",
        "recipes.paper.batch_size": 16,
        "recipes.paper.epochs": 2,
        "recipes.paper.warmup": {"epochs": 1, "factor": 0.1, "depth": 8},
        "recipes.paper.l2": 0.05,  # of all parameters, so large that it is seen after few steps
    }
    write_workspace(tmp_path, changes)
    monkeypatch.chdir(tmp_path)
    stage.main(Namespace(variant="model", seed=1))
    actual = keras.models.load_model(model_folder("model", 1) / "last.keras").get_weights()
    split = arrays.open_split(arrays.FOLDER / "train")
    expected = train(params.load(), split, device, seed=1)
    assert [epoch.learning_rate for epoch in expected.epochs] == pytest.approx([0.01, 0.1])
    for weights, others in zip(actual, expected.weights[-1], strict=True):
        np.testing.assert_array_equal(weights, others)


@pytest.mark.usefixtures("bfloat16")  # which restores float32 after the test
def test_the_stage_trains_in_the_precision_of_the_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    backend.start("float32")
    write_workspace(tmp_path, {"train.precision": "bfloat16", "recipes.original.epochs": 1})
    monkeypatch.chdir(tmp_path)
    stage.main(Namespace(variant="model", seed=0))
    network = keras.models.load_model(model_folder("model", 0) / "last.keras")
    dtypes = {type(layer).__name__: layer.compute_dtype for layer in network.layers}
    assert (dtypes["Conv2D"], dtypes["Dense"]) == ("bfloat16", "float32")
