"""evaluate: a variant's checkpoints, all seeds, on all test images. `python -m stages.evaluate VARIANT`

Writes below metrics/, small enough for git: runs/<variant>.json, predictions/<variant>.txt (a line a seed, a digit an
image, 1 where it is right), plots/history/<variant>/seed<seed>.csv and plots/confusion/<variant>.csv.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from resnet import backend, params
from resnet.data import arrays
from resnet.data.arrays import Split
from resnet.errors import BenchmarkError, run_stage
from resnet.files import read_json, replaced, sha256, write_json
from resnet.results import scores
from resnet.training import history

ARRAYS = Path("data/arrays")
MODELS = Path("models")
METRICS = Path("metrics")
BATCH = 500


def evaluate(
    name: str, seeds: tuple[int, ...], models: Path, test: Split, metrics: Path
) -> dict[str, Any]:
    """Score a variant's chosen checkpoints and write its files; returns what runs/<variant>.json holds.

    Raises BenchmarkError where the folder of a listed seed is missing or not whole; nothing is written then.
    """
    abouts = {seed: read_about(models / name / f"seed{seed}") for seed in seeds}
    histories = {
        seed: history.read(models / name / f"seed{seed}" / "history.csv", about["epochs"])
        for seed, about in abouts.items()
    }
    for seed, about in abouts.items():
        if (about["variant"], about["seed"]) != (name, seed):
            held = f"{about['variant']} with seed {about['seed']}"
            raise BenchmarkError(
                f"{models / name}/seed{seed} holds {held}; run `dvc repro evaluate@{name}`"
            )
        if (about["data"], about["pixel_mean_sha256"]) != (test.source, test.pixel_mean_sha256):
            raise BenchmarkError(
                f"{models / name}/seed{seed} was trained on other data than data/arrays/test holds; run `dvc repro`"
            )
    checkpoints = {
        seed: checkpoint(models / name / f"seed{seed}", about) for seed, about in abouts.items()
    }
    device = backend.start()
    runs, results = [], []
    for seed, about in abouts.items():
        result, penalty = _score(checkpoints[seed], test)
        results.append(result)
        measured = {
            "accuracy": result.accuracy,
            "errors": result.errors,
            "loss": result.cross_entropy + penalty,
        }
        rounding = (
            "" if device.float32_products == "float32" else f" ({device.float32_products} products)"
        )
        place = {"evaluated_on": device.name, "evaluated_with": device.backend + rounding}
        runs.append({**about, **measured, **place, "images": len(result.right)})
        print(
            f"{name} seed {seed}: {result.errors:,} errors on {len(result.right):,} test images, accuracy {result.accuracy:.2f} %"
        )
    summary = scores.summarize(runs)

    lines = ["".join("1" if right else "0" for right in result.right) for result in results]
    confusion = np.sum([result.confusion for result in results], axis=0)
    rows = [
        f"{actual},{predicted},{confusion[i, j]}"
        for i, actual in enumerate(test.classes)
        for j, predicted in enumerate(test.classes)
    ]
    with ExitStack() as stack:  # all is written before anything is replaced
        digits = stack.enter_context(replaced(metrics / "predictions" / f"{name}.txt"))
        digits.write_text("\n".join(lines) + "\n", encoding="utf-8")
        counts = stack.enter_context(replaced(metrics / "plots" / "confusion" / f"{name}.csv"))
        counts.write_text("\n".join(["actual,predicted,images", *rows]) + "\n", encoding="utf-8")
        curves = stack.enter_context(replaced(metrics / "plots" / "history" / name))
        curves.mkdir(parents=True)
        for seed, text in histories.items():
            (curves / f"seed{seed}.csv").write_text(text, encoding="utf-8")
        write_json(metrics / "runs" / f"{name}.json", summary)
    return summary


def read_about(folder: Path) -> dict[str, Any]:
    """What a training says of itself; raises BenchmarkError where it is missing or lacks a key."""
    if not (folder / "training.json").exists():
        raise BenchmarkError(
            f"{folder}: no trained model for this seed; run `dvc repro train@{folder.parent.name}-{folder.name[4:]}`"
        )
    about = read_json(folder / "training.json")
    for key in (
        "variant",
        "seed",
        "network",
        "epochs",
        "checkpoint",
        "data",
        "pixel_mean_sha256",
        "sha256",
        "identity",
    ):
        if key not in about:
            raise BenchmarkError(
                f"{folder}/training.json: {key}: missing; train this seed anew with `dvc repro --force`"
            )
    return about


def checkpoint(folder: Path, about: Mapping[str, Any]) -> Path:
    """The file that a training chose; raises BenchmarkError where it is missing or another than was written with that training.json."""
    path = folder / f"{about['checkpoint']}.keras"
    if not path.exists():
        raise BenchmarkError(
            f"{path}: no such file; run `dvc checkout {folder}`, or train this seed anew with `dvc repro --force`"
        )
    if sha256(path) != about["sha256"].get(path.name):
        raise BenchmarkError(
            f"{path}: damaged, or another's: its SHA-256 is not the one in training.json; run `dvc checkout --force {folder}`"
        )
    return path


def _score(path: Path, test: Split) -> tuple[scores.Score, float]:
    """The checkpoint's score and its l2 terms, whose sum with the cross-entropy is the loss that Keras' evaluate gives."""
    import keras

    try:
        model = keras.models.load_model(
            path, compile=False, safe_mode=True
        )  # a Lambda layer is code
    except MemoryError:
        raise
    except Exception as error:  # a file that is damaged or made to harm can raise anything
        told = next(iter(str(error).splitlines()), type(error).__name__)
        raise BenchmarkError(f"{path}: not a whole Keras checkpoint: {told[:200]}") from error
    probabilities = model.predict(test.images, batch_size=BATCH, verbose=0)
    return scores.score(probabilities, test.labels), float(sum(model.losses))


def main(argv: list[str]) -> None:
    if len(argv) != 1:
        raise SystemExit("usage: python -m stages.evaluate VARIANT")
    settings = params.load()
    settings.variant(argv[0])
    with backend.memory_errors("end what else is using it"):
        evaluate(argv[0], settings.seeds, MODELS, arrays.open_split(ARRAYS / "test"), METRICS)


if __name__ == "__main__":
    run_stage("evaluate", main)
