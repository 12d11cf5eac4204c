"""train: one variant with one seed, to models/<variant>/seed<seed>/. `python -m stages.train VARIANT SEED`

The folder gets last.keras; best.keras where images are held out; history.csv, a row an epoch; training.json.
"""

import math
import os
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from resnet import backend, params
from resnet.backend import Device
from resnet.data import arrays
from resnet.data.arrays import Split
from resnet.errors import BenchmarkError, Interrupted, run_stage
from resnet.files import replaced, sha256, write_json
from resnet.params import Params, Variant
from resnet.training import history, interrupt, resume

ARRAYS = Path("data/arrays")
MODELS = Path("models")
SAVE_SECONDS = 30.0  # of training between two states on disk, unless the environment says otherwise
SETTINGS = (  # may change the last bits
    "STEPS_PER_CALL",
    "OMP_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "TF_ENABLE_ONEDNN_OPTS",
    "XLA_FLAGS",
)


@dataclass(frozen=True)
class Job:
    """What is trained, on what and where: all that determines a result but the code, and how the images and steps are handed on."""

    settings: Params
    name: str
    variant: Variant
    seed: int
    train_split: Split
    test_split: Split | None  # where it is what the best epoch is chosen on
    device: Device
    resident: bool  # the images, on the device
    most_steps: int | None  # in a compiled call

    @cached_property  # as it was at the start: an edit to the code while it trains is none of this run
    def identity(self) -> dict[str, Any]:
        return {
            "code": resume.code(Path("dvc.yaml"), "train"),
            "parameters": chosen(self.settings, self.name),
            "seed": self.seed,
            "data": [
                arrays.digest(split) for split in (self.train_split, self.test_split) if split
            ],
            "device": asdict(self.device),
            "versions": backend.versions(self.device.backend),
            "environment": {name: os.environ.get(name) for name in SETTINGS},
        }


def chosen(settings: Params, name: str) -> dict[str, Any]:
    """All parameters that determine a variant's training but the seed, as JSON has them."""
    variant = settings.variant(name)
    parts = {
        "network": variant.network,
        "recipe": variant.recipe,
        "train": settings.train,
        "augment": settings.augment,
    }
    dumped = {key: part.model_dump(mode="json") for key, part in parts.items()}
    return {
        "variant": name,
        **dumped,
        "recipe_epochs": variant.recipe_epochs,
        "source": settings.data.source,
    }


def train(settings: Params, name: str, seed: int, arrays_folder: Path, folder: Path) -> None:
    """Train the variant of that name and write its folder, which is there whole or not at all; goes on where a killed run was."""
    variant = settings.variant(name)
    save_seconds, most_steps, resident = (
        _save_seconds(),
        _most_steps(),
        backend.flag("IMAGES_ON_DEVICE", default=True),
    )
    train_split, test_split = _open(settings, arrays_folder)
    runs = resume.root()
    resume.forget_recorded(runs, Path("dvc.lock"))
    with resume.alone(
        runs / "locks" / resume.fingerprint({"output": str(folder.resolve())}), str(folder)
    ):
        device = backend.start(settings.train.precision)
        job = Job(
            settings, name, variant, seed, train_split, test_split, device, resident, most_steps
        )
        run = f"{name}-seed{seed}-{resume.fingerprint(job.identity)}"
        with resume.alone(runs / "locks" / run, f"{name} with seed {seed}"):
            store = resume.Store(runs / run)
            if store.give_result(folder):
                print(
                    f"{folder}: trained already, by a run that DVC did not record; `rm -r {store.folder}` to train it anew"
                )
            else:
                _train(job, store, save_seconds, folder)


