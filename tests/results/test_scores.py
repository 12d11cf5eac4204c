import statistics
from typing import Any

import numpy as np
import pytest

from resnet.errors import BenchmarkError
from resnet.results import metrics, scores

pytestmark = pytest.mark.usefixtures("device")


def answers(n: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 10)) * 3
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities.astype(np.float32), rng.integers(10, size=n).astype(np.int32)


def test_counts_every_image_and_agrees_with_keras() -> None:
    import keras

    probabilities, labels = answers(1237)
    probabilities[5] = 0
    probabilities[5, (labels[5] + 1) % 10] = (
        1  # as wrong as can be: Keras keeps the loss finite, and so must we
    )
    score = scores.score(probabilities, labels)
    assert score.errors == sum(
        int(row.argmax() != label) for row, label in zip(probabilities, labels, strict=True)
    )
    assert score.accuracy == pytest.approx(100 * (1237 - score.errors) / 1237)
    expected = keras.losses.SparseCategoricalCrossentropy()(labels, probabilities)
    assert score.cross_entropy == pytest.approx(float(expected), rel=1e-6)


def test_confusion_counts() -> None:
    probabilities, labels = answers(500)
    confusion = scores.score(probabilities, labels).confusion
    expected = np.zeros((10, 10), int)
    for row, label in zip(probabilities, labels, strict=True):
        expected[label, row.argmax()] += 1
    np.testing.assert_array_equal(confusion, expected)


def run(seed: int, accuracy: float, **changes: Any) -> dict[str, Any]:
    same = {
        "network": "ResNet20v1",
        "data": "cifar10",
        "recipe": "original",
        "holdout": "none",
        "parameters": 274442,
    }
    same |= {
        "epochs": 200,
        "recipe_epochs": 200,
        "precision": "float32",
        "images": 10000,
        "loss": 0.4,
        "errors": round(10000 - 100 * accuracy),
    }
    times = {
        "seconds_per_epoch": 10.0 + seed,
        "total_seconds": 2000.0,
        "compile_seconds": 5.0,
        "peak_memory_mb": 900,
    }
    versions = {"keras": "3.15.1", "tensorflow": "2.21.0"}
    where = {
        "device": "some card",
        "backend": "tensorflow",
        "float32_products": "tf32",
        "versions": versions,
    }
    return {
        "seed": seed,
        "accuracy": accuracy,
        "checkpoint": "last",
        "checkpoint_epoch": 199,
        **same,
        **times,
        **where,
        **changes,
    }


def test_summary_over_seeds() -> None:
    accuracies = [92.1, 91.7, 92.6]
    summary = scores.summarize([run(seed, accuracy) for seed, accuracy in enumerate(accuracies)])
    assert summary["accuracy"] == pytest.approx(statistics.mean(accuracies))
    assert summary["accuracy_std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert summary["n"] == 3
    assert summary["errors"] == pytest.approx(np.mean([790, 830, 740]))
    assert summary["seconds_per_epoch"] == 11.0
    assert [one["accuracy"] for one in summary["runs"]] == accuracies
    assert summary["device"] == "some card"


def test_one_seed_has_no_spread() -> None:
    assert scores.summarize([run(0, 92.1)])["accuracy_std"] is None


def test_seeds_trained_in_several_places_say_so() -> None:
    jax = {"device": "another", "backend": "jax", "versions": {"keras": "3.15.1", "jax": "0.10.2"}}
    summary = scores.summarize([run(0, 92.1), run(1, 92.0, **jax)])
    assert summary["device"] == "some card and another"
    parsed = metrics.parse(summary, "runs/model.json")
    assert (parsed.backends, parsed.versions["jax"]) == (["tensorflow", "jax"], "0.10.2")


def test_seeds_of_two_experiments_are_refused() -> None:
    with pytest.raises(BenchmarkError, match=r"differ in epochs: 200 \(seed 0\), 100 \(seed 1\)"):
        scores.summarize([run(0, 92.1), run(1, 92.0, epochs=100)])
