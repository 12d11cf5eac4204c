"""One whole training: from arrays to its folder in models/, resumed where it was interrupted."""

import hashlib
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from resnet import backend
from resnet.data.arrays import Split
from resnet.device import Device
from resnet.errors import BenchmarkError, Interrupted
from resnet.files import exclusive_lock, replaced, sha256, write_json
from resnet.params import Holdout, Params
from resnet.training import history, interrupt, resume
from resnet.training.history import Epoch
from resnet.training.identity import changes, fingerprint, identify
from resnet.training.record import (
    BEST,
    HISTORY,
    LAST,
    RECORD,
    Change,
    Identity,
    Start,
    TrainingRecord,
)
from resnet.variant import Variant

if TYPE_CHECKING:
    from resnet.training.progress import Progress

SAVE_SECONDS = 30.0  # of training between two states on disk
BUSY = "{what} is being trained by {{holder}}; wait for it, or end it with `kill`: it saves first"
ANOTHER_TRAINING = ("parameters.", "data.")  # keys: what differs there cannot be resumed


class Options(NamedTuple):
    """Environment variables that change how a training runs, but not its result."""

    save_seconds: float
    max_steps_per_call: int | None  # None leaves it to the device
    images_on_device: bool
    other_state: str  # what to do with a state saved under other conditions

    @classmethod
    def from_environment(cls) -> "Options":
        """Read them; raises BenchmarkError that names the variable."""
        text = os.environ.get("SAVE_SECONDS", f"{SAVE_SECONDS:g}")
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not seconds >= 0:
            raise BenchmarkError(
                f"SAVE_SECONDS is {text!r}: must be seconds, or 0 to save after each epoch"
            )
        steps = os.environ.get("STEPS_PER_CALL", "")
        if steps and not (steps.isascii() and steps.isdigit() and int(steps)):
            raise BenchmarkError(f"STEPS_PER_CALL is {steps!r}: must be a whole number, at least 1")
        other = os.environ.get("OTHER_STATE", "")
        if other not in ("", "resume", "ignore"):
            raise BenchmarkError(f"OTHER_STATE is {other!r}: must be resume or ignore")
        on_device = backend.flag("IMAGES_ON_DEVICE", default=True)
        return cls(seconds, int(steps) if steps else None, on_device, other)


@dataclass(frozen=True)
class Run:
    """A training with all its inputs."""

    variant: Variant
    identity: Identity
    holdout: Holdout
    train_split: Split
    test_split: Split | None  # where the best epoch is chosen on it
    options: Options
    store: resume.Store
    folder: Path  # of the output

    @property
    def device(self) -> Device:
        return self.identity.device


def train(
    settings: Params,
    name: str,
    seed: int,
    train_split: Split,
    test_split: Split | None,
    folder: Path,
) -> None:
    """Train a variant with a seed and write `folder`, which then exists completely or not at all.

    Resumes from the last state that an interrupted run saved. Raises BenchmarkError for bad
    environment variables, while another process trains the same, where a loss is not finite, and
    where there is a state of this training that was saved under other conditions.
    """
    variant, options = settings.variant(name), Options.from_environment()
    runs = resume.root()
    locks = runs / "locks"
    resume.forget_recorded(runs, Path("dvc.lock"))
    output = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    with exclusive_lock(locks / output, BUSY.format(what=folder)):
        device = backend.start(variant.precision)
        splits = (train_split, test_split) if test_split else (train_split,)
        identity = identify(settings, name, seed, device, splits)
        key = f"{name}-seed{seed}-{fingerprint(identity)}"
        store = resume.Store(runs / key)
        with exclusive_lock(locks / key, BUSY.format(what=f"{name} with seed {seed}")):
            if store.restore_result(folder):
                print(
                    f"{folder}: already trained by a run that DVC did not record; "
                    f"`rm -r {store.folder}` to train it again"
                )
                return
            inputs = variant, identity, settings.train.holdout, train_split, test_split
            _train(Run(*inputs, options, store, folder))


