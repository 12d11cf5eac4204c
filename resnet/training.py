"""The training of one network: a pure step, run over an epoch's draws, epoch after epoch."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray
from tqdm import tqdm

from resnet import optimizer
from resnet.arrays import Split
from resnet.augment import augment
from resnet.backend import Device, compiled, value_and_gradients
from resnet.draws import epoch_draws, holdout_indices, weights_generator
from resnet.errors import BenchmarkError
from resnet.model import initialize
from resnet.params import Augment, Recipe
from resnet.schedule import learning_rate, plateau_scale, plateaued, warmed_up

Tensor = Any  # a tensor of the backend
EVALUATION_BATCH = 500


class State(NamedTuple):
    """All that a step changes. Vectors, since a few large operations cost less than many small ones."""

    weights: Tensor  # (trainable parameters,) float32
    stats: Tensor  # (other parameters,) float32, the moving means and variances of batch normalization
    memory: tuple[Tensor, ...]  # the optimizer's, each shaped as weights
    step: Tensor  # () float32, steps done


class Sums(NamedTuple):
    """Running sums over the steps of an epoch; they stay on the device until somebody looks."""

    loss: Tensor  # () float32, of the steps' mean losses
    correct: Tensor  # () int32, images


class Epoch(NamedTuple):
    """What an epoch did; losses include the l2 terms, as Keras reports them. Epochs count from 0."""

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float  # of 1, on the images as augmented, while the weights moved
    val_loss: float | None  # None where no images are held out
    val_accuracy: float | None
    seconds: float  # of the steps alone: neither compilation nor evaluation


class Images(NamedTuple):
    """Images (n, 32, 32, 3) and labels (n,) on the device, and the indices of those that count."""

    images: Tensor
    labels: Tensor
    indices: NDArray[np.int32]


def select(train: Split, test: Split | None, fraction: float) -> tuple[Images, Images | None]:
    """The images to train on and those held out: `test` where given, else a fraction of `train`, else None."""
    kept, held_out = holdout_indices(len(train.images), fraction if test is None else 0.0)
    images = _on_device(train, kept)
    if test is not None:
        return images, _on_device(test, np.arange(len(test.images), dtype=np.int32))
    return images, images._replace(indices=held_out) if len(held_out) else None


def _on_device(split: Split, indices: NDArray[np.int32]) -> Images:
    return Images(ops.convert_to_tensor(split.images), ops.convert_to_tensor(split.labels), indices)


class Training:
    """One run: the model, its recipe and seed. Iterate over `epochs()`; at each, the model holds the weights so far."""

    def __init__(self, model: keras.Model, recipe: Recipe, augmentation: Augment, seed: int, device: Device):
        initialize(model, weights_generator(seed))
        self.model, self.recipe, self.augmentation, self.seed = model, recipe, augmentation, seed
        self.step = compiled(make_step(model, recipe, augmentation), device.gpu)
        self.score = compiled(make_score(model), device.gpu)
        self.compile_seconds = 0.0

    def epochs(self, train: Images, held_out: Images | None) -> Iterator[Epoch]:
        """Train, and yield each epoch as it ends; raises BenchmarkError as soon as a loss is seen that is not finite."""
        if len(train.indices) < self.recipe.batch_size:
            raise BenchmarkError(f"batch_size is {self.recipe.batch_size}, but there are only {len(train.indices)} images to train on")
        state = first_state(self.model, self.recipe.optimizer)
        warmup = self.recipe.warmup
        drops = warmed_up([(drop.epoch, drop.factor) for drop in self.recipe.drops], warmup.epochs, warmup.factor)
        held_out_losses: list[float] = []
        self.compile_seconds = self._compile(state, train)
        for epoch in range(self.recipe.epochs):
            rate = learning_rate(epoch, self.recipe.learning_rate, drops)
            if held_out:
                scale = plateau_scale(held_out_losses, self.recipe.plateau_factor, self.recipe.plateau_patience)
                rate = plateaued(rate, scale, self.recipe.plateau_min_rate)
            start = time.perf_counter()
            state, loss, accuracy = self._run_epoch(state, train, epoch, rate)
            seconds = time.perf_counter() - start
            assign(self.model, state)
            val_loss, val_accuracy = self.evaluate(state, held_out) if held_out else (None, None)
            if val_loss is not None:
                held_out_losses.append(val_loss)
            yield Epoch(epoch, rate, loss, accuracy, val_loss, val_accuracy, round(seconds, 3))

    def _run_epoch(self, state: State, train: Images, epoch: int, rate: float) -> tuple[State, float, float]:
        """All steps of an epoch; returns the new state, the mean loss and the accuracy."""
        recipe, shift, flip = self.recipe, self.augmentation.shift, self.augmentation.flip
        draws = epoch_draws(self.seed, epoch, train.indices, recipe.batch_size, shift, flip, recipe.crop)
        rate_tensor, sums = ops.convert_to_tensor(rate, "float32"), no_sums()
        steps = len(draws.order)
        looked = time.monotonic()
        with tqdm(total=steps, desc=f"epoch {epoch + 1}/{recipe.epochs}", unit="step", leave=False, disable=None) as bar:
            for number, batch in enumerate(zip(*draws, strict=True), start=1):
                state, sums = self.step(state, sums, train.images, train.labels, rate_tensor, *batch)
                if number == steps or time.monotonic() - looked > 1:
                    looked = time.monotonic()
                    loss, accuracy = float(sums.loss) / number, float(sums.correct) / (number * recipe.batch_size)
                    if not np.isfinite(loss):
                        raise BenchmarkError(f"loss {loss} in epoch {epoch + 1}, at a learning rate of {rate:g}: lower learning_rate")
                    bar.update(number - bar.n)
                    bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{100 * accuracy:.2f}%")
        return state, loss, accuracy

    def evaluate(self, state: State, data: Images) -> tuple[float, float]:
        """Loss, its l2 terms included, and accuracy over all of the images, not augmented."""
        loss, correct = 0.0, 0
        for start in range(0, len(data.indices), EVALUATION_BATCH):
            batch = data.indices[start : start + EVALUATION_BATCH]
            entropy, penalty, right = self.score(state.weights, state.stats, data.images, data.labels, batch)
            loss += float(entropy) + float(penalty) * len(batch)
            correct += int(right)
        return loss / len(data.indices), correct / len(data.indices)

    def _compile(self, state: State, train: Images) -> float:
        """Seconds that the first step takes longer than the second; a step is pure, so nothing of either stays."""
        batch = (train.indices[: self.recipe.batch_size], *_still(self.recipe.batch_size))
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            _, sums = self.step(state, no_sums(), train.images, train.labels, ops.convert_to_tensor(0.0, "float32"), *batch)
            float(sums.loss)  # wait for the device
            seconds.append(time.perf_counter() - start)
        return max(0.0, seconds[0] - seconds[1])


def make_step(model: keras.Model, recipe: Recipe, augmentation: Augment) -> Callable[..., tuple[State, Sums]]:
    """The training step: (state, sums, images, labels, rate, indices, shifts, flips) to the next (state, sums).

    A pure function, the same on every backend: what keras.Model's own train_step does to the same batch.
    """
    crossentropy = keras.losses.SparseCategoricalCrossentropy()
    moves = augmentation.shift > 0 or augmentation.flip or recipe.crop > 0
    order = 0 if recipe.crop else augmentation.order
    trainable = [variable.shape for variable in model.trainable_variables]
    others = [variable.shape for variable in model.non_trainable_variables]

    def step(
        state: State, sums: Sums, images: Tensor, labels: Tensor, rate: Tensor, indices: Tensor, shifts: Tensor, flips: Tensor
    ) -> tuple[State, Sums]:
        x, y = ops.take(images, indices, axis=0), ops.take(labels, indices)
        if moves:
            x = augment(x, shifts, flips, order, padded=recipe.crop > 0)

        def objective(weights: list[Tensor]) -> tuple[Tensor, tuple[list[Tensor], Tensor]]:
            probabilities, stats, penalties = model.stateless_call(
                weights, unpack(state.stats, others), x, training=True, return_losses=True
            )
            return crossentropy(y, probabilities) + sum(penalties), (stats, probabilities)

        loss, (stats, probabilities), gradients = value_and_gradients(objective, unpack(state.weights, trainable))
        weights, memory = optimizer.update(
            recipe.optimizer, state.weights, pack(gradients), state.memory, state.step + 1, rate, recipe.momentum
        )
        correct = ops.sum(ops.cast(ops.argmax(probabilities, axis=1) == ops.cast(y, "int32"), "int32"))
        return State(weights, pack(stats), memory, state.step + 1), Sums(sums.loss + loss, sums.correct + correct)

    return step


def make_score(model: keras.Model) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """(weights, stats, images, labels, indices) to the summed cross-entropy, the l2 terms and the number of right answers."""
    trainable = [variable.shape for variable in model.trainable_variables]
    others = [variable.shape for variable in model.non_trainable_variables]

    def score(weights: Tensor, stats: Tensor, images: Tensor, labels: Tensor, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, y = ops.take(images, indices, axis=0), ops.take(labels, indices)
        probabilities, _, penalties = model.stateless_call(
            unpack(weights, trainable), unpack(stats, others), x, training=False, return_losses=True
        )
        entropy = ops.sum(keras.losses.sparse_categorical_crossentropy(y, probabilities))
        correct = ops.sum(ops.cast(ops.argmax(probabilities, axis=1) == ops.cast(y, "int32"), "int32"))
        return entropy, sum(penalties), correct

    return score


def first_state(model: keras.Model, kind: str) -> State:
    """The state before the first step, from the model's weights, for an optimizer of that kind."""
    weights = pack([variable.value for variable in model.trainable_variables])
    stats = pack([variable.value for variable in model.non_trainable_variables])
    return State(weights, stats, optimizer.slots(kind, weights), ops.convert_to_tensor(0.0, "float32"))


def assign(model: keras.Model, state: State) -> None:
    """Give the model the weights and statistics of a state."""
    for variables, vector in ((model.trainable_variables, state.weights), (model.non_trainable_variables, state.stats)):
        for variable, value in zip(variables, unpack(vector, [variable.shape for variable in variables]), strict=True):
            variable.assign(value)


def pack(tensors: list[Tensor]) -> Tensor:
    """Tensors of any shapes as one vector."""
    return ops.concatenate([ops.reshape(tensor, (-1,)) for tensor in tensors])


def unpack(vector: Tensor, shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """A vector as tensors of these shapes, in order."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    return [ops.reshape(part, shape) for part, shape in zip(ops.split(vector, ends.tolist()), shapes, strict=True)]


def no_sums() -> Sums:
    return Sums(ops.convert_to_tensor(0.0, "float32"), ops.convert_to_tensor(0, "int32"))


def _still(batch_size: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Draws that move nothing."""
    return np.zeros((batch_size, 2), np.float32), np.zeros(batch_size, bool)
