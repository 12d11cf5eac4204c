"""train: one variant with one seed, to models/<variant>/seed<seed>/. `python -m stages.train VARIANT SEED`

The folder gets last.keras; best.keras where images are held out; history.csv, a row an epoch; training.json.
"""

import csv
import os
import statistics
import time
from pathlib import Path
from typing import Any

from resnet import arrays, backend, params
from resnet.arrays import Split
from resnet.errors import BenchmarkError, run_stage
from resnet.files import replaced, write_json
from resnet.params import Params

ARRAYS = Path("data/arrays")
MODELS = Path("models")


def train(settings: Params, name: str, seed: int, arrays_folder: Path, folder: Path) -> None:
    """Train the variant of that name and write its folder, which is there whole or not at all."""
    variant = settings.variant(name)
    train_split, test_split = _open(settings, arrays_folder)
    resident, most_steps = backend.flag("IMAGES_ON_DEVICE", default=True), _most_steps()
    device = backend.start(settings.train.precision)
    from resnet import model as networks  # these import Keras: seconds, and only once all else is known to be well
    from resnet import training

    network, recipe = variant.network, variant.recipe
    classes = len(train_split.classes)
    model = networks.build(network.version, network.depth, width=network.width, classes=classes, l2=recipe.l2, l2_on=recipe.l2_on)
    print(f"{network.name}, {model.count_params():,} parameters, seed {seed}: recipe {variant.recipe_name}, epochs: {recipe.epochs}")
    products = f" ({device.float32_products} products)" if device.gpu else ""
    print(f"on {device.name}, Keras on {device.backend}, {settings.train.precision}{products}, {train_split.source} data", flush=True)
    if not device.gpu:
        print("warning: no GPU found; on a CPU, 200 epochs of CIFAR-10 take many hours (REQUIRE_GPU=1 makes this an error)")

    start = time.perf_counter()
    images, held_out = training.select(train_split, test_split, settings.train.holdout.fraction, resident)
    run = training.Training(model, recipe, settings.augment, seed, device, most_steps)
    history: list[training.Epoch] = []
    best: training.Epoch | None = None
    checkpoint_seconds = 0.0
    with replaced(folder) as partial:
        partial.mkdir(parents=True)
        for epoch in run.epochs(images, held_out):
            history.append(epoch)
            print(_line(epoch, recipe.epochs), flush=True)
            if len(history) == 1 and recipe.epochs > 1:
                print(f"the whole run takes about {_duration(epoch.seconds * recipe.epochs)}", flush=True)
            saving = time.perf_counter()
            if held_out and (best is None or _accuracy(epoch) > _accuracy(best)):
                best = epoch
                model.save(partial / "best.keras")
            if len(history) == recipe.epochs:
                model.save(partial / "last.keras")
            checkpoint_seconds += time.perf_counter() - saving
        _write_history(partial / "history.csv", history)
        seconds = [epoch.seconds for epoch in history]
        times = {
            "seconds_per_epoch": statistics.median(seconds[1:] or seconds),  # the first warms caches
            "total_seconds": time.perf_counter() - start,
            "compile_seconds": run.compile_seconds,
            "checkpoint_seconds": checkpoint_seconds,
        }
        about = {
            "variant": name,
            "network": network.name,
            "seed": seed,
            "recipe": variant.recipe_name,
            "holdout": _holdout(settings.train.holdout),
            "checkpoint": "best" if best else "last",
            "checkpoint_epoch": (best or history[-1]).epoch,
            "parameters": model.count_params(),
            "epochs": recipe.epochs,
            "recipe_epochs": variant.recipe_epochs,
            **{key: round(value, 3) for key, value in times.items()},
            "peak_memory_mb": device.peak_memory_mb(),
            "device": device.name,
            "backend": device.backend,
            "float32_products": device.float32_products,
            "precision": settings.train.precision,
            "versions": backend.versions(device.backend),
            "data": train_split.source,
            "pixel_mean_sha256": train_split.pixel_mean_sha256,
        }
        write_json(partial / "training.json", about)
    print(f"{folder}: trained in {_duration(times['total_seconds'])}")


def _most_steps() -> int | None:
    """The environment's STEPS_PER_CALL."""
    value = os.environ.get("STEPS_PER_CALL", "")
    if value and not (value.isdecimal() and int(value)):
        raise BenchmarkError(f"STEPS_PER_CALL is {value!r}: must be a whole number, at least 1")
    return int(value) if value else None


def _open(settings: Params, folder: Path) -> tuple[Split, Split | None]:
    """The training images, and the test images where they are what the best epoch is chosen on."""
    train_split = arrays.open_split(folder / "train")
    if train_split.source != settings.data.source:
        raise BenchmarkError(f"{folder}/train holds {train_split.source} data, not {settings.data.source}; run `dvc repro preprocess`")
    return train_split, arrays.open_split(folder / "test") if settings.train.holdout.split == "test" else None


def _accuracy(epoch: Any) -> float:
    assert epoch.val_accuracy is not None
    return float(epoch.val_accuracy)


def _line(epoch: Any, epochs: int) -> str:
    held_out = "" if epoch.val_loss is None else f"  held out: loss {epoch.val_loss:.4f}  accuracy {100 * epoch.val_accuracy:.2f} %"
    return (
        f"epoch {epoch.epoch + 1}/{epochs}  loss {epoch.loss:.4f}  accuracy {100 * epoch.accuracy:.2f} %{held_out}"
        f"  rate {epoch.learning_rate:g}  {epoch.seconds:.1f} s"
    )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 120:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes >= 2 else f"{seconds:.0f} s"


def _holdout(holdout: params.Holdout) -> str:
    """How metrics and tables name the hold-out."""
    if holdout.split == "test":
        return "test"
    return f"train {holdout.fraction:g}" if holdout.fraction else "none"


def _write_history(path: Path, history: list[Any]) -> None:
    """A row an epoch, with the names that keras.callbacks.CSVLogger gives; held-out columns only where there are some."""
    columns = [name for name in history[0]._fields if getattr(history[0], name) is not None]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([getattr(epoch, name) for name in columns] for epoch in history)


def main(argv: list[str]) -> None:
    if len(argv) != 2 or not argv[1].isdigit():
        raise SystemExit("usage: python -m stages.train VARIANT SEED")
    name, seed = argv[0], int(argv[1])
    settings = params.load()
    if seed not in settings.seeds:
        raise BenchmarkError(f"{seed} is not among seeds of params.yaml: {', '.join(map(str, settings.seeds))}")
    train(settings, name, seed, ARRAYS, MODELS / name / f"seed{seed}")


if __name__ == "__main__":
    run_stage("train", main)
