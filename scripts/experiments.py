"""DVC's experiments as a table of at most 120 columns.

It has a row per variant of the working tree and of HEAD, and one per variant that an experiment has
changed. `dvc exp show` has a column per variant and metric, and one per parameter and dependency,
so it is many screens wide.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.results import markdown
from resnet.results.metrics import Metrics
from resnet.results.notes import NONE
from resnet.results.provenance import WORKSPACE
from resnet.results.store import METRICS
from resnet.schema import validate
from scripts.repository import repository

COLUMNS = ("Experiment", "Variant", "Accuracy %", "Seeds", "NLL", "ECE %", "s/epoch", "Changed")
ALIGN = ("left", "left", "left", "right", "right", "right", "right", "left")
UNCHANGED = "(same metrics)"
WIDTHS = {"Experiment": 18, "Variant": 18, "Changed": 27}


def table(repo: Any) -> str:
    """The working tree, HEAD and the experiments that began at it; `repo` is a dvc.repo.Repo."""
    rows = [row for baseline in repo.experiments.show() for row in _rows(baseline)]
    return markdown.text_table(COLUMNS, rows, ALIGN, WIDTHS)


def _rows(baseline: Any) -> Iterator[tuple[str, ...]]:
    """Each variant of a baseline, then each experiment's variants with other metrics."""
    name = _name(baseline)
    before = _metrics(baseline)
    for variant, metrics in before.items():
        yield name, variant, *_cells(metrics), ""
    for each in baseline.experiments or []:
        experiment = each.revs[0]
        name = _name(experiment)
        if experiment.data is None:
            yield name, "(cannot be read)", *[""] * 6
            continue
        changed = ", ".join(_changes(_parameters(baseline), _parameters(experiment)))
        state = each.executor.state if each.executor else "success"  # or queued, running, ...
        if state != "success":  # the metrics that it has are those of the working tree
            yield name, f"({state})", *[""] * 5, changed
            continue
        after = _metrics(experiment)
        others = {key: value for key, value in after.items() if value != before.get(key)}
        for variant, metrics in others.items():
            yield name, variant, *_cells(metrics), changed
        if not others:
            yield name, UNCHANGED, *[""] * 5, changed


def _name(state: Any) -> str:
    return str(state.name or (state.rev if state.rev == WORKSPACE else state.rev[:7]))


def _metrics(state: Any) -> dict[str, Metrics]:
    """The metrics of a commit by variant; raises BenchmarkError where one cannot be read."""
    name, left_out = _name(state), {"schema": (2,), "std": None}  # a list and a null, by DVC
    if state.data is None:
        raise BenchmarkError(f"{name}: DVC cannot read it: {state.error}")
    return {
        Path(path).stem: validate(Metrics, {**left_out, **each["data"]}, f"{name}: {path}")
        for path, each in state.data.metrics.items()
        if Path(path).parent == METRICS / "runs" and "data" in each
    }


def _parameters(state: Any) -> dict[str, Any]:
    from dvc.utils.flatten import flatten

    return dict(flatten(state.data.params.get("params.yaml", {}).get("data", {})))


def _changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*before, *after]):
        if before.get(key) != after.get(key):
            yield f"{key}={after[key]}" if key in after else f"no {key}"


def _cells(metrics: Metrics) -> tuple[str, ...]:
    spread = "" if metrics.accuracy_std is None else f" ± {metrics.accuracy_std:.2f}"
    return (
        f"{metrics.accuracy:.2f}{spread}",
        str(metrics.seeds),
        NONE if metrics.nll is None else f"{metrics.nll:.4f}",
        NONE if metrics.ece is None else f"{metrics.ece:.2f}",
        f"{metrics.seconds_per_epoch:.1f}",
    )


def main(_arguments: argparse.Namespace) -> None:
    with repository() as repo:
        print(table(repo))


if __name__ == "__main__":
    run_stage(main, command_parser("scripts.experiments", __doc__))
