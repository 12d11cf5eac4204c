"""One training step and one evaluation step, as pure functions of a state and a batch.

They are written in keras.ops, so TensorFlow and JAX compile the same code. A training step does
what keras.Model's own train_step does to the same batch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops, tree

from resnet.backend import value_and_gradients
from resnet.training import optimizer
from resnet.training.augment import augment
from resnet.variant import Augment, Recipe

Tensor = Any  # a tensor of the backend
TrainStep = Callable[..., tuple["State", "Sums"]]


class State(NamedTuple):
    """All that a step changes, as vectors: a few large operations are faster than many small."""

    weights: Tensor  # (trainable parameters,) float32
    stats: Tensor  # (other parameters,) float32, the moving statistics of batch normalization
    optimizer_state: tuple[Tensor, ...]  # each shaped as weights
    step: Tensor  # () float32, steps done


class Sums(NamedTuple):
    """Running sums over the steps of an epoch. They stay on the device until they are read."""

    loss: Tensor  # () float32, of the steps' mean losses
    correct: Tensor  # () int32, images


def make_train_step(model: keras.Model, recipe: Recipe, augmentation: Augment) -> TrainStep:
    """The training step, from a state and the epoch's sums so far to the next ones.

    images (n, 32, 32, 3) and labels (n,) may be the whole training set; indices (batch,) select the
    batch, shifts (batch, 2) and flips (batch,) are its augmentation.
    """
    crossentropy = keras.losses.SparseCategoricalCrossentropy()
    augments = augmentation.shift > 0 or augmentation.flip or recipe.crop > 0
    order = 0 if recipe.crop else augmentation.order
    trainable = [variable.shape for variable in model.trainable_variables]
    others = [variable.shape for variable in model.non_trainable_variables]

    def step(
        state: State,
        sums: Sums,
        rate: Tensor,
        images: Tensor,
        labels: Tensor,
        indices: Tensor,
        shifts: Tensor,
        flips: Tensor,
    ) -> tuple[State, Sums]:
        x, y = ops.take(images, indices, axis=0), ops.take(labels, indices)
        if augments:
            x = augment(x, shifts, flips, order, padded=recipe.crop > 0)

        def objective(weights: list[Tensor]) -> tuple[Tensor, tuple[list[Tensor], Tensor]]:
            probabilities, stats, penalties = model.stateless_call(
                weights, unpack(state.stats, others), x, training=True, return_losses=True
            )
            return crossentropy(y, probabilities) + sum(penalties), (stats, probabilities)

        loss, (stats, probabilities), gradients = value_and_gradients(
            objective, unpack(state.weights, trainable)
        )
        weights, optimizer_state = optimizer.update(
            recipe.optimizer,
            state.weights,
            pack(gradients),
            state.optimizer_state,
            state.step + 1,
            rate,
            recipe.momentum,
        )
        correct = ops.sum(
            ops.cast(ops.argmax(probabilities, axis=1) == ops.cast(y, "int32"), "int32")
        )
        new = State(weights, pack(stats), optimizer_state, state.step + 1)
        return new, Sums(sums.loss + loss, sums.correct + correct)

    return step


def repeat(step: TrainStep) -> TrainStep:
    """Several steps in one call: as `step`, with a leading axis on indices, shifts and flips."""

    def steps(
        state: State,
        sums: Sums,
        rate: Tensor,
        images: Tensor,
        labels: Tensor,
        indices: Tensor,
        shifts: Tensor,
        flips: Tensor,
    ) -> tuple[State, Sums]:
        def one(i: Tensor, carried: tuple[State, Sums]) -> tuple[State, Sums]:
            return step(*carried, rate, images, labels, indices[i], shifts[i], flips[i])

        length = indices.shape[0]
        if length == 1:
            return one(0, (state, sums))
        return ops.fori_loop(0, length, one, (state, sums))  # type: ignore[no-any-return]

    return steps


def make_eval_step(model: keras.Model) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """The evaluation step: (weights, stats, images, labels, indices) to three sums over the batch.

    They are the cross-entropy, the l2 terms (once, not per image) and the count of correct answers.
    """
    trainable = [variable.shape for variable in model.trainable_variables]
    others = [variable.shape for variable in model.non_trainable_variables]

    def step(
        weights: Tensor, stats: Tensor, images: Tensor, labels: Tensor, indices: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        x, y = ops.take(images, indices, axis=0), ops.take(labels, indices)
        probabilities, _, penalties = model.stateless_call(
            unpack(weights, trainable),
            unpack(stats, others),
            x,
            training=False,
            return_losses=True,
        )
        entropy = ops.sum(keras.losses.sparse_categorical_crossentropy(y, probabilities))
        correct = ops.sum(
            ops.cast(ops.argmax(probabilities, axis=1) == ops.cast(y, "int32"), "int32")
        )
        return entropy, sum(penalties), correct

    return step


def initial_state(model: keras.Model, kind: str) -> State:
    """The state before the first step, from the model's weights, for an optimizer of that kind."""
    weights = pack([variable.value for variable in model.trainable_variables])
    stats = pack([variable.value for variable in model.non_trainable_variables])
    step = ops.convert_to_tensor(0.0, "float32")
    return State(weights, stats, optimizer.initial_state(kind, weights), step)


def to_host(state: State) -> State:
    """A copy of a state as NumPy arrays."""
    return tree.map_structure(  # type: ignore[no-any-return]
        lambda tensor: np.array(ops.convert_to_numpy(tensor)), state
    )


def to_device(state: State) -> State:
    """A state of NumPy arrays as tensors."""
    return tree.map_structure(ops.convert_to_tensor, state)  # type: ignore[no-any-return]


def assign(model: keras.Model, state: State) -> None:
    """Set the model's variables to the weights and statistics of a state."""
    for variables, vector in (
        (model.trainable_variables, state.weights),
        (model.non_trainable_variables, state.stats),
    ):
        values = unpack(vector, [variable.shape for variable in variables])
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def pack(tensors: list[Tensor]) -> Tensor:
    """Tensors of any shapes as one vector."""
    return ops.concatenate([ops.reshape(tensor, (-1,)) for tensor in tensors])


def unpack(vector: Tensor, shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """A vector as tensors of these shapes, in order."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    parts = ops.split(vector, ends.tolist())
    return [ops.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True)]


def zero_sums() -> Sums:
    """The sums before an epoch's first step."""
    return Sums(ops.convert_to_tensor(0.0, "float32"), ops.convert_to_tensor(0, "int32"))
