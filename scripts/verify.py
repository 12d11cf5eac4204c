"""Check that metrics/ contains what the checkpoints in models/ score, by evaluating them again.

The comparison is exact where the evaluation ran on this kind of CPU and backend, and the
environment variables that may change the last bits are those of the training. Elsewhere, and on
a GPU, which may choose other kernels in each process, a seed may differ by 2 errors, also in each
class, by 1e-4 of the loss and of the negative log likelihood, and by as much of the calibration
error as 4 images can change. Times are not checked. It is also a mismatch if a checkpoint was
trained with other code or parameters than those of this checkout, or if the model of
`resnet.pretrained.load` answers differently.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from resnet import backend, params, pretrained
from resnet.data import arrays, cifar10
from resnet.data.arrays import Split
from resnet.device import cpu_processor
from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.params import Params
from resnet.results import stale, trained
from resnet.results.evaluation import predict, score_variant
from resnet.results.metrics import Evaluation, Results, Run
from resnet.results.scores import Correct
from resnet.results.store import Store
from resnet.training.identity import SETTINGS
from resnet.training.record import RECORD, model_folder

OTHER_ERRORS, OTHER_LOSS = 2, 1e-4  # allowed difference on another device or backend
OTHER_PREDICTIONS = 2 * OTHER_ERRORS


def verify(
    variant: str, results: Results, settings: Params, store: Store, test: Split
) -> list[str]:
    """Evaluate the checkpoints that are here; returns a line for each mismatch.

    Raises BenchmarkError where a checkpoint or a file in metrics/ is damaged.
    """
    recorded = store.correct(variant, results)
    here = [run for run in results.runs if model_folder(variant, run.seed).exists()]
    lines = [line for run in here for line in record_mismatches(variant, run, settings, store)]
    files = score_variant(variant, [run.seed for run in here], test)
    for run, row in zip(here, files.correct, strict=True):
        lines += pretrained_mismatches(model_folder(variant, run.seed), row)
    if len(here) == len(results.runs) and all(
        same_place(run, scored.evaluation)
        for run, scored in zip(here, files.results.runs, strict=True)
    ):
        counts = store.confusion(variant, results)["images"].astype(int).tolist()
        if counts != files.confusion.ravel().tolist():
            lines.append(f"{store.confusion_path(variant)}: the checkpoints have other counts")
    rows = {run.seed: row for run, row in zip(results.runs, recorded, strict=True)}
    for run, scored, row in zip(here, files.results.runs, files.correct, strict=True):
        exact = same_place(run, scored.evaluation)
        where = f"{store.provenance_path(variant)}: seed {run.seed}"
        found = score_mismatches(run.evaluation, scored.evaluation, exact)
        lines += [f"{where}: {text}" for text in found]
        where = f"{store.predictions_path(variant)}: seed {run.seed}"
        lines += [f"{where}: {text}" for text in prediction_mismatches(rows[run.seed], row, exact)]
    return lines


def record_mismatches(variant: str, run: Run, settings: Params, store: Store) -> Iterator[str]:
    """How a training's record differs from its copy in metrics/ and from this checkout."""
    folder = model_folder(variant, run.seed)
    record = trained.read_record(variant, run.seed)
    if record != run.training:
        yield f"{store.provenance_path(variant)}: seed {run.seed}: not from {folder / RECORD}"
    for text in stale.differences(variant, record, settings):
        yield f"{folder}: {text}"


def score_mismatches(recorded: Evaluation, scored: Evaluation, exact: bool) -> Iterator[str]:
    """Scores that differ from the recorded ones, by more than is allowed if not `exact`."""
    allowed = {
        "images": 0.0,
        "errors": OTHER_ERRORS,
        "accuracy": 100 * OTHER_ERRORS / recorded.images,
        "loss": OTHER_LOSS,
        "nll": OTHER_LOSS,
        # an image that changes its answer or its bin changes it by at most 2 / images
        "ece": 100 * 2 * OTHER_PREDICTIONS / recorded.images,
    }
    for key, most in allowed.items():
        old, new = getattr(recorded, key), getattr(scored, key)
        if old is None or abs(old - new) > (
            0 if exact else most + 1e-9
        ):  # rounding of a percentage
            yield f"{key} is {old}, but the checkpoint scores {new}"
    before, after = recorded.classes or {}, scored.classes or {}
    for name in dict.fromkeys([*before, *after]):
        pair = (before.get(name), after.get(name))
        old, new = (None if each is None else each.errors for each in pair)
        if old is None or new is None or abs(old - new) > (0 if exact else OTHER_ERRORS):
            yield f"errors of class {name} are {old}, but the checkpoint has {new}"


