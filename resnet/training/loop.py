"""The training of one network: the step of step.py over the draws of draws.py, by epochs."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from resnet.backend import compiled
from resnet.device import Device
from resnet.errors import BenchmarkError
from resnet.model import initialize, multiply_adds
from resnet.training.draws import EpochDraws, epoch_draws, weights_generator
from resnet.training.history import Epoch
from resnet.training.inputs import Images
from resnet.training.normalization import fused
from resnet.training.schedule import learning_rate
from resnet.training.step import (
    State,
    Sums,
    assign,
    initial_state,
    make_eval_step,
    make_train_step,
    repeat,
    to_device,
    zero_sums,
)
from resnet.variant import Augment, Recipe

EVALUATION_BATCH = 500


class Training:
    """One run: a model, a recipe and a seed. Iterate over `epochs()`.

    After each epoch the model has the weights so far, and `state` all that the next epoch needs.
    """

    state: State

    def __init__(
        self,
        model: keras.Model,
        depth: int,
        recipe: Recipe,
        augmentation: Augment,
        seed: int,
        device: Device,
        max_steps_per_call: int | None = None,
    ):
        """`depth` is for the warm-up; without max_steps_per_call, a call takes about 2 s."""
        initialize(model, weights_generator(seed))
        self.model, self.depth, self.recipe, self.seed = model, depth, recipe, seed
        self.augmentation = augmentation
        self.max_steps_per_call = max_steps_per_call or default_steps_per_call(
            model, recipe.batch_size, device
        )
        train_step = make_train_step(fused(model), recipe, augmentation)
        self._train_steps = compiled(repeat(train_step), device.xla)
        self._eval_step = compiled(make_eval_step(model), device.xla)
        self.compile_seconds = 0.0

    def epochs(
        self,
        train: Images,
        held_out: Images | None = None,
        test: Images | None = None,
        *,
        done: int = 0,
        state: State | None = None,
        held_out_losses: Sequence[float] = (),
    ) -> Iterator[Epoch]:
        """Train, and yield each epoch as it ends.

        The test images are only scored: no decision depends on them. To resume after `done` epochs,
        pass the state after them and the losses on held-out images so far. Raises BenchmarkError as
        soon as a training loss that is not finite is read.
        """
        recipe = self.recipe
        if len(train.indices) < recipe.batch_size:
            raise BenchmarkError(
                f"batch_size is {recipe.batch_size}, but there are only {len(train.indices)} "
                "images to train on"
            )
        if state is None:
            self.state = initial_state(self.model, recipe.optimizer)
        else:
            self.state = to_device(state)
        assign(self.model, self.state)
        losses = list(held_out_losses)
        if done < recipe.epochs:
            self.compile_seconds = self._compile(train)
        for index in range(done, recipe.epochs):
            rate = learning_rate(recipe, self.depth, index, losses)
            start = time.perf_counter()
            loss, accuracy = self._train_epoch(train, index, rate)
            seconds = round(time.perf_counter() - start, 3)
            assign(self.model, self.state)
            epoch = Epoch(index + 1, loss, accuracy, rate, seconds)
            if held_out:
                entropy, l2_terms, accuracy = self.evaluate(held_out)
                epoch = epoch._replace(val_loss=entropy + l2_terms, val_accuracy=accuracy)
                losses.append(entropy + l2_terms)
            if test:
                if test is not held_out:
                    entropy, _, accuracy = self.evaluate(test)
                epoch = epoch._replace(test_loss=entropy, test_accuracy=accuracy)
            yield epoch

    def evaluate(self, data: Images) -> tuple[float, float, float]:
        """Mean cross-entropy, l2 terms, and accuracy in percent over all images, not augmented."""
        entropy_sum, correct_sum, l2_terms = 0.0, 0, 0.0
        for start in range(0, len(data.indices), EVALUATION_BATCH):
            batch = data.indices[start : start + EVALUATION_BATCH]
            entropy, penalty, correct = self._eval_step(
                self.state.weights, self.state.stats, *data.gather(batch)
            )
            entropy_sum, l2_terms = entropy_sum + float(entropy), float(penalty)
            correct_sum += int(correct)
        count = len(data.indices)
        return entropy_sum / count, l2_terms, 100 * correct_sum / count

    def _train_epoch(self, train: Images, index: int, rate: float) -> tuple[float, float]:
        """All steps of an epoch; returns the mean loss and the accuracy in percent."""
        recipe = self.recipe
        draws = epoch_draws(
            self.seed,
            index,
            train.indices,
            recipe.batch_size,
            self.augmentation.shift,
            self.augmentation.flip,
            recipe.crop,
        )
        steps = len(draws.order)
        length = steps_per_call(steps, self.max_steps_per_call)
        rate_tensor, sums = ops.convert_to_tensor(rate, "float32"), zero_sums()
        done, previous = 0, None
        title = f"epoch {index + 1}/{recipe.epochs}"
        with tqdm(total=steps, desc=title, unit="step", leave=False, disable=None) as bar:
            for call in _prefetch(train, draws, length):
                self.state, sums = self._train_steps(self.state, sums, rate_tensor, *call)
                if previous:  # read the sums of the call before, so that the device never waits
                    done += length
                    loss, accuracy = self._read_metrics(previous, done, index, rate)
                    bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{accuracy:.2f}%", refresh=False)
                    bar.update(length)
                previous = sums
        return self._read_metrics(sums, steps, index, rate)

    def _read_metrics(self, sums: Sums, steps: int, index: int, rate: float) -> tuple[float, float]:
        """Mean loss and accuracy in percent after that many steps; waits for the device."""
        loss = float(sums.loss) / steps
        accuracy = 100 * float(sums.correct) / (steps * self.recipe.batch_size)
        if not np.isfinite(loss):
            raise BenchmarkError(
                f"loss {loss} in epoch {index + 1}, at a learning rate of {rate:g}: "
                "lower learning_rate"
            )
        return loss, accuracy

    def _compile(self, train: Images) -> float:
        """Compile; returns the seconds that the first call takes longer than the second.

        The steps are pure functions, so nothing of either call remains.
        """
        batch_size = self.recipe.batch_size
        length = steps_per_call(len(train.indices) // batch_size, self.max_steps_per_call)
        order = train.indices[: length * batch_size].reshape(length, batch_size)
        shifts, flips = np.zeros((*order.shape, 2), np.float32), np.zeros(order.shape, bool)
        rate, seconds = ops.convert_to_tensor(0.0, "float32"), []
        for _ in range(2):
            start = time.perf_counter()
            _, sums = self._train_steps(
                self.state, zero_sums(), rate, *train.gather(order), shifts, flips
            )
            float(sums.loss)  # wait for the device
            seconds.append(time.perf_counter() - start)
        return max(0.0, seconds[0] - seconds[1])


def default_steps_per_call(model: keras.Model, batch_size: int, device: Device) -> int:
    """The most steps that one call takes within some 2 s, so that signals are handled in time.

    A step takes three times the multiply-adds of its forward pass. 10^11 of them per second are
    assumed, which two CPU cores of 2024 reach; the original's table implies 1.7 to 3.2 times that
    for a GTX 1080 Ti. Under XLA on a CPU it is one, since a loop's body runs on one thread there.
    """
    if device.xla and not device.gpu:
        return 1
    return max(1, int(2e11 / (3 * multiply_adds(model) * batch_size)))


def steps_per_call(steps: int, most: int) -> int:
    """The largest divisor of an epoch's steps that is at most `most`: one length compiles once."""
    return max(length for length in range(1, min(steps, most) + 1) if steps % length == 0)


def _prefetch(data: Images, draws: EpochDraws, length: int) -> Iterator[tuple[Any, ...]]:
    """The arguments of each call of an epoch, `length` steps each.

    A thread gathers the next call's images while the device works on this one.
    """
    parts = [array.reshape(-1, length, *array.shape[1:]) for array in draws]
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(data.gather, parts[0][0])
        for number, (_, shifts, flips) in enumerate(zip(*parts, strict=True), start=1):
            images, labels, order = coming.result()
            if number < len(parts[0]):
                coming = thread.submit(data.gather, parts[0][number])
            yield images, labels, order, shifts, flips
