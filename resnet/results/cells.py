"""How results are put into words and numbers, the same way in the tables, plots and reviews."""

import statistics
from collections.abc import Callable, Iterable, Sequence

from resnet.params import Holdout
from resnet.results import notes
from resnet.results.metrics import Results
from resnet.results.notes import BEST, NONE
from resnet.results.recipes import Recognized, Value, recognize
from resnet.variant import Drop, Warmup

LIBRARIES = {"tensorflow": "TensorFlow", "jax": "JAX"}
MARKS: dict[str, tuple[str, Callable[[Results], bool]]] = {  # the line that explains it, and where
    notes.ON_TEST_SET: (notes.ON_TEST, lambda results: results.parameters.holdout.split == "test"),
    notes.NOT_EXACT: (notes.INEXACT, lambda results: not results.exact),
    notes.STALE: (notes.OUTDATED, lambda results: results.stale),
}
FLOAT32_PRODUCTS = {"tf32": "TF32", "float32": "float32"}


def accuracy(results: Results) -> str:
    """An accuracy in percent with its number of seeds, and its spread where there are several."""
    values = [run.evaluation.accuracy for run in results.runs]
    return f"{spread(values)} ({seeds(len(values))})"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The mean over the seeds, and the sample standard deviation where there are several."""
    if not values:
        return NONE
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"


def seeds(count: int) -> str:
    return f"{count} seed{'s' * (count > 1)}"


def device(results: Results) -> str:
    """The device's name, or several names where the seeds were trained on several."""
    return _joined(list(seconds_by_device(results)))


def seconds_by_device(results: Results) -> dict[str, float]:
    """Seconds per epoch by the device's name: the median over the seeds that were trained on it."""
    times: dict[str, list[float]] = {}
    for run in results.runs:
        name, seconds = run.training.identity.device.name, run.training.seconds_per_epoch
        times.setdefault(" ".join(name.split()), []).append(seconds)
    return {name: statistics.median(each) for name, each in times.items()}


def recipe(recognized: Recognized) -> str:
    """The published recipe's name and all values that differ from it.

    Except for the number of epochs, which the tables show separately.
    """
    words = [
        _difference(difference.key, difference.value)
        for difference in recognized.differences
        if difference.key != "epochs"
    ]
    return f"{recognized.name} with {', '.join(words)}" if words else recognized.name


def holdout(value: Holdout) -> str:
    """How the epoch was chosen whose checkpoint is evaluated."""
    if value.split == "test":
        return "best epoch on the test set"
    if value.fraction:
        return f"best epoch on a held-out {value.fraction:g} of the training set"
    return "no hold-out (last epoch)"


def setup(results: Results) -> tuple[str, ...]:
    """What must be known about a result before it is compared with another: a few words each."""
    parameters = results.parameters
    recognized = recognize(parameters)
    return (
        f"recipe {recipe(recognized)}",
        f"{recognized.epochs} epoch{'s' * (recognized.epochs > 1)}",
        holdout(parameters.holdout),
        _libraries(results),
        _precision(results),
    )


def ours(results: Results | None, missing: str = NONE) -> dict[str, str]:
    """The cells of a variant in any of the tables; all `missing` where it has no results."""
    if results is None:
        return dict.fromkeys(("Accuracy %", BEST, "s/epoch", "Device", "Parameters"), missing)
    return {
        "Accuracy %": accuracy(results) + marks(results),
        BEST: spread(results.best_on_test),
        "s/epoch": _joined([_seconds(each) for each in seconds_by_device(results).values()]),
        "Device": device(results),
        "Parameters": f"{results.metrics.parameters:,}",
    }


def marks(results: Results) -> str:
    """The marks of an accuracy that must be read with care, each after a space."""
    return "".join(f" {mark}" for mark, (_, applies) in MARKS.items() if applies(results))


def explained(results: Iterable[Results]) -> list[str]:
    """A line for each of those marks that any of the results has."""
    every = list(results)
    return [text for text, applies in MARKS.values() if any(map(applies, every))]


def _seconds(value: float) -> str:
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"


def _libraries(results: Results) -> str:
    found = [
        f"{LIBRARIES.get(backend, backend)} {_joined(results.versions(backend))}"
        for backend in results.distinct("backend")
    ]
    return f"{_joined(found)}, Keras {_joined(results.versions('keras'))}"


def _precision(results: Results) -> str:
    """The precision, with that of float32 products where it may be another."""
    precision = results.parameters.precision
    products = results.distinct("float32_products")
    if products == ["float32"]:
        return precision
    return f"{precision} ({_joined([FLOAT32_PRODUCTS[name] for name in products])} products)"


def _difference(key: str, value: Value) -> str:
    if isinstance(value, tuple):
        drops = ", ".join(_drop(drop) for drop in value)
        return f"drops {drops}" if value else "no drops"
    if isinstance(value, Warmup):
        return f"warmup {value.epochs}: {value.factor:g}"
    if value is None:
        return f"no {key}"
    if isinstance(value, bool):
        return f"{key} {str(value).lower()}"  # as YAML has it
    return f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"


def _drop(drop: Drop) -> str:
    return f"{drop.epoch}: {drop.factor:g}"


def _joined(values: Sequence[str]) -> str:
    return " and ".join(values)
