"""The training of one network: a pure step, run over an epoch's draws, epoch after epoch."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops, tree
from numpy.typing import NDArray
from tqdm import tqdm

from resnet.backend import Device, compiled, value_and_gradients
from resnet.data.arrays import Split
from resnet.errors import BenchmarkError
from resnet.model import initialize, multiply_adds
from resnet.params import Augment, Recipe
from resnet.training import optimizer
from resnet.training.augment import augment
from resnet.training.draws import EpochDraws, epoch_draws, holdout_indices, weights_generator
from resnet.training.normalization import fused
from resnet.training.schedule import learning_rate, plateau_scale, plateaued, warmed_up

Tensor = Any  # a tensor of the backend
EVALUATION_BATCH = 500


class State(NamedTuple):
    """All that a step changes. Vectors, since a few large operations cost less than many small ones."""

    weights: Tensor  # (trainable parameters,) float32
    stats: (
        Tensor  # (other parameters,) float32, the moving means and variances of batch normalization
    )
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
    """Images (n, 32, 32, 3) and labels (n,), on the device or mapped from the disk, and the indices of those that count."""

    images: Tensor
    labels: Tensor
    indices: NDArray[np.int32]
    resident: bool

    def batches(self, order: NDArray[np.int32]) -> tuple[Tensor, Tensor, NDArray[np.int32]]:
        """Images, labels, and `order`, any shape of indices, as indices into these: all of them, or just the ones gathered for it."""
        if self.resident:
            return self.images, self.labels, order
        images, labels = (
            ops.convert_to_tensor(array[order.ravel()]) for array in (self.images, self.labels)
        )
        return images, labels, np.arange(order.size, dtype=np.int32).reshape(order.shape)


def select(
    train: Split, test: Split | None, fraction: float, resident: bool = True
) -> tuple[Images, Images | None]:
    """The images to train on and those held out: `test` where given, else a fraction of `train`, else None.

    They are put on the device whole where they are `resident`, and gathered ahead of need otherwise.
    """
    kept, held_out = holdout_indices(len(train.images), fraction if test is None else 0.0)
    images = _images(train, kept, resident)
    if test is not None:
        return images, _images(test, np.arange(len(test.images), dtype=np.int32), resident)
    return images, images._replace(indices=held_out) if len(held_out) else None


def _images(split: Split, indices: NDArray[np.int32], resident: bool) -> Images:
    place = ops.convert_to_tensor if resident else lambda array: array
    return Images(place(split.images), place(split.labels), indices, resident)


class Training:
    """One run: the model, its recipe and seed. Iterate over `epochs()`; at each, the model holds the weights so far, and `state` all."""

    state: State

    def __init__(
        self,
        model: keras.Model,
        recipe: Recipe,
        augmentation: Augment,
        seed: int,
        device: Device,
        most_steps: int | None = None,
    ):
        """`most_steps` bounds the steps in one compiled call; None leaves it to `steps_per_call`."""
        initialize(model, weights_generator(seed))
        self.model, self.recipe, self.augmentation, self.seed = model, recipe, augmentation, seed
        self.most_steps = most_steps or steps_at_most(model, recipe.batch_size, device)
        self.steps = compiled(make_steps(make_step(fused(model), recipe, augmentation)), device.gpu)
        self.score = compiled(make_score(model), device.gpu)
        self.compile_seconds = 0.0

    def epochs(
        self,
        train: Images,
        held_out: Images | None,
        *,
        first: int = 0,
        state: State | None = None,
        losses: Sequence[float] = (),
    ) -> Iterator[Epoch]:
        """Train, and yield each epoch as it ends; raises BenchmarkError as soon as a loss is seen that is not finite.

        A run that was interrupted goes on with epoch `first`, from the state before it and the held-out losses until then.
        """
        if len(train.indices) < self.recipe.batch_size:
            raise BenchmarkError(
                f"batch_size is {self.recipe.batch_size}, but there are only {len(train.indices)} images to train on"
            )
        self.state = (
            first_state(self.model, self.recipe.optimizer)
            if state is None
            else tree.map_structure(ops.convert_to_tensor, state)
        )
        assign(self.model, self.state)
        warmup = self.recipe.warmup
        drops = warmed_up(
            [(drop.epoch, drop.factor) for drop in self.recipe.drops], warmup.epochs, warmup.factor
        )
        held_out_losses = list(losses)
        if first < self.recipe.epochs:
            self.compile_seconds = self._compile(self.state, train)
        for epoch in range(first, self.recipe.epochs):
            rate = learning_rate(epoch, self.recipe.learning_rate, drops)
            if held_out:
                scale = plateau_scale(
                    held_out_losses, self.recipe.plateau_factor, self.recipe.plateau_patience
                )
                rate = plateaued(rate, scale, self.recipe.plateau_min_rate)
            start = time.perf_counter()
            self.state, loss, accuracy = self._run_epoch(self.state, train, epoch, rate)
            seconds = time.perf_counter() - start
            assign(self.model, self.state)
            val_loss, val_accuracy = (
                self.evaluate(self.state, held_out) if held_out else (None, None)
            )
            if val_loss is not None:
                held_out_losses.append(val_loss)
            yield Epoch(epoch, rate, loss, accuracy, val_loss, val_accuracy, round(seconds, 3))

    def _run_epoch(
        self, state: State, train: Images, epoch: int, rate: float
    ) -> tuple[State, float, float]:
        """All steps of an epoch; returns the new state, the mean loss and the accuracy."""
        recipe, shift, flip = self.recipe, self.augmentation.shift, self.augmentation.flip
        draws = epoch_draws(
            self.seed, epoch, train.indices, recipe.batch_size, shift, flip, recipe.crop
        )
        steps, length = len(draws.order), steps_per_call(len(draws.order), self.most_steps)
        rate_tensor, sums = ops.convert_to_tensor(rate, "float32"), no_sums()
        done, before = 0, None
        with tqdm(
            total=steps,
            desc=f"epoch {epoch + 1}/{recipe.epochs}",
            unit="step",
            leave=False,
            disable=None,
        ) as bar:
            for call in _ahead(train, draws, length):
                state, sums = self.steps(state, sums, rate_tensor, *call)
                if before:  # look at the call before, so that the device always has the next one
                    done += length
                    loss, accuracy = self._look(before, done, epoch, rate)
                    bar.set_postfix(
                        loss=f"{loss:.3f}", accuracy=f"{100 * accuracy:.2f}%", refresh=False
                    )
                    bar.update(length)
                before = sums
        return state, *self._look(sums, steps, epoch, rate)

    def _look(self, sums: Sums, steps: int, epoch: int, rate: float) -> tuple[float, float]:
        """Mean loss and accuracy after that many steps of an epoch; waits for the device."""
        loss, accuracy = (
            float(sums.loss) / steps,
            float(sums.correct) / (steps * self.recipe.batch_size),
        )
        if not np.isfinite(loss):
            raise BenchmarkError(
                f"loss {loss} in epoch {epoch + 1}, at a learning rate of {rate:g}: lower learning_rate"
            )
        return loss, accuracy

    def evaluate(self, state: State, data: Images) -> tuple[float, float]:
        """Loss, its l2 terms included, and accuracy over all of the images, not augmented."""
        loss, correct = 0.0, 0
        for start in range(0, len(data.indices), EVALUATION_BATCH):
            batch = data.indices[start : start + EVALUATION_BATCH]
            entropy, penalty, right = self.score(state.weights, state.stats, *data.batches(batch))
            loss += float(entropy) + float(penalty) * len(batch)
            correct += int(right)
        return loss / len(data.indices), correct / len(data.indices)

    def _compile(self, state: State, train: Images) -> float:
        """Seconds that the first call takes longer than the second; a call is pure, so nothing of either stays."""
        batch_size = self.recipe.batch_size
        length = steps_per_call(len(train.indices) // batch_size, self.most_steps)
        order = train.indices[: length * batch_size].reshape(length, batch_size)
        still = np.zeros((*order.shape, 2), np.float32), np.zeros(order.shape, bool)
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            _, sums = self.steps(
                state,
                no_sums(),
                ops.convert_to_tensor(0.0, "float32"),
                *train.batches(order),
                *still,
            )
            float(sums.loss)  # wait for the device
            seconds.append(time.perf_counter() - start)
        return max(0.0, seconds[0] - seconds[1])


def steps_at_most(model: keras.Model, batch_size: int, device: Device) -> int:
    """The most steps in one call that end within some 2 s, so that signals are heard.

    A step takes three times the multiply-adds of its forward pass; counted here are 10^11 a second, which two cores of 2024
    reach, and the original's table shows 1.7 to 3.2 times that for a GTX 1080 Ti. One on JAX's CPU, where XLA gives a loop's
    body one thread.
    """
    if device.backend == "jax" and not device.gpu:
        return 1
    return max(1, int(2e11 / (3 * multiply_adds(model) * batch_size)))


def steps_per_call(steps: int, most: int) -> int:
    """The largest divisor of an epoch's steps that is at most `most`: calls of one length are compiled once."""
    return max(length for length in range(1, min(steps, most) + 1) if steps % length == 0)


