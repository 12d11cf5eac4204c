from typing import Any

import numpy as np
import pytest

from resnet.results import scores


def answers(n: int) -> tuple[Any, Any]:
    """Random probabilities (n, 10) and labels (n,)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(n, 10)) * 3
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities.astype(np.float32), rng.integers(10, size=n).astype(np.int32)


@pytest.mark.usefixtures("device")
def test_counts_every_image_and_agrees_with_keras() -> None:
    import keras

    probabilities, labels = answers(1237)
    probabilities[5] = 0  # as wrong as possible: the loss must stay finite, as it does in Keras
    probabilities[5, (labels[5] + 1) % 10] = 1
    score = scores.score(probabilities, labels)
    pairs = zip(probabilities, labels, strict=True)
    assert score.errors == sum(int(row.argmax() != label) for row, label in pairs)
    assert score.accuracy == pytest.approx(100 * (1237 - score.errors) / 1237)
    expected = keras.losses.SparseCategoricalCrossentropy()(labels, probabilities)
    assert score.cross_entropy == pytest.approx(float(expected), rel=1e-6)


def test_confusion_counts() -> None:
    probabilities, labels = answers(500)
    expected = np.zeros((10, 10), int)
    for row, label in zip(probabilities, labels, strict=True):
        expected[label, row.argmax()] += 1
    np.testing.assert_array_equal(scores.score(probabilities, labels).confusion, expected)