def prediction_mismatches(recorded: Correct, scored: Correct, exact: bool) -> Iterator[str]:
    """How many predictions (n,) differ from the recorded ones, if too many."""
    if len(recorded) != len(scored):
        yield f"{len(recorded)} predictions, but there are {len(scored)} images"
        return
    different = int(np.sum(recorded != scored))
    if different > (0 if exact else OTHER_PREDICTIONS):
        yield f"{different} of {len(scored)} predictions differ"


def pretrained_mismatches(folder: Path, scored: Correct) -> Iterator[str]:
    """Whether the model of resnet.pretrained answers differently from raw images."""
    images, labels = cifar10.read_split(cifar10.FOLDER, "test")
    answers = predict(pretrained.load(folder), images).argmax(axis=1)
    different = int(np.sum((answers == labels) != scored))
    if different > OTHER_ERRORS:
        yield f"{folder}: resnet.pretrained.load answers {different} images differently"


def without_weights(variant: str, results: Results) -> str:
    """The seeds that have results, but no checkpoint here; empty where there are none."""
    return _seeds(run.seed for run in results.runs if not model_folder(variant, run.seed).exists())


def without_results(variant: str, results: Results | None, seeds: Iterable[int]) -> str:
    """Those of the listed seeds that have a checkpoint here, but no results; empty if none has."""
    found = {run.seed for run in results.runs} if results else set()
    return _seeds(
        seed for seed in seeds if seed not in found and model_folder(variant, seed).exists()
    )


def _seeds(seeds: Iterable[int]) -> str:
    listed = [str(seed) for seed in seeds]
    return f"seed{'s' * (len(listed) > 1)} {', '.join(listed)}" if listed else ""


def same_place(recorded: Run, scored: Evaluation) -> bool:
    """Whether two evaluations must give the same bits: on this kind of CPU, with equal versions.

    And with equal environment variables. The training recorded them; an evaluation does not.
    """
    keys = ("device", "processor", "backend", "float32_products", "versions")
    on_cpu = scored.processor == cpu_processor()
    before = recorded.training.identity.environment
    same_variables = all(before.get(name) == os.environ.get(name) for name in SETTINGS)
    evaluation = recorded.evaluation
    equal = all(getattr(evaluation, key) == getattr(scored, key) for key in keys)
    return on_cpu and same_variables and equal


def main(_arguments: argparse.Namespace) -> None:
    settings, store = params.load(), Store()
    found = {}
    for variant in settings.variants:
        results = store.results(variant)
        if results and any(model_folder(variant, run.seed).exists() for run in results.runs):
            found[variant] = results
    if not found:
        raise BenchmarkError(
            "nothing to verify: no listed variant has both results in metrics/ "
            "and a checkpoint in models/"
        )
    test = arrays.open_split(arrays.FOLDER / "test")
    mismatches = []
    with backend.memory_errors("end other programs that use it"):
        for variant, results in found.items():
            mismatches += verify(variant, results, settings, store, test)
    sys.stdout.flush()  # the scores come before what is wrong with them, also in a pipe
    for line in mismatches:
        print(line, file=sys.stderr)
    if mismatches:
        count = f"{len(mismatches)} mismatch{'es' * (len(mismatches) > 1)}"
        raise BenchmarkError(
            f"{count}; `dvc repro` updates stale results, and `dvc repro --force -s "
            "evaluate@VARIANT` those that this device scores differently"
        )
    print(f"verified: {', '.join(found)}: metrics/ contains what the checkpoints score")
    for variant in settings.variants:
        results = store.results(variant)
        if results and (missing := without_weights(variant, results)):
            print(f"not checked, since models/ lacks the weights: {variant}, {missing}")
        if missing := without_results(variant, results, settings.seeds):
            print(f"not checked, since metrics/ lacks the results: {variant}, {missing}")
    if unlisted := [name for name in store.variants() if name not in settings.variants]:
        print(f"not checked, since params.yaml does not list them: {', '.join(unlisted)}")


if __name__ == "__main__":
    run_stage(main, command_parser("scripts.verify", __doc__))
