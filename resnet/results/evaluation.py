"""Scores a variant's checkpoints on all test images: for the evaluate stage, and for verify."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet import backend
from resnet.data.arrays import Split
from resnet.device import versions
from resnet.errors import BenchmarkError
from resnet.results import scores, trained
from resnet.results.metrics import ClassScore, Evaluation, Results, Run
from resnet.results.scores import Score
from resnet.results.store import VariantFiles
from resnet.results.summary import summarize

BATCH = 500


def score_variant(variant: str, seeds: Sequence[int], test: Split) -> VariantFiles:
    """Score the chosen checkpoint of each seed; everything is checked before the first is loaded.

    Raises BenchmarkError where a seed's training is missing, incomplete or of another experiment.
    """
    trainings = [trained.read(variant, seed, test) for seed in seeds]
    device = backend.start()
    runs, found = [], []
    for training in trainings:
        score, loss = _score_checkpoint(training.checkpoint, test)
        evaluation = Evaluation(
            accuracy=score.accuracy,
            errors=score.errors,
            loss=loss,
            nll=score.nll,
            ece=score.ece,
            classes=_by_class(score.confusion, test.classes),
            images=len(test.labels),
            device=device.name,
            processor=device.processor,
            backend=device.backend,
            float32_products=device.float32_products,
            versions=versions(device),
        )
        run = Run(training=training.record, evaluation=evaluation)
        print(
            f"{variant} seed {run.seed}: {evaluation.errors:,} errors on "
            f"{evaluation.images:,} test images, accuracy {evaluation.accuracy:.2f} %, "
            f"negative log likelihood {score.nll:.4f}, calibration error {score.ece:.2f} %"
        )
        runs.append(run)
        found.append(score)
    return VariantFiles(
        Results(summarize(runs), tuple(runs)),
        np.array([score.correct for score in found]),
        np.sum([score.confusion for score in found], axis=0),
        test.classes,
        {run.seed: training.history for run, training in zip(runs, trainings, strict=True)},
    )


def predict(model: Any, images: NDArray[Any]) -> NDArray[np.float32]:
    """Probabilities (n, classes) that a keras.Model gives images (n, h, w, 3)."""
    # Each model is traced once, but TensorFlow counts them as one function that each call traces
    # again, and warns from the fifth model in a process on.
    logger = logging.getLogger("tensorflow")
    logger.addFilter(_not_retracing)
    try:
        return np.asarray(model.predict(images, batch_size=BATCH, verbose=0))
    finally:
        logger.removeFilter(_not_retracing)


def _not_retracing(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in record.getMessage()


def _score_checkpoint(path: Path, test: Split) -> tuple[Score, float]:
    """The checkpoint's score, and its loss: nll plus l2 terms, as Keras' evaluate has."""
    import keras

    try:
        # Safe mode refuses Lambda layers, whose code the file itself contains.
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except MemoryError:
        raise
    except Exception as error:  # a damaged or malicious file can raise anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise BenchmarkError(f"{path}: not a complete Keras checkpoint: {reason[:200]}") from error
    probabilities = predict(model, test.images)
    if not np.isfinite(probabilities).all():
        raise BenchmarkError(f"{path}: its predictions are not finite: lower learning_rate")
    score = scores.score(probabilities, test.labels)
    return score, score.nll + float(sum(model.losses))


def _by_class(confusion: NDArray[np.int64], classes: Sequence[str]) -> dict[str, ClassScore]:
    images = confusion.sum(axis=1)
    errors = images - confusion.diagonal()
    return {
        name: ClassScore(images=int(images[index]), errors=int(errors[index]))
        for index, name in enumerate(classes)
    }
