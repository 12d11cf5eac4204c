"""Accuracy, cross-entropy and confusion counts of one checkpoint on all test images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# keras.config.epsilon(): Keras' crossentropy keeps probabilities that far away from 0 and 1.
EPSILON = 1e-7

Correct = NDArray[np.bool_]  # (seeds, images), whether the predicted class is the true one


@dataclass(frozen=True)
class Score:
    """One checkpoint on all test images."""

    correct: NDArray[np.bool_]  # (n,)
    cross_entropy: float  # mean over the images
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
    true_class = np.clip(normalized[np.arange(n), labels], EPSILON, 1 - EPSILON)
    pairs = np.bincount(labels * classes + predicted, minlength=classes * classes)
    confusion = pairs.reshape(classes, classes)
    return Score(predicted == labels, float(-np.log(true_class).mean()), confusion)
