"""The records in metrics/ as types, for whoever writes or reads them.

`Metrics` is metrics/runs/<variant>.json and `Provenance` is metrics/provenance/<variant>.json. The
first follows from the second: see summary.py. Both have schema 2. Schema 1 is read, too:
it lacks the negative log likelihood, the calibration error and the scores by class.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AliasChoices, Field, model_validator

from resnet.errors import BenchmarkError
from resnet.schema import Count, Index, NotNegative, Percent, Schema, short_repr, validate_json
from resnet.training.record import TrainingParameters, TrainingRecord
from resnet.variant import Network


class Metrics(Schema):
    """A variant's results over its seeds: means, except for the median of the times.

    DVC shows each key as a column, so the keys are short: two variants fit in 120 characters.
    """

    # In a list, because DVC shows every number and string of the file as a metric, but no lists.
    schema_version: tuple[Literal[1, 2]] = Field(alias="schema")
    accuracy: Percent
    # sample standard deviation of the accuracy over the seeds; null for one seed
    accuracy_std: NotNegative | None = Field(
        alias="std",
        validation_alias=AliasChoices("std", "accuracy_std"),  # as in schema 1
    )
    seeds: Count
    loss: NotNegative  # the negative log likelihood plus the l2 terms
    nll: NotNegative | None = None
    ece: Percent | None = None
    seconds_per_epoch: NotNegative = Field(
        alias="s/epoch", validation_alias=AliasChoices("s/epoch", "seconds_per_epoch")
    )
    parameters: Count

    @model_validator(mode="after")
    def _std_fits_seeds(self) -> Self:
        if (self.accuracy_std is None) != (self.seeds == 1):
            raise ValueError(
                f"std is {self.accuracy_std} with seeds {self.seeds}: "
                "must be null for one seed, and a number for more"
            )
        return self


class ClassScore(Schema):
    """One checkpoint's errors on the test images of a class."""

    images: Index
    errors: Index

    @property
    def accuracy(self) -> float | None:
        """In percent; None where the class has no test image."""
        return 100 * (self.images - self.errors) / self.images if self.images else None


class Evaluation(Schema):
    """One checkpoint's scores on all test images, and where they were computed."""

    accuracy: Percent
    errors: Annotated[Index, Field(le=10**9)]  # more would not fit into a float
    loss: NotNegative  # nll plus the l2 terms, as Keras' evaluate returns it
    nll: NotNegative | None = None  # negative log likelihood, mean over the images, in nats
    ece: Percent | None = None  # expected calibration error: see scores.py
    classes: dict[str, ClassScore] | None = None
    images: Count
    device: str
    processor: str | None = None  # as in the identity of a training: a device's name can be several
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

    @model_validator(mode="after")
    def _classes_add_up(self) -> Self:
        for key in ("images", "errors") if self.classes is not None else ():
            total = sum(getattr(each, key) for each in (self.classes or {}).values())
            if total != getattr(self, key):
                raise ValueError(f"{key} of all classes are {total}: must be {getattr(self, key)}")
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

    schema_version: Literal[1, 2] = Field(alias="schema")
    runs: list[Run] = Field(min_length=1)

    @model_validator(mode="after")
    def _scores_fit_schema(self) -> Self:
        for index, run in enumerate(self.runs):
            for key in ("nll", "ece", "classes") if self.schema_version == 2 else ():
                if getattr(run.evaluation, key) is None:
                    raise ValueError(f"runs.{index}.evaluation.{key}: missing")
        return self


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

    def scores(self, key: Literal["nll", "ece"]) -> list[float]:
        """Each seed's score; empty where a seed was evaluated before there was this score."""
        found = [getattr(run.evaluation, key) for run in self.runs]
        return [] if None in found else found

    def class_counts(self) -> dict[str, tuple[int, int]]:
        """Images and errors of all seeds, by class; empty where a seed has none by class."""
        found = dict[str, tuple[int, int]]()
        for run in self.runs:
            if run.evaluation.classes is None:
                return {}
            for name, each in run.evaluation.classes.items():
                images, errors = found.get(name, (0, 0))
                found[name] = (images + each.images, errors + each.errors)
        return found

    def class_accuracies(self) -> dict[str, list[float]]:
        """Each seed's accuracy in percent, by class; without classes that have no test image."""
        found = dict[str, list[float]]()
        for run in self.runs:
            for name, score in (run.evaluation.classes or {}).items():
                if score.accuracy is not None:
                    found.setdefault(name, []).append(score.accuracy)
        return found

    def distinct(self, key: str) -> list[str]:
        """The values of a field of the runs' devices, without repetition: seeds may use several."""
        values = [str(getattr(run.training.identity.device, key)) for run in self.runs]
        return list(dict.fromkeys(values))

    def versions(self, library: str) -> list[str]:
        """The versions of a library that the runs were trained with, without repetition."""
        found = [run.training.identity.versions.get(library) for run in self.runs]
        return list(dict.fromkeys(version for version in found if version is not None))


AllResults = Mapping[str, Results]  # by variant

R = TypeVar("R", Metrics, Provenance, TrainingRecord)


def parse(record: type[R], text: str, where: str) -> R:
    """Parse and check the JSON of a record; raises BenchmarkError that starts with `where`.

    Where another version of the benchmark wrote it, the error says only that.
    """
    known: list[Any] = [1] if record is TrainingRecord else [1, 2]
    if record is Metrics:
        known = [[version] for version in known]
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None  # validate_json says what is wrong
    if isinstance(found, dict) and found.get("schema") not in known:
        schema = f"schema is {short_repr(found['schema'])}" if "schema" in found else "no schema"
        raise BenchmarkError(
            f"{where}: {schema}: another version of the benchmark wrote it; "
            f"this one reads {' and '.join(map(str, known))}"
        )
    return validate_json(record, text, where)
