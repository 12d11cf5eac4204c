"""metrics/results.csv: a row per variant and seed, for whoever computes with the results."""

from collections.abc import Mapping

import pandas as pd

from resnet.results import cells
from resnet.results.metrics import Results
from resnet.results.recipes import recognize
from resnet.schema import Count, Index, NotNegative, Percent, Schema


class Row(Schema):
    """One seed of one variant; the fields are the columns, in order. Times are in seconds."""

    variant: str
    seed: Index
    data: str  # cifar10 or synthetic
    network: str
    form: str  # of the network: original or paper
    holdout: str  # how the epoch was chosen that was evaluated
    recipe: str  # the nearest published one, and how it differs
    epochs: Count
    checkpoint_epoch: Count  # the one that was evaluated
    accuracy: Percent
    nll: NotNegative | None
    ece: Percent | None  # in percent
    loss: NotNegative
    errors: Index
    images: Count
    best_epoch_on_test: Count | None  # None where the test images were not watched
    best_accuracy_on_test: Percent | None
    seconds_per_epoch: NotNegative
    total_seconds: NotNegative
    parameters: Count
    precision: str
    device: str
    backend: str
    keras: str | None  # its version
    stale: bool


def frame(results: Mapping[str, Results]) -> pd.DataFrame:
    """The rows of all results, in their order; an empty cell where a value is None."""
    rows = [row.model_dump() for name, each in results.items() for row in _rows(name, each)]
    # objects, so that a column of whole numbers with an empty cell has no decimal point
    return pd.DataFrame(rows, columns=list(Row.model_fields), dtype=object)


def _rows(variant: str, results: Results) -> list[Row]:
    parameters = results.parameters
    rows = []
    for run in results.runs:
        training, scored, best = run.training, run.evaluation, run.training.best_on_test
        rows.append(
            Row(
                variant=variant,
                seed=run.seed,
                data=parameters.source,
                network=results.network.family,
                form=results.network.form,
                holdout=cells.holdout(parameters.holdout),
                recipe=cells.recipe(recognize(parameters)),
                epochs=training.epochs,
                checkpoint_epoch=training.checkpoint_epoch,
                accuracy=scored.accuracy,
                nll=scored.nll,
                ece=scored.ece,
                loss=scored.loss,
                errors=scored.errors,
                images=scored.images,
                best_epoch_on_test=None if best is None else best.epoch,
                best_accuracy_on_test=None if best is None else best.accuracy,
                seconds_per_epoch=training.seconds_per_epoch,
                total_seconds=training.total_seconds,
                parameters=training.parameter_count,
                precision=parameters.precision,
                device=training.identity.device.name,
                backend=training.identity.device.backend,
                keras=training.identity.versions.get("keras"),
                stale=results.stale,
            )
        )
    return rows
