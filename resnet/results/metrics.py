"""The records in metrics/ as types, for whoever writes or reads them, and how seeds are averaged.

`Metrics` is metrics/runs/<variant>.json and `Provenance` is metrics/provenance/<variant>.json. The
first follows from the second: `summarize` computes it.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, model_validator

from resnet.errors import BenchmarkError
from resnet.schema import Count, Index, NotNegative, Percent, Schema, short_repr, validate_json
from resnet.training.record import TrainingParameters, TrainingRecord
from resnet.variant import Network


class Metrics(Schema):
    """A variant's results over its seeds: means, except for the median of the times."""

    # In a list, because DVC shows every number and string of the file as a metric, but no lists.
    schema_version: tuple[Literal[1]] = Field(alias="schema")
    accuracy: Percent
    accuracy_std: NotNegative | None  # sample standard deviation over the seeds; null for one seed
    seeds: Count
    loss: NotNegative
    seconds_per_epoch: NotNegative
    parameters: Count

    @model_validator(mode="after")
    def _std_fits_seeds(self) -> Self:
        if (self.accuracy_std is None) != (self.seeds == 1):
            raise ValueError(
                f"accuracy_std is {self.accuracy_std} with seeds {self.seeds}: "
                "must be null for one seed, and a number for more"
            )
        return self


class Evaluation(Schema):
    """One checkpoint's scores on all test images, and where they were computed."""

    accuracy: Percent
    errors: Index
    loss: NotNegative  # cross-entropy plus the l2 terms, as Keras' evaluate returns it
    images: Count
    device: str
    backend: str
    float32_products: str
    versions: dict[str, str]

    @model_validator(mode="after")
    def _accuracy_fits_errors(self) -> Self:
        expected = 100 * (self.images - self.errors) / self.images
        if abs(self.accuracy - expected) > 1e-9:
            raise ValueError(
                f"accuracy is {self.accuracy} with {self.errors} errors on {self.images} images: "
                f"must be {expected}"
            )
        return self


class Run(Schema):
    """One seed: how it was trained, and what its checkpoint scores."""

    training: TrainingRecord
    evaluation: Evaluation

    @property
    def seed(self) -> int:
        return self.training.identity.seed


class Provenance(Schema):
    """A variant's runs, one per seed, with everything that is known about each."""

    schema_version: Literal[1] = Field(alias="schema")
    runs: list[Run] = Field(min_length=1)


@dataclass(frozen=True)
class Results:
    """A variant's results as metrics/ contains them: one record per seed, and their summary."""

    metrics: Metrics
    runs: tuple[Run, ...]
    stale: bool = False  # trained with other code or parameters than those of the checkout

    @property
    def parameters(self) -> TrainingParameters:
        """What the variant was trained with, the same for every seed."""
        return self.runs[0].training.identity.parameters

    @property
    def network(self) -> Network:
        return self.parameters.network

    @property
    def synthetic(self) -> bool:
        return self.parameters.source == "synthetic"

    @property
    def images(self) -> int:
        return self.runs[0].evaluation.images

    @property
    def recorded(self) -> bool:
        """Whether each run's record names the code and the data that it was trained with."""
        identities = [run.training.identity for run in self.runs]
        return all(identity.code and identity.data for identity in identities)

    @property
    def exact(self) -> bool:
        """Whether all weights are those of trainings without a change of conditions."""
        return all(run.training.exact for run in self.runs)

    @property
    def best_on_test(self) -> list[float]:
        """Each seed's accuracy at its best epoch on the test set; empty without watching it."""
        best = [run.training.best_on_test for run in self.runs]
        found = [each.accuracy for each in best if each is not None]
        return found if len(found) == len(best) else []

    def distinct(self, key: str) -> list[str]:
        """The values of a field of the runs' devices, without repetition: seeds may use several."""
        values = [str(getattr(run.training.identity.device, key)) for run in self.runs]
        return list(dict.fromkeys(values))

    def versions(self, library: str) -> list[str]:
        """The versions of a library that the runs were trained with, without repetition."""
        found = [run.training.identity.versions.get(library) for run in self.runs]
        return list(dict.fromkeys(version for version in found if version is not None))


LARGEST = 1e9  # of seconds and losses: beyond, a file was edited by hand

R = TypeVar("R", Metrics, Provenance, TrainingRecord)


def parse(record: type[R], text: str, where: str) -> R:
    """Parse and check the JSON of a record; raises BenchmarkError that starts with `where`.

    Where another version of the benchmark wrote it, the error says only that.
    """
    known = [1] if record is Metrics else 1
    try:
        found = json.loads(text)
    except ValueError:
        found = None  # validate_json says what is wrong
    if isinstance(found, dict) and found.get("schema") != known:
        schema = f"schema is {short_repr(found['schema'])}" if "schema" in found else "no schema"
        raise BenchmarkError(
            f"{where}: {schema}: another version of the benchmark wrote it; "
            f"this one reads {known!r}"
        )
    return validate_json(record, text, where)


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
    return Metrics(
        schema=(1,),
        accuracy=statistics.mean(accuracies),
        accuracy_std=statistics.stdev(accuracies) if len(runs) > 1 else None,
        seeds=len(runs),
        loss=statistics.mean(run.evaluation.loss for run in runs),
        seconds_per_epoch=statistics.median(run.training.seconds_per_epoch for run in runs),
        parameters=runs[0].training.parameter_count,
    )


def _check_same(runs: Sequence[Run]) -> None:
    """Every seed must have the same parameters, data and networks; only the seed differs."""
    comparable = [_comparable(run) for run in runs]
    for key, value in comparable[0].items():
        for run, other in zip(runs, comparable, strict=True):
            if other[key] != value:
                raise BenchmarkError(
                    f"the seeds' runs differ in {key}: {short_repr(value)} (seed {runs[0].seed}), "
                    f"{short_repr(other[key])} (seed {run.seed}); "
                    "train them again with `dvc repro --force`"
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
    }
