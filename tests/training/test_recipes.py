"""The paper's recipe, trained: its crops, decay, rates and momentum against Keras' own and plain NumPy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet import backend, params
from resnet.data import arrays, synthetic
from resnet.training import draws
from stages.preprocess import preprocess


def test_the_papers_recipe_is_keras_sgd_on_padded_crops(
    settings: Callable[[dict[str, Any]], params.Params], device: backend.Device, tmp_path: Path
) -> None:
    import keras

    from resnet import model
    from resnet.training import loop as training
    from resnet.training import normalization

    synthetic.write(tmp_path / "source", 260, 10, seed=0)
    preprocess(tmp_path / "source", tmp_path / "arrays", "synthetic", True)
    split = arrays.open_split(tmp_path / "arrays" / "train")
    chosen = settings(
        {"train.recipe": "paper", "model.version": 2, "model.n": 1, "model.epochs": 2}
    ).variant("model")
    warm = chosen.recipe.model_copy(update={"warmup": params.Warmup(epochs=1, factor=0.1, depth=0)})
    decay = 1e-2  # a hundred times the paper's, to be seen in four steps
    network = model.build(2, 11, width="paper", l2=warm.l2 * decay / 1e-4, l2_on=warm.l2_on)
    still = params.Augment(shift=0.0, order=0, flip=True)
    epochs = list(
        training.Training(network, warm, still, 0, device).epochs(
            *training.select(split, None, 0.0)
        )
    )
    assert [epoch.learning_rate for epoch in epochs] == pytest.approx([0.01, 0.1])

    reference = normalization.fused(
        model.build(2, 11, width="paper", l2=0.0)
    )  # whose kernels have a test of their own
    model.initialize(reference, draws.weights_generator(0))
    # a step of SGD at rate 1 takes off the gradient itself; momentum, rate and the decay of every parameter are then plain NumPy
    reference.compile(
        keras.optimizers.SGD(1.0),
        keras.losses.SparseCategoricalCrossentropy(),
        jit_compile=device.backend == "jax",
    )
    padded = np.pad(split.images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    velocity: list[Any] = [0.0] * len(reference.trainable_variables)
    for epoch, rate in enumerate((0.01, 0.1)):
        for order, shifts, flips in zip(
            *draws.epoch_draws(0, epoch, np.arange(260, dtype=np.int32), 128, 0.0, True, crop=4),
            strict=True,
        ):
            batch = [
                padded[image, 4 + int(row) : 36 + int(row), 4 + int(column) : 36 + int(column)][
                    :, :: -1 if flip else 1
                ]
                for image, (row, column), flip in zip(order, shifts, flips, strict=True)
            ]
            before = [variable.numpy().copy() for variable in reference.trainable_variables]
            reference.train_on_batch(np.array(batch), split.labels[order])
            for index, (variable, weight) in enumerate(
                zip(reference.trainable_variables, before, strict=True)
            ):
                gradient = weight - variable.numpy() + decay * weight
                velocity[index] = 0.9 * velocity[index] - rate * gradient
                variable.assign(weight + velocity[index])
    for ours, theirs in zip(network.weights, reference.weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=5e-5)
