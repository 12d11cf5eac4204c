"""The output folder of a finished training: checkpoints, history, pixel mean and record."""

import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from resnet.data.arrays import Split
from resnet.files import replaced, sha256, write_json
from resnet.training import checkpoint, history
from resnet.training.history import Epoch
from resnet.training.progress import Progress
from resnet.training.record import (
    BEST,
    HISTORY,
    LAST,
    PIXEL_MEAN,
    RECORD,
    BestOnTest,
    Identity,
    TrainingRecord,
)
from resnet.training.resume import Store
from resnet.training.step import assign


class Output(NamedTuple):
    """A finished training, to be written."""

    identity: Identity
    train_split: Split
    model: keras.Model
    progress: Progress
    seconds: float  # of all starts


def write(output: Output, folder: Path, store: Store) -> float:
    """Write `folder`, which then exists completely or not at all; returns the total seconds.

    A copy is kept in the store until DVC has recorded the folder.
    """
    start = time.perf_counter()
    model, done = output.model, output.progress
    assert done.state
    with replaced(folder) as partial:
        partial.mkdir()
        assign(model, done.state)
        checkpoint.save(model, partial / LAST)
        if done.best_state:
            assign(model, done.best_state)
            checkpoint.save(model, partial / BEST)
        history.write(partial / HISTORY, done.history)
        np.save(partial / PIXEL_MEAN, output.train_split.pixel_mean)
        checkpoint_seconds = time.perf_counter() - start
        total_seconds = output.seconds + checkpoint_seconds
        record = TrainingRecord(
            schema=1,
            identity=output.identity,
            parameter_count=model.count_params(),
            epochs=done.epochs,
            checkpoint=BEST if done.best else LAST,
            checkpoint_epoch=done.best or done.epochs,
            best_on_test=best_on_test(done.history),
            seconds_per_epoch=round(done.seconds_per_epoch, 3),
            total_seconds=round(total_seconds, 3),
            compile_seconds=round(done.compile_seconds, 3),
            checkpoint_seconds=round(checkpoint_seconds, 3),
            peak_memory_mb=output.identity.device.peak_memory_mb(),
            starts=list(done.starts),
            classes=list(output.train_split.classes),
            pixel_mean_sha256=output.train_split.pixel_mean_sha256,
            checkpoints={path.name: sha256(path) for path in sorted(partial.glob("*.keras"))},
        )
        write_json(partial / RECORD, record.model_dump(mode="json", by_alias=True))
        store.keep_result(partial)
    return total_seconds


def best_on_test(epochs: tuple[Epoch, ...]) -> BestOnTest | None:
    """The first epoch with the highest accuracy on the test images; None without watching them."""
    accuracies = [epoch.test_accuracy for epoch in epochs if epoch.test_accuracy is not None]
    if not accuracies:
        return None
    best = max(accuracies)
    return BestOnTest(epoch=accuracies.index(best) + 1, accuracy=best)
