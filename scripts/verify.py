"""Whether metrics/ holds what the checkpoints that are here really score, each evaluated anew. `make verify`

Exact where the evaluation ran on this backend and device; elsewhere at most 2 errors and 1e-4 of loss apart. Times are not checked.
A checkpoint that other code or other parameters made than the checkout holds is refused: its figures would go by a wrong name.
"""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnet import backend, params
from resnet.data import arrays
from resnet.data.arrays import Split
from resnet.errors import BenchmarkError, run_stage
from resnet.files import read_json
from resnet.params import Params
from resnet.results import metrics
from resnet.training import resume
from stages import evaluate, train

OTHER_ERRORS, OTHER_LOSS = 2, 1e-4  # apart at most, on another backend or device
SUMMARY, RUN = ("accuracy", "accuracy_std", "errors", "loss"), ("accuracy", "errors", "loss")


def verify(
    name: str, settings: Params, models: Path, test: Split, folder: Path
) -> tuple[int, list[str]]:
    """Evaluate those of a variant's checkpoints that are there; returns how many figures were compared, and a line for each that is wrong.

    Raises BenchmarkError where a checkpoint or metrics/runs/<variant>.json is damaged.
    """
    path = folder / "runs" / f"{name}.json"
    told = read_json(path)
    metrics.parse(told, str(path))
    wanted = [run["seed"] for run in told["runs"]]
    seeds = tuple(seed for seed in wanted if (models / name / f"seed{seed}").exists())
    if not seeds:
        print(f"{name}: no checkpoint here")
        return 0, []
    wrong = [
        line for seed in seeds for line in strange(name, settings, models / name / f"seed{seed}")
    ]
    with tempfile.TemporaryDirectory() as scratch:
        found = evaluate.evaluate(name, seeds, models, test, Path(scratch))
        answers = _answers(Path(scratch), name)
    runs = {run["seed"]: run for run in told["runs"]}
    exact = {run["seed"]: _place(runs[run["seed"]]) == _place(run) for run in found["runs"]}
    pairs: list[tuple[str, Any, Any, tuple[str, ...], bool]] = [
        (f"runs.{run['seed']}.", runs[run["seed"]], run, RUN, exact[run["seed"]])
        for run in found["runs"]
    ]
    if len(seeds) == len(wanted):
        pairs.append(("", told, found, SUMMARY, all(exact.values())))
    for prefix, old, new, names, same_place in pairs:
        wrong += [
            f"{path}: {prefix}{figure} is {old[figure]}, but the checkpoints score {new[figure]}"
            for figure in names
            if not agree(figure, old[figure], new[figure], told["images"], exact=same_place)
        ]
    recorded = _answers(folder, name)
    for seed, line in zip(seeds, answers, strict=True):
        old_line = recorded[wanted.index(seed)] if len(recorded) == len(wanted) else ""
        apart = sum(a != b for a, b in zip(old_line, line, strict=False)) + abs(
            len(old_line) - len(line)
        )
        if apart > (0 if exact[seed] else 2 * OTHER_ERRORS):
            wrong.append(
                f"{folder}/predictions/{name}.txt: seed {seed}: {apart} of {len(line)} images are not as the checkpoint answers"
            )
    figures = sum(len(names) for _, _, _, names, _ in pairs) + len(answers)
    tolerance = "" if all(exact.values()) else " within the tolerance, on another backend or device"
    print(f"{name}: {figures} figures compared{tolerance}, {len(wrong)} wrong")
    return figures, wrong


def agree(figure: str, old: float | None, new: float | None, images: int, *, exact: bool) -> bool:
    """Whether two values of a figure over that many images are the same, or near enough where they need not be `exact`."""
    if exact or old is None or new is None:
        return old == new
    allowed = {"errors": OTHER_ERRORS, "loss": OTHER_LOSS}.get(figure, 100 * OTHER_ERRORS / images)
    return abs(old - new) <= allowed + 1e-9


def strange(name: str, settings: Params, folder: Path) -> list[str]:
    """A line for each part of what a checkpoint's training.json says determined it that this checkout has otherwise."""
    about = evaluate.read_about(folder)
    named, here = about["identity"], train.chosen(settings, name)
    lines = (
        [f"{folder}: trained with other parameters than params.yaml has for {name}"]
        if named["parameters"] != here
        else []
    )
    code = resume.code(Path("dvc.yaml"), "train")
    edited = sorted(
        path for path in {**code, **named["code"]} if code.get(path) != named["code"].get(path)
    )
    return lines + (
        [f"{folder}: trained by other code than lies here: {', '.join(edited)}"] if edited else []
    )


def _place(run: Mapping[str, Any]) -> tuple[Any, Any]:
    return run.get("evaluated_on"), run.get("evaluated_with")


def _answers(folder: Path, name: str) -> list[str]:
    """The lines of a predictions file, none where there is no such file."""
    path = folder / "predictions" / f"{name}.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def main(argv: list[str]) -> None:
    if argv:
        raise SystemExit("usage: python -m scripts.verify")
    settings = params.load()
    names = [
        name for name in settings.variants if (evaluate.METRICS / "runs" / f"{name}.json").exists()
    ]
    figures, wrong = 0, list[str]()
    if any((evaluate.MODELS / name).exists() for name in names):
        test = arrays.open_split(evaluate.ARRAYS / "test")
        with backend.memory_errors("end what else is using it"):
            for name in names:
                checked, lines = verify(name, settings, evaluate.MODELS, test, evaluate.METRICS)
                figures, wrong = figures + checked, wrong + lines
    if not figures:
        raise BenchmarkError(
            "nothing to verify: no listed variant has both figures in metrics/runs and a checkpoint in models/"
        )
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong:
        raise BenchmarkError(
            f"{len(wrong)} wrong, of {figures} figures; `dvc repro` makes anew what does not belong together"
        )
    print(f"{figures} figures checked: metrics/ holds what the checkpoints score")


if __name__ == "__main__":
    run_stage("verify", main)