def _ahead(data: Images, draws: EpochDraws, length: int) -> Iterator[tuple[Any, ...]]:
    """What each call of an epoch takes, `length` steps of it; a thread gathers the next one's images while one is at work."""
    parts = [array.reshape(-1, length, *array.shape[1:]) for array in draws]
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(data.batches, parts[0][0])
        for number, (_, shifts, flips) in enumerate(zip(*parts, strict=True), start=1):
            images, labels, order = coming.result()
            if number < len(parts[0]):
                coming = thread.submit(data.batches, parts[0][number])
            yield images, labels, order, shifts, flips


def make_step(
    model: keras.Model, recipe: Recipe, augmentation: Augment
) -> Callable[..., tuple[State, Sums]]:
    """The training step: (state, sums, rate, images, labels, indices, shifts, flips) to the next (state, sums).

    A pure function, the same on every backend: what keras.Model's own train_step does to the same batch.
    """
    crossentropy = keras.losses.SparseCategoricalCrossentropy()
    moves = augmentation.shift > 0 or augmentation.flip or recipe.crop > 0
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
        if moves:
            x = augment(x, shifts, flips, order, padded=recipe.crop > 0)

        def objective(weights: list[Tensor]) -> tuple[Tensor, tuple[list[Tensor], Tensor]]:
            probabilities, stats, penalties = model.stateless_call(
                weights, unpack(state.stats, others), x, training=True, return_losses=True
            )
            return crossentropy(y, probabilities) + sum(penalties), (stats, probabilities)

        loss, (stats, probabilities), gradients = value_and_gradients(
            objective, unpack(state.weights, trainable)
        )
        weights, memory = optimizer.update(
            recipe.optimizer,
            state.weights,
            pack(gradients),
            state.memory,
            state.step + 1,
            rate,
            recipe.momentum,
        )
        correct = ops.sum(
            ops.cast(ops.argmax(probabilities, axis=1) == ops.cast(y, "int32"), "int32")
        )
        return State(weights, pack(stats), memory, state.step + 1), Sums(
            sums.loss + loss, sums.correct + correct
        )

    return step


