"""What one checkpoint scores on all test images, from the probabilities that it gives."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALLEST = float(np.finfo(np.float32).tiny)  # in place of a probability that is 0 in float32
BINS = 15  # of the confidence, as in Guo et al. 2017

Correct = NDArray[np.bool_]  # (seeds, images), whether the predicted class is the true one


@dataclass(frozen=True)
class Score:
    """One checkpoint on all test images."""

    correct: NDArray[np.bool_]  # (n,)
    nll: float  # mean over the images, in nats, without l2 terms
    ece: float  # in percent
    confusion: NDArray[np.int64]  # (classes, classes) counts, actual by predicted

    @property
    def errors(self) -> int:
        return int((~self.correct).sum())

    @property
    def accuracy(self) -> float:
        """In percent."""
        return 100 * (len(self.correct) - self.errors) / len(self.correct)


def score(probabilities: NDArray[np.float32], labels: NDArray[np.int32]) -> Score:
    """Score probabilities (n, classes) against labels (n,).

    Every image counts once: there is no mean of batch means.
    """
    n, classes = probabilities.shape
    predicted = probabilities.argmax(axis=1)
    sums = probabilities.sum(axis=1, keepdims=True, dtype=np.float64)
    normalized = probabilities.astype(np.float64) / sums
    true_class = np.maximum(normalized[np.arange(n), labels], SMALLEST)
    pairs = np.bincount(labels * classes + predicted, minlength=classes * classes)
    correct = predicted == labels
    return Score(
        correct,
        float(-np.log(true_class).mean()),
        100 * calibration_error(normalized.max(axis=1), correct),
        pairs.reshape(classes, classes),
    )


def calibration_error(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """The expected calibration error of predictions (n,) with a confidence from 0 to 1.

    The mean over the images of |accuracy - confidence| of their bin: 15 of equal width, each with
    its upper edge and without its lower one. Guo et al. 2017, arXiv:1706.04599, equation 3.
    """
    edges = np.arange(1, BINS) / BINS
    bins = np.digitize(confidence, edges, right=True)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=BINS)  # times the bin's images
    return float(np.abs(gaps).sum() / len(confidence))
