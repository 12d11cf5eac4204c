"""How a variant's runs, one per seed, are summarized, and which runs do not belong together."""

import statistics
from collections.abc import Sequence
from typing import Any

from resnet.errors import BenchmarkError
from resnet.results.metrics import Metrics, Run
from resnet.schema import short_repr

LARGEST = 1e9  # of seconds and losses: beyond, a file was edited by hand


def summarize(runs: Sequence[Run]) -> Metrics:
    """A variant's metrics from its runs, one per seed.

    Raises BenchmarkError where the seeds do not belong to one experiment.
    """
    _check_same(runs)
    for run in runs:
        seconds, loss = run.training.seconds_per_epoch, run.evaluation.loss
        if max(seconds, loss) > LARGEST:
            raise BenchmarkError(
                f"seed {run.seed}: seconds_per_epoch {seconds:g} and loss {loss:g}: "
                f"must be at most {LARGEST:g}"
            )
    accuracies = [run.evaluation.accuracy for run in runs]
    return Metrics.model_validate(
        {
            "schema": (2,),
            "accuracy": statistics.mean(accuracies),
            "std": statistics.stdev(accuracies) if len(runs) > 1 else None,
            "seeds": len(runs),
            "loss": statistics.mean(run.evaluation.loss for run in runs),
            "nll": _mean([run.evaluation.nll for run in runs]),
            "ece": _mean([run.evaluation.ece for run in runs]),
            "s/epoch": statistics.median(run.training.seconds_per_epoch for run in runs),
            "parameters": runs[0].training.parameter_count,
        }
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean; None where a seed was evaluated before there was this score."""
    known = [value for value in values if value is not None]
    return statistics.mean(known) if len(known) == len(values) else None


def _check_same(runs: Sequence[Run]) -> None:
    """Every seed must have the same parameters, data and networks; only the seed differs."""
    comparable = [_comparable(run) for run in runs]
    for key, value in comparable[0].items():
        for run, other in zip(runs, comparable, strict=True):
            if other[key] != value:
                raise BenchmarkError(
                    f"the seeds' runs differ in {key}: {short_repr(value)} (seed {runs[0].seed}), "
                    f"{short_repr(other[key])} (seed {run.seed}); "
                    "train the wrong one again with "
                    "`RETRAIN=1 dvc repro --force train@VARIANT-SEED`"
                )
    seeds = [run.seed for run in runs]
    if len(set(seeds)) < len(seeds):
        raise BenchmarkError(f"seeds {', '.join(map(str, seeds))}: each must appear once")


def _comparable(run: Run) -> dict[str, Any]:
    """What must be the same in every run of a variant, by the name that an error message uses."""
    training = run.training
    parameters = training.identity.parameters.model_dump(mode="json")
    recipe, augment = parameters.pop("recipe"), parameters.pop("augment")
    return {
        "variant": training.identity.variant,
        **parameters,
        **{f"recipe.{key}": value for key, value in recipe.items()},
        **{f"augment.{key}": value for key, value in augment.items()},
        "epochs": training.epochs,
        "parameter_count": training.parameter_count,
        "classes": training.classes,
        "pixel_mean_sha256": training.pixel_mean_sha256,
        "data": training.identity.data,
        "test images": run.evaluation.images,
        "test images by class": {
            name: score.images for name, score in (run.evaluation.classes or {}).items()
        },
    }