def make_steps(step: Callable[..., tuple[State, Sums]]) -> Callable[..., tuple[State, Sums]]:
    """Several steps in one call: as `step`, with a leading axis of steps on the indices, shifts and flips."""

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
        return (
            one(0, (state, sums)) if length == 1 else ops.fori_loop(0, length, one, (state, sums))
        )

    return steps


def make_score(model: keras.Model) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """(weights, stats, images, labels, indices) to the summed cross-entropy, the l2 terms and the number of right answers."""
    trainable = [variable.shape for variable in model.trainable_variables]
    others = [variable.shape for variable in model.non_trainable_variables]

    def score(
        weights: Tensor, stats: Tensor, images: Tensor, labels: Tensor, indices: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        x, y = ops.take(images, indices, axis=0), ops.take(labels, indices)
        probabilities, _, penalties = model.stateless_call(
            unpack(weights, trainable), unpack(stats, others), x, training=False, return_losses=True
        )
        entropy = ops.sum(keras.losses.sparse_categorical_crossentropy(y, probabilities))
        correct = ops.sum(
            ops.cast(ops.argmax(probabilities, axis=1) == ops.cast(y, "int32"), "int32")
        )
        return entropy, sum(penalties), correct

    return score


def first_state(model: keras.Model, kind: str) -> State:
    """The state before the first step, from the model's weights, for an optimizer of that kind."""
    weights = pack([variable.value for variable in model.trainable_variables])
    stats = pack([variable.value for variable in model.non_trainable_variables])
    return State(
        weights, stats, optimizer.slots(kind, weights), ops.convert_to_tensor(0.0, "float32")
    )


def on_host(state: State) -> State:
    """A copy of a state as NumPy arrays."""
    return tree.map_structure(lambda tensor: np.array(ops.convert_to_numpy(tensor)), state)  # type: ignore[no-any-return]


def assign(model: keras.Model, state: State) -> None:
    """Give the model the weights and statistics of a state."""
    for variables, vector in (
        (model.trainable_variables, state.weights),
        (model.non_trainable_variables, state.stats),
    ):
        for variable, value in zip(
            variables, unpack(vector, [variable.shape for variable in variables]), strict=True
        ):
            variable.assign(value)


def pack(tensors: list[Tensor]) -> Tensor:
    """Tensors of any shapes as one vector."""
    return ops.concatenate([ops.reshape(tensor, (-1,)) for tensor in tensors])


def unpack(vector: Tensor, shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """A vector as tensors of these shapes, in order."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    return [
        ops.reshape(part, shape)
        for part, shape in zip(ops.split(vector, ends.tolist()), shapes, strict=True)
    ]


def no_sums() -> Sums:
    return Sums(ops.convert_to_tensor(0.0, "float32"), ops.convert_to_tensor(0, "int32"))
