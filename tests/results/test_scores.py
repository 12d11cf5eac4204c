from typing import Any

import numpy as np
import pytest

from resnet.results import scores


def random_logits(n: int) -> tuple[Any, Any]:
    """Random logits (n, 10) and labels (n,)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(n, 10)) * 3
    return logits, rng.integers(10, size=n).astype(np.int32)


def softmax(logits: Any) -> Any:
    """Probabilities in float32, as a model gives them."""
    return (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)


def answers(n: int) -> tuple[Any, Any]:
    """Random probabilities (n, 10) and labels (n,)."""
    logits, labels = random_logits(n)
    return softmax(logits), labels


@pytest.mark.usefixtures("device")
def test_counts_every_image_and_agrees_with_keras() -> None:
    """From the logits, Keras' loss is exact; from probabilities it takes at least 1e-7."""
    import keras

    logits, labels = random_logits(1237)
    logits[5, labels[5]] -= 60  # a confident, wrong answer
    probabilities = softmax(logits)
    assert 0 < probabilities[5, labels[5]] < 1e-20
    score = scores.score(probabilities, labels)
    pairs = zip(probabilities, labels, strict=True)
    assert score.errors == sum(int(row.argmax() != label) for row, label in pairs)
    assert score.accuracy == pytest.approx(100 * (1237 - score.errors) / 1237)
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)
    assert score.nll == pytest.approx(float(expected), rel=1e-6)


def test_a_probability_of_0_counts_as_the_smallest_in_float32() -> None:
    probabilities = np.array([[0, 1], [0, 1]], np.float32)
    score = scores.score(probabilities, np.array([0, 1], np.int32))
    assert score.nll == pytest.approx(126 * np.log(2) / 2)  # 2^-126


def test_confusion_counts() -> None:
    probabilities, labels = answers(500)
    expected = np.zeros((10, 10), int)
    for row, label in zip(probabilities, labels, strict=True):
        expected[label, row.argmax()] += 1
    np.testing.assert_array_equal(scores.score(probabilities, labels).confusion, expected)


def test_negative_log_likelihood_worked_by_hand() -> None:
    """The example of scikit-learn's log_loss: -(ln .9 + ln .9 + ln .8 + ln .65) / 4 = 0.21616..."""
    probabilities = np.array([[0.1, 0.9], [0.9, 0.1], [0.8, 0.2], [0.35, 0.65]], np.float32)
    labels = np.array([1, 0, 0, 1], np.int32)
    assert scores.score(probabilities, labels).nll == pytest.approx(0.21616187, abs=1e-7)


def test_calibration_error_worked_by_hand() -> None:
    """Six images in three of the fifteen bins, which are 1/15 = 0.0667 wide.

    (0.600, 0.667]: confidences 0.62 and 0.66, one correct: |1 - 1.28| = 0.28
    (0.867, 0.933]: confidences 0.88, 0.90 and 0.92, all correct: |3 - 2.70| = 0.30
    (0.933, 1.000]: confidence 1.00, wrong: |0 - 1.00| = 1.00
    The error is (0.28 + 0.30 + 1.00) / 6 = 0.26333.
    """
    confidence = np.array([0.62, 0.66, 0.88, 0.90, 0.92, 1.00])
    correct = np.array([True, False, True, True, True, False])
    assert scores.calibration_error(confidence, correct) == pytest.approx(1.58 / 6)


def test_a_confidence_on_the_edge_of_two_bins_is_in_the_lower_one() -> None:
    """In (0.533, 0.600] both, 0.54 right and 0.60 wrong make |1 - 1.14|; apart, 0.46 + 0.60."""
    pair, correct = np.array([0.54, 0.60]), np.array([True, False])
    assert scores.calibration_error(pair, correct) == pytest.approx(0.14 / 2)
    above = np.array([0.54, np.nextafter(0.60, 1)])
    assert scores.calibration_error(above, correct) == pytest.approx(1.06 / 2)


def test_calibration_error_agrees_with_a_loop_over_the_bins() -> None:
    """The formula as Guo et al. give it: the sum of |B|/n |acc(B) - conf(B)|."""
    probabilities, labels = answers(2000)
    confidence = [float(row.max()) / float(row.astype(float).sum()) for row in probabilities]
    expected = 0.0
    for low in range(15):
        bin_ = [
            index for index, value in enumerate(confidence) if low / 15 < value <= (low + 1) / 15
        ]
        if bin_:
            accuracy = sum(probabilities[i].argmax() == labels[i] for i in bin_) / len(bin_)
            mean = sum(confidence[i] for i in bin_) / len(bin_)
            expected += len(bin_) / 2000 * abs(accuracy - mean)
    score = scores.score(probabilities, labels)
    assert score.ece == pytest.approx(100 * expected)


@pytest.mark.parametrize(("label", "ece"), [(0, 0.0), (1, 100.0)])
def test_certain_answers(label: int, ece: float) -> None:
    probabilities = np.array([[1, 0]] * 3, np.float32)
    score = scores.score(probabilities, np.array([label] * 3, np.int32))
    assert score.ece == ece
