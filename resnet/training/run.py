"""One whole training: from arrays to its folder in models/, resumed where it was interrupted."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet import backend
from resnet.data.arrays import Split
from resnet.device import Device
from resnet.errors import BenchmarkError, Interrupted
from resnet.files import exclusive_lock
from resnet.params import Params
from resnet.training import interrupt, messages, resume
from resnet.training.history import Epoch
from resnet.training.identity import changes, fingerprint, identify
from resnet.training.options import Options
from resnet.training.record import Change, Identity, Start, TrainingParameters
from resnet.variant import Recipe, Variant

if TYPE_CHECKING:
    from resnet.training.loop import Training
    from resnet.training.progress import Progress

BUSY = "{what} is being trained by {{holder}}; wait for it, or end it with `kill`: it saves first"
ANOTHER_TRAINING = ("parameters.", "data.")  # keys: what differs there cannot be resumed


@dataclass(frozen=True)
class Run:
    """A training with all its inputs."""

    variant: Variant
    identity: Identity
    train_split: Split
    test_split: Split | None  # where it is watched, or the best epoch is chosen on it
    options: Options
    store: resume.Store
    folder: Path  # of the output

    @property
    def device(self) -> Device:
        return self.identity.device

    @property
    def recipe(self) -> Recipe:
        return self.variant.recipe

    @property
    def parameters(self) -> TrainingParameters:
        return self.identity.parameters


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
            _train(Run(variant, identity, train_split, test_split, options, store, folder))


def _train(run: Run) -> None:
    from resnet.training import output, step  # Keras takes seconds to import: after all checks

    start = time.perf_counter()
    model, (saved, changed, superseded) = _build(run), _state_to_resume(run)
    resumed = done = _progress(run, saved, changed)
    states = _States(run, 0 if superseded else done.epochs, superseded)
    training, epochs = _epochs(run, model, done)
    try:
        with interrupt.raised():
            for epoch in epochs:
                seconds = resumed.seconds + time.perf_counter() - start
                compile_seconds = resumed.compile_seconds + training.compile_seconds
                now = done.after(epoch, step.to_host(training.state), seconds, compile_seconds)
                if not now.finite:
                    raise BenchmarkError(
                        f"weights that are not finite after epoch {epoch.epoch}, at a learning "
                        f"rate of {epoch.learning_rate:g}: lower learning_rate"
                    )
                done = now
                messages.print_epoch(epoch, run.recipe.epochs)
                states.save_if_due(done)
            seconds = resumed.seconds + time.perf_counter() - start
            finished = output.Output(run.identity, run.train_split, model, done, seconds)
            total_seconds = output.write(finished, run.folder, run.store)
            states.remove_superseded()
        print(f"{run.folder}: trained in {messages.duration(total_seconds)}")
    except BaseException as error:  # the epochs so far are kept in every case
        # a state of other conditions stays theirs where no epoch can be trained under these
        if done.epochs > states.epochs and (done is not resumed or isinstance(error, Interrupted)):
            states.save(done)
        if isinstance(error, Interrupted):
            where = f"after epoch {done.epochs} of {run.recipe.epochs}"
            kept = f"{where}; the next `dvc repro` resumes there"
            text = kept if done.epochs else "before the end of the first epoch"
            raise Interrupted(f"{error} {text}", error.status) from error
        raise


class _States:
    """The states of a run on disk."""

    def __init__(self, run: Run, epochs: int, superseded: resume.Store | None):
        self.epochs = epochs  # of the run's own last state on disk
        self._run, self._superseded, self._saved_at = run, superseded, time.monotonic()

    def save(self, done: "Progress") -> None:
        self._run.store.save(done.to_saved(), self._run.identity)
        self.epochs, self._saved_at = done.epochs, time.monotonic()
        self.remove_superseded()

    def save_if_due(self, done: "Progress") -> None:
        if time.monotonic() - self._saved_at >= self._run.options.save_seconds:
            self.save(done)

    def remove_superseded(self) -> None:
        """Remove the states of another identity that this run resumed, once it has its own."""
        if self._superseded:
            self._superseded.remove()


def _build(run: Run) -> Any:
    """The model; prints what is trained, and where."""
    from resnet import model as networks

    network, recipe = run.variant.network, run.recipe
    model = networks.build(
        network.version,
        network.depth,
        form=network.form,
        classes=len(run.train_split.classes),
        l2=recipe.l2,
        l2_on=recipe.l2_on,
    )
    print(f"{network.name}, {model.count_params():,} parameters, seed {run.identity.seed}")
    print(messages.conditions(run.identity), flush=True)
    run.device.peak_memory_mb()  # a failure to read it must not come at the end of hours
    return model


def _progress(run: Run, saved: resume.Saved | None, changed: list[Change]) -> "Progress":
    """The progress to start from, this start included."""
    from resnet.training.progress import Progress

    done = Progress.from_saved(saved) if saved else Progress()
    if done.epochs:
        print(f"resuming after epoch {done.epochs} of {run.recipe.epochs}", flush=True)
    if done.epochs == run.recipe.epochs and not changed:  # all that is missing is the output
        return done
    return done._replace(starts=(*done.starts, Start(epoch=done.epochs + 1, changes=changed)))


def _epochs(run: Run, model: Any, done: "Progress") -> tuple["Training", Iterator[Epoch]]:
    """The training, and the epochs that are still to be trained."""
    from resnet.training import inputs, loop

    on_device, holdout = run.options.images_on_device, run.parameters.holdout
    images = inputs.whole(run.train_split, on_device)
    test = inputs.whole(run.test_split, on_device) if run.test_split else None
    held_out = test
    if holdout.split == "train":
        images, held_out = inputs.split_holdout(images, holdout.fraction)
    training = loop.Training(
        model,
        run.variant.network.depth,
        run.recipe,
        run.variant.augment,
        run.identity.seed,
        run.device,
        run.options.max_steps_per_call,
    )
    return training, training.epochs(
        images,
        held_out,
        test if run.parameters.watch == "test" else None,
        done=done.epochs,
        state=done.state,
        held_out_losses=done.held_out_losses,
    )


def _state_to_resume(run: Run) -> tuple[resume.Saved | None, list[Change], resume.Store | None]:
    """The state to resume, what has changed since it was saved, and the store it supersedes.

    A state of the same training under other conditions (device, versions, code, environment) is
    resumed or ignored as OTHER_STATE says; raises BenchmarkError where that is not set. A state
    with other parameters or data is one of another training: it is mentioned and kept, as is the
    result of a training that was finished under other conditions.
    """
    if saved := run.store.load():
        return saved, [], None
    for store, identity in resume.other_stores(run.store.folder.parent, run.store, run.identity):
        differences = changes(identity, run.identity) if identity else []
        shown = messages.differences(differences) if identity else "its identity cannot be read"
        another = any(change.key.startswith(ANOTHER_TRAINING) for change in differences)
        if not store.epochs:
            if not another:
                print(
                    f"{store.folder}: kept, the result of this training under other conditions "
                    f"({shown}); a run under those restores it, `rm -r` removes it"
                )
        elif another:
            print(f"{store.folder}: kept, a training with other parameters or data ({shown})")
        elif run.options.other_state == "ignore":
            print(
                f"{store.folder}: ignored, since it was saved under other conditions ({shown}); "
                "remove it with `rm -r`"
            )
        elif not identity:
            raise BenchmarkError(
                f"{store.folder} has {store.epochs} epochs of this variant and seed, but {shown}, "
                "so they cannot be resumed: set OTHER_STATE=ignore to start over, or remove it"
            )
        elif run.options.other_state == "resume":
            print(f"resuming {store.folder} under other conditions ({shown})")
            busy = BUSY.format(what=store.folder)
            with exclusive_lock(store.folder.parent / "locks" / store.folder.name, busy):
                saved = store.load()
            if saved:
                return saved, differences, store
        else:
            raise BenchmarkError(
                f"{store.folder} has {store.epochs} epochs of this training, saved under other "
                f"conditions: {shown}; run it under those conditions again, or set "
                "OTHER_STATE=resume to resume it (the results will not be bit-identical) or "
                "OTHER_STATE=ignore to start over"
            )
    return None, [], None