def _train(run: Run) -> None:
    from resnet import model as networks  # Keras takes seconds to import: after all checks
    from resnet.training import loop, step
    from resnet.training.progress import Progress

    start = time.perf_counter()
    network, recipe, device = run.variant.network, run.variant.recipe, run.device
    model = networks.build(
        network.version,
        network.depth,
        form="paper" if network.width == "paper" else "original",
        classes=len(run.train_split.classes),
        l2=recipe.l2,
        l2_on=recipe.l2_on,
    )
    print(f"{network.name}, {model.count_params():,} parameters, seed {run.identity.seed}")
    print(_conditions(run), flush=True)
    device.peak_memory_mb()  # a failure to read it must not come at the end of hours

    saved, starting_changes, superseded = _state_to_resume(run)
    done = Progress.from_saved(saved) if saved else Progress()
    if done.epochs:
        print(f"resuming after epoch {done.epochs} of {recipe.epochs}", flush=True)
    before, compiled_before = done.seconds, done.compile_seconds
    if done.epochs < recipe.epochs:
        this_start = Start(epoch=done.epochs + 1, changes=starting_changes)
        done = done._replace(starts=(*done.starts, this_start))
    on_disk, saved_at = done.epochs, time.monotonic()

    def save() -> None:
        nonlocal on_disk, saved_at
        run.store.save(done.to_saved(), run.identity)
        on_disk, saved_at = done.epochs, time.monotonic()
        if superseded:
            superseded.remove()

    images = loop.whole(run.train_split, run.options.images_on_device)
    if run.test_split is None:
        images, held_out = loop.split_holdout(images, run.holdout.fraction)
    else:
        held_out = loop.whole(run.test_split, run.options.images_on_device)
    training = loop.Training(
        model,
        network.depth,
        recipe,
        run.variant.augment,
        run.identity.seed,
        device,
        run.options.max_steps_per_call,
    )
    epochs = training.epochs(
        images,
        held_out,
        done=done.epochs,
        state=done.state,
        held_out_losses=done.held_out_losses,
    )
    try:
        with interrupt.raised():
            for epoch in epochs:
                seconds = before + time.perf_counter() - start
                compile_seconds = compiled_before + training.compile_seconds
                now = done.after(epoch, step.to_host(training.state), seconds, compile_seconds)
                if not now.finite:
                    raise BenchmarkError(
                        f"weights that are not finite after epoch {epoch.epoch}, at a learning "
                        f"rate of {epoch.learning_rate:g}: lower learning_rate"
                    )
                done = now
                print(_epoch_line(epoch, recipe.epochs), flush=True)
                if done.epochs == 1 and recipe.epochs > 1:
                    whole = _duration(epoch.seconds * recipe.epochs)
                    print(f"all {recipe.epochs} epochs will take about {whole}", flush=True)
                if time.monotonic() - saved_at >= run.options.save_seconds:
                    save()
            _write(run, done, model, before + time.perf_counter() - start)
            if superseded:  # by a result now, where nothing was saved before
                superseded.remove()
    except BaseException as error:  # the epochs so far are kept in every case
        if done.epochs > on_disk:
            save()
        if isinstance(error, Interrupted):
            kept = (
                f"after epoch {done.epochs} of {recipe.epochs}; the next `dvc repro` resumes there"
            )
            text = f"{error} {kept if done.epochs else 'before the end of the first epoch'}"
            raise Interrupted(text, error.status) from error
        raise


