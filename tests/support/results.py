"""Results for the tests: records with plausible values, files in metrics/, and git repositories."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnet.device import Device
from resnet.params import Holdout
from resnet.results.metrics import ClassScore, Evaluation, Results, Run
from resnet.results.recipes import PUBLISHED
from resnet.results.scores import Correct
from resnet.results.store import Store, VariantFiles
from resnet.results.summary import summarize
from resnet.training.record import BestOnTest, Identity, TrainingParameters, TrainingRecord
from resnet.variant import Augment, Network
from scripts.checkout import environment
from stages import report as report_stage
from tests.support.checkout import ROOT
from tests.support.command import call

PUBLISHED_CSV = ROOT / "metrics" / "published.csv"
MODEL = Network(version=1, n=3)
CLASSES = ("cat", "dog")
LAST_EPOCH = Holdout(split="train", fraction=0.0)
HELD_OUT = Holdout(split="train", fraction=0.1)
TEST_SET = Holdout(split="test", fraction=1.0)
VERSIONS = {"python": "3.11.7", "keras": "3.15.1", "tensorflow": "2.21.0", "numpy": "2.4.6"}


def make_parameters(
    network: Network = MODEL,
    recipe: str = "original",
    changes: Mapping[str, Any] | None = None,
    **others: Any,
) -> TrainingParameters:
    """Parameters of a published recipe, with changes to it; `others` are fields of the result."""
    published = PUBLISHED[recipe]
    values: dict[str, Any] = {
        "network": network,
        "recipe": published.recipe.model_copy(update=changes or {}),
        "augment": Augment(shift=0.1, order=0, flip=True),
        "precision": "float32",
        "holdout": LAST_EPOCH,
        "watch": "test",
        "source": "cifar10",
        "subtract_pixel_mean": True,
    }
    return TrainingParameters(**{**values, **others})


def make_device(name: str = "NVIDIA H100 80GB HBM3", **others: Any) -> Device:
    values: dict[str, Any] = {
        "processor": "some processor",
        "gpu": True,
        "backend": "tensorflow",
        "xla": True,
        "float32_products": "float32",
        "deterministic": False,
    }
    return Device(name=name, **{**values, **others})


def make_run(
    variant: str = "model",
    seed: int = 0,
    *,
    parameters: TrainingParameters | None = None,
    accuracy: float = 91.5,
    images: int = 10_000,
    seconds: float = 15.26,
    device: Device | None = None,
    versions: Mapping[str, str] = VERSIONS,
    **others: Any,
) -> Run:
    """A consistent run; `others` are fields of its training record."""
    parameters, device = parameters or make_parameters(), device or make_device()
    errors = round(images * (100 - accuracy) / 100)
    training: dict[str, Any] = {
        "schema": 1,
        "identity": Identity(
            variant=variant,
            seed=seed,
            parameters=parameters,
            code={"stages/train.py": "0" * 64},
            data=["1" * 64],
            device=device,
            versions=dict(versions),
            environment={},
        ),
        "parameter_count": 274442,
        "epochs": parameters.recipe.epochs,
        "checkpoint": "last.keras",
        "checkpoint_epoch": parameters.recipe.epochs,
        "best_on_test": BestOnTest(epoch=150, accuracy=min(accuracy + 0.25, 100.0)),
        "seconds_per_epoch": seconds,
        "total_seconds": 3052.0,
        "compile_seconds": 8.0,
        "checkpoint_seconds": 0.5,
        "peak_memory_mb": 900,
        "starts": [],
        "classes": list(CLASSES),
        "pixel_mean_sha256": "2" * 64,
        "checkpoints": {"last.keras": "3" * 64},
    }
    evaluation = Evaluation(
        accuracy=100 * (images - errors) / images,
        errors=errors,
        loss=0.43,
        nll=0.31 + seed / 100,
        ece=4.2 + seed / 10,
        classes={
            "cat": ClassScore(images=images // 2, errors=errors // 2),
            "dog": ClassScore(images=images - images // 2, errors=errors - errors // 2),
        },
        images=images,
        device=device.name,
        processor=device.processor,
        backend=device.backend,
        float32_products=device.float32_products,
        versions=dict(versions),
    )
    return Run(training=TrainingRecord(**{**training, **others}), evaluation=evaluation)


def make_results(
    variant: str = "model",
    *,
    seeds: int = 3,
    accuracy: float = 91.5,
    accuracies: Sequence[float] | None = None,
    seconds: float | Sequence[float] = 15.26,
    **options: Any,
) -> Results:
    """Results of several seeds; three have a standard deviation of 0.21 by default.

    `options` are those of `make_run` and of `make_parameters`.
    """
    if accuracies is None:
        accuracies = [accuracy + 0.21 * (seed - (seeds - 1) / 2) for seed in range(seeds)]
    times = [seconds] * len(accuracies) if isinstance(seconds, float) else list(seconds)
    known = ("network", "recipe", "changes", *TrainingParameters.model_fields)
    chosen = {key: options.pop(key) for key in known if key in options}
    parameters = make_parameters(**chosen)
    runs = [
        make_run(variant, seed, parameters=parameters, accuracy=value, seconds=time, **options)
        for seed, (value, time) in enumerate(zip(accuracies, times, strict=True))
    ]
    return results_of(runs)


def results_of(runs: Sequence[Run]) -> Results:
    return Results(summarize(runs), tuple(runs))


def make_correct(results: Results, draw: int = 0) -> Correct:
    """Predictions with as many errors as the results say, on images drawn by `draw`."""
    correct = np.ones((len(results.runs), results.images), bool)
    for number, run in enumerate(results.runs):
        order = np.random.default_rng((draw, number)).permutation(results.images)
        correct[number, order[: run.evaluation.errors]] = False
    return correct


def history_text(epochs: int) -> str:
    """A history of that many epochs; its accuracy rises by a point per epoch, from 51 %."""
    rows = [f"{epoch},0.5,{50 + epoch},0.001,15.0" for epoch in range(1, epochs + 1)]
    return "\n".join(["epoch,loss,accuracy,learning_rate,seconds", *rows]) + "\n"


def write_results(root: Path, results: Results, draw: int = 0) -> None:
    """Write all files of a variant below `root`, which is metrics/."""
    variant = results.runs[0].training.identity.variant
    histories = {run.seed: history_text(run.training.epochs) for run in results.runs}
    (cats, missed_cats), (dogs, missed_dogs) = results.class_counts().values()
    counts = np.array([[cats - missed_cats, missed_cats], [missed_dogs, dogs - missed_dogs]])
    files = VariantFiles(results, make_correct(results, draw), counts, CLASSES, histories)
    Store(root).write_variant(variant, files)


def report(
    networks: Mapping[str, Network],
    folder: Path,
    stale: Callable[[str, Results], bool] = lambda _name, _results: False,
) -> str:
    """The tables that the report stage prints, from a folder with the files of metrics/."""
    shutil.copy(PUBLISHED_CSV, folder / "published.csv")
    return report_stage.report(networks, Store(folder), stale)


def review(checkout: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit status and both streams of scripts.review in this process."""
    return call(checkout, "scripts.review", *arguments)


def review_process(
    checkout: Path, *arguments: str, more: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Exit status and both streams of scripts.review in a process, which imports no framework.

    `more` is added to its environment.
    """
    code = (
        "import runpy, sys; sys.argv[0] = 'review'\n"
        "try:\n    runpy.run_module('scripts.review', run_name='__main__')\n"
        "finally:\n    assert not {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=checkout,
        env={**environment(checkout), **(more or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def table_rows(page: str, title: str) -> list[dict[str, str]]:
    """The rows of the Markdown table in the section of that title, column to cell."""
    section = page.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]