def _train(job: Job, store: resume.Store, save_seconds: float, folder: Path) -> None:
    from resnet import (
        model as networks,
    )  # these import Keras: seconds, and only once all else is known to be well
    from resnet.training import loop as training
    from resnet.training.progress import Progress

    start = time.perf_counter()
    network, recipe, device = job.variant.network, job.variant.recipe, job.device
    classes = len(job.train_split.classes)
    model = networks.build(
        network.version,
        network.depth,
        width=network.width,
        classes=classes,
        l2=recipe.l2,
        l2_on=recipe.l2_on,
    )
    print(
        f"{network.name}, {model.count_params():,} parameters, seed {job.seed}: recipe {job.variant.recipe_name}, epochs: {recipe.epochs}"
    )
    precision = (
        f"{job.settings.train.precision} ({device.float32_products} products)"
        if device.gpu
        else job.settings.train.precision
    )
    print(
        f"on {device.name}, Keras on {device.backend}, {precision}, {job.train_split.source} data",
        flush=True,
    )
    if not device.gpu:
        print(
            "warning: no GPU found; on a CPU, 200 epochs of CIFAR-10 take many hours (REQUIRE_GPU=1 makes this an error)"
        )

    saved = store.load()
    done = Progress.read(saved) if saved else Progress()
    if saved:
        print(
            f"going on after epoch {saved.epochs} of {recipe.epochs}, where a run before this one was",
            flush=True,
        )
    before, compiled_before = done.seconds, done.compile_seconds
    done = done._replace(starts=(*done.starts, len(done.history)))
    on_disk, saved_at = len(done.history), time.monotonic()
    images, held_out = training.select(
        job.train_split, job.test_split, job.settings.train.holdout.fraction, job.resident
    )
    run = training.Training(model, recipe, job.settings.augment, job.seed, device, job.most_steps)
    try:
        with interrupt.raised():
            for epoch in run.epochs(
                images,
                held_out,
                first=len(done.history),
                state=done.state,
                losses=done.held_out_losses,
            ):
                seconds = before + time.perf_counter() - start
                now = done.after(
                    epoch,
                    training.on_host(run.state),
                    seconds,
                    compiled_before + run.compile_seconds,
                )
                if not now.finite:
                    raise BenchmarkError(
                        f"weights that are not numbers after epoch {epoch.epoch + 1}, at a learning rate of {epoch.learning_rate:g}: "
                        "lower learning_rate"
                    )
                done = now
                print(_line(epoch, recipe.epochs), flush=True)
                if len(done.history) == 1 and recipe.epochs > 1:
                    print(
                        f"the whole run takes about {_duration(epoch.seconds * recipe.epochs)}",
                        flush=True,
                    )
                if time.monotonic() - saved_at >= save_seconds:
                    store.save(done.saved())
                    on_disk, saved_at = len(done.history), time.monotonic()
            _write(job, done, before + time.perf_counter() - start, model, store, folder)
    except BaseException as error:  # whatever it was, the epochs until then are not lost
        if len(done.history) > on_disk:
            store.save(done.saved())
        if isinstance(error, Interrupted):
            kept = f"after epoch {len(done.history)} of {recipe.epochs}, from where the next `dvc repro` goes on"
            raise Interrupted(
                f"{error} {kept if done.history else 'before an epoch was done'}", error.status
            ) from error
        raise


def _write(
    job: Job, done: Any, seconds: float, model: Any, store: resume.Store, folder: Path
) -> None:
    """Write the finished run's folder, and keep it until DVC has recorded it."""
    from resnet.training.loop import assign

    start = time.perf_counter()
    with replaced(folder) as partial:
        partial.mkdir()
        assign(model, done.state)
        model.save(partial / "last.keras")
        if done.best is not None:
            assign(model, done.best_state)
            model.save(partial / "best.keras")
        history.write(partial / "history.csv", done.history)
        checkpoint_seconds = time.perf_counter() - start
        times = {
            "seconds_per_epoch": done.seconds_per_epoch,
            "total_seconds": seconds + checkpoint_seconds,
            "compile_seconds": done.compile_seconds,
            "checkpoint_seconds": checkpoint_seconds,
        }
        settings, network, device = job.settings, job.variant.network, job.device
        about = {
            "variant": job.name,
            "network": network.name,
            "seed": job.seed,
            "recipe": job.variant.recipe_name,
            "holdout": _holdout(settings.train.holdout),
            "checkpoint": "last" if done.best is None else "best",
            "checkpoint_epoch": len(done.history) - 1 if done.best is None else done.best,
            "parameters": model.count_params(),
            "epochs": len(done.history),
            "recipe_epochs": job.variant.recipe_epochs,
            **{key: round(value, 3) for key, value in times.items()},
            "starts": done.starts,
            "peak_memory_mb": device.peak_memory_mb(),
            "device": device.name,
            "backend": device.backend,
            "float32_products": device.float32_products,
            "deterministic": device.deterministic,
            "precision": settings.train.precision,
            "versions": backend.versions(device.backend),
            "data": job.train_split.source,
            "pixel_mean_sha256": job.train_split.pixel_mean_sha256,
            "identity": job.identity,
            "sha256": {path.name: sha256(path) for path in sorted(partial.glob("*.keras"))},
        }
        write_json(partial / "training.json", about)
        store.keep_result(partial)
    print(f"{folder}: trained in {_duration(times['total_seconds'])}")


def _save_seconds() -> float:
    text = os.environ.get("SAVE_SECONDS", str(SAVE_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise BenchmarkError(
            f"SAVE_SECONDS is {text!r}: must be seconds, {SAVE_SECONDS:g} say, or 0 to save each epoch"
        )
    return seconds


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
        raise BenchmarkError(
            f"{folder}/train holds {train_split.source} data, not {settings.data.source}; run `dvc repro preprocess`"
        )
    return train_split, arrays.open_split(
        folder / "test"
    ) if settings.train.holdout.split == "test" else None


def _line(epoch: Any, epochs: int) -> str:
    held_out = (
        ""
        if epoch.val_loss is None
        else f"  held out: loss {epoch.val_loss:.4f}  accuracy {100 * epoch.val_accuracy:.2f} %"
    )
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


def main(argv: list[str]) -> None:
    if len(argv) != 2 or not argv[1].isdigit():
        raise SystemExit("usage: python -m stages.train VARIANT SEED")
    name, seed = argv[0], int(argv[1])
    settings = params.load()
    if seed not in settings.seeds:
        raise BenchmarkError(
            f"{seed} is not among seeds of params.yaml: {', '.join(map(str, settings.seeds))}"
        )
    with backend.memory_errors("lower batch_size, or keep the images off it by IMAGES_ON_DEVICE=0"):
        train(settings, name, seed, ARRAYS, MODELS / name / f"seed{seed}")


if __name__ == "__main__":
    run_stage("train", main)