def _state_to_resume(run: Run) -> tuple[resume.Saved | None, list[Change], resume.Store | None]:
    """The state to resume, what has changed since it was saved, and the store it supersedes.

    A state of the same training under other conditions (device, versions, code, environment) is
    resumed or ignored as OTHER_STATE says; raises BenchmarkError where that is not set. A state
    with other parameters or data is one of another training: it is mentioned and kept.
    """
    if saved := run.store.load():
        return saved, [], None
    for store, identity in resume.other_stores(run.store.folder.parent, run.store, run.identity):
        differences = changes(identity, run.identity)
        shown = _differences(differences)
        if any(change.key.startswith(ANOTHER_TRAINING) for change in differences):
            print(f"{store.folder}: kept, a training with other parameters or data ({shown})")
        elif run.options.other_state == "resume":
            print(f"resuming {store.folder} under other conditions ({shown})")
            return store.load(), differences, store
        elif run.options.other_state == "ignore":
            print(f"{store.folder}: ignored, it was saved under other conditions ({shown})")
        else:
            raise BenchmarkError(
                f"{store.folder} has {store.epochs} epochs of this training, saved under other "
                f"conditions: {shown}; restore them, or set OTHER_STATE=resume to resume it "
                "(the results will not be bit-identical) or OTHER_STATE=ignore to start over"
            )
    return None, [], None


def _differences(differences: list[Change], most: int = 3) -> str:
    words = [
        f"{change.key}: {str(change.before)[:40]} → {str(change.after)[:40]}"
        for change in differences[:most]
    ]
    more = len(differences) - most
    return "; ".join([*words, f"and {more} more"] if more > 0 else words)


def _write(run: Run, done: "Progress", model: Any, seconds: float) -> None:
    """Write the finished run's folder, and keep a copy until DVC has recorded it."""
    from resnet.training import checkpoint
    from resnet.training.step import assign

    start = time.perf_counter()
    with replaced(run.folder) as partial:
        partial.mkdir()
        assert done.state
        assign(model, done.state)
        checkpoint.save(model, partial / LAST)
        if done.best_state:
            assign(model, done.best_state)
            checkpoint.save(model, partial / BEST)
        history.write(partial / HISTORY, done.history)
        checkpoint_seconds = time.perf_counter() - start
        total_seconds = seconds + checkpoint_seconds
        record = TrainingRecord(
            schema=1,
            identity=run.identity,
            parameter_count=model.count_params(),
            epochs=done.epochs,
            checkpoint=BEST if done.best else LAST,
            checkpoint_epoch=done.best or done.epochs,
            seconds_per_epoch=round(done.seconds_per_epoch, 3),
            total_seconds=round(total_seconds, 3),
            compile_seconds=round(done.compile_seconds, 3),
            checkpoint_seconds=round(checkpoint_seconds, 3),
            peak_memory_mb=run.device.peak_memory_mb(),
            starts=list(done.starts),
            classes=list(run.train_split.classes),
            pixel_mean_sha256=run.train_split.pixel_mean_sha256,
            checkpoints={path.name: sha256(path) for path in sorted(partial.glob("*.keras"))},
        )
        write_json(partial / RECORD, record.model_dump(mode="json", by_alias=True))
        run.store.keep_result(partial)
    print(f"{run.folder}: trained in {_duration(total_seconds)}")


def _conditions(run: Run) -> str:
    """The line that says where the run trains, and on what."""
    device, precision = run.device, str(run.variant.precision)
    if device.gpu:
        precision += f" ({device.float32_products} products)"
    line = (
        f"on {device.name}, Keras on {device.backend}, {precision}, {run.train_split.source} data"
    )
    if not device.gpu and run.train_split.source == "cifar10":
        epochs = run.variant.recipe.epochs
        line += f"\nno GPU: {epochs} epochs of CIFAR-10 on a CPU take about a minute each or more"
    return line


def _epoch_line(epoch: Epoch, epochs: int) -> str:
    parts = [f"epoch {epoch.epoch}/{epochs}", f"loss {epoch.loss:.4f}  {epoch.accuracy:.2f} %"]
    if epoch.val_loss is not None:
        parts.append(f"held out: loss {epoch.val_loss:.4f}  {epoch.val_accuracy:.2f} %")
    if epoch.test_loss is not None:
        parts.append(f"test: loss {epoch.test_loss:.4f}  {epoch.test_accuracy:.2f} %")
    return "  ".join([*parts, f"rate {epoch.learning_rate:g}", f"{epoch.seconds:.1f} s"])


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 120:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes >= 2 else f"{seconds:.0f} s"
