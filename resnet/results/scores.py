"""What a network's answers on the test images are worth: counted image by image, then summed up over the seeds."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet.errors import BenchmarkError

EPSILON = (
    1e-7  # keras.config.epsilon(): Keras' crossentropy keeps probabilities that far from 0 and 1
)


@dataclass(frozen=True)
class Score:
    """One checkpoint over all test images."""

    right: NDArray[np.bool_]  # (n,)
    cross_entropy: float  # mean over the images
    confusion: NDArray[np.int64]  # (classes, classes) counts, actual by predicted

    @property
    def errors(self) -> int:
        return int((~self.right).sum())

    @property
    def accuracy(self) -> float:
        """In percent."""
        return 100 * (len(self.right) - self.errors) / len(self.right)


def score(probabilities: NDArray[np.float32], labels: NDArray[np.int32]) -> Score:
    """Score probabilities (n, classes) against labels (n,); every image counts, there is no mean of batch means."""
    n, classes = probabilities.shape
    predicted = probabilities.argmax(axis=1)
    normalized = probabilities.astype(np.float64) / probabilities.sum(
        axis=1, keepdims=True, dtype=np.float64
    )
    own = np.clip(normalized[np.arange(n), labels], EPSILON, 1 - EPSILON)
    confusion = np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(
        classes, classes
    )
    return Score(predicted == labels, float(-np.log(own).mean()), confusion)


SAME = (
    "network",
    "data",
    "recipe",
    "holdout",
    "parameters",
    "epochs",
    "recipe_epochs",
    "precision",
)  # in every run of a variant
MEDIANS = ("seconds_per_epoch", "total_seconds", "compile_seconds", "peak_memory_mb")


def summarize(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A variant's metrics from those of its runs, one a seed: means, the sample standard deviation, n, and each run.

    Times and memory are medians. Raises BenchmarkError where the runs are not of one experiment.
    """
    for key in SAME:
        if len({run[key] for run in runs}) > 1:
            found = ", ".join(f"{run[key]} (seed {run['seed']})" for run in runs)
            raise BenchmarkError(
                f"the seeds' runs differ in {key}: {found}; train them anew with `dvc repro --force`"
            )
    accuracies = [run["accuracy"] for run in runs]
    return {
        **{key: runs[0][key] for key in ("network", "data", "recipe", "holdout")},
        "accuracy": statistics.mean(accuracies),
        "accuracy_std": statistics.stdev(accuracies) if len(runs) > 1 else None,
        "n": len(runs),
        "errors": statistics.mean(run["errors"] for run in runs),
        "loss": statistics.mean(run["loss"] for run in runs),
        **{key: runs[0][key] for key in ("images", "parameters", "epochs", "recipe_epochs")},
        **{key: statistics.median(run[key] for run in runs) for key in MEDIANS},
        **{
            key: _joined(run[key] for run in runs)
            for key in ("device", "backend", "float32_products")
        },
        "precision": runs[0]["precision"],
        "versions": {
            name: _joined(run["versions"].get(name) for run in runs)
            for name in {n: 0 for run in runs for n in run["versions"]}
        },
        "runs": [{key: run[key] for key in RUN if key in run} for run in runs],
    }


RUN_PLACE = ("device", "backend", "float32_products", "deterministic")
RUN = (
    "seed",
    "accuracy",
    "errors",
    "loss",
    "checkpoint",
    "checkpoint_epoch",
    *MEDIANS,
    *RUN_PLACE,
    "evaluated_on",
    "evaluated_with",
)


def _joined(values: Any) -> str:
    """The distinct values, in order: runs of one variant may have run in different places."""
    return " and ".join(dict.fromkeys(str(value) for value in values if value is not None))
