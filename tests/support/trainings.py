"""Small trainings on synthetic images, in the process of a test and in processes started by one."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from resnet.data import arrays, synthetic
from resnet.data.arrays import Split
from resnet.device import Device
from resnet.params import Params
from resnet.training import messages
from resnet.training.history import Epoch
from scripts.checkout import set_params
from stages.preprocess import preprocess
from tests.support.checkout import ROOT, undone

SMALL: dict[str, Any] = {"model.n": 1, "recipes.original.epochs": 2}
WORKSPACE: dict[str, Any] = {  # 70 images in batches of 32: two steps per epoch
    **SMALL,
    "data.source": "synthetic",
    "variants": ["model"],
    "seeds": [0],
    "recipes.original.epochs": 4,
}
STOPPED_STAGE = """
import runpy, signal, sys
from resnet.training import messages
from tests.support.trainings import send_after_epoch
messages.print_epoch = send_after_epoch(signal.SIGTERM, int(sys.argv.pop(1)))
runpy.run_module("stages.train", run_name="__main__", alter_sys=True)
"""
PIPELINE = "stages: {train: {deps: [a_dep.py]}}\n"


class Trained(NamedTuple):
    """A training that has ended."""

    training: Any  # a loop.Training
    epochs: list[Epoch]
    weights: list[list[NDArray[Any]]]  # of the model, after each epoch


def synthetic_arrays(folder: Path, images: int, test_images: int) -> None:
    """Write preprocessed synthetic images into `folder`, as data/arrays has them."""
    source = folder.with_name("source")
    synthetic.write(source, images, test_images, seed=0)
    preprocess(source, folder, "synthetic", True)


def synthetic_split(folder: Path, images: int) -> Split:
    """A split of so many synthetic images, whose arrays are written below `folder`."""
    synthetic_arrays(folder / "arrays", images, 10)
    return arrays.open_split(folder / "arrays" / "train")


def first_images(split: Split, count: int) -> Split:
    """A split of the first images of another."""
    return replace(split, images=split.images[:count], labels=split.labels[:count])


def train(
    settings: Params,
    split: Split,
    device: Device,
    *,
    seed: int = 0,
    held_out: Split | None = None,
    test: Split | None = None,
    max_steps_per_call: int | None = None,
    on_device: bool = True,
) -> Trained:
    """Train the variant `model`, on images held out as the settings say or on those passed."""
    from resnet import model
    from resnet.training import inputs, loop

    variant = settings.variant("model")
    depth, recipe = variant.network.depth, variant.recipe
    form = variant.network.form
    network = model.build(
        variant.network.version, depth, form=form, l2=recipe.l2, l2_on=recipe.l2_on
    )
    training = loop.Training(
        network, depth, recipe, variant.augment, seed, device, max_steps_per_call
    )
    images, held = inputs.split_holdout(
        inputs.whole(split, on_device), 0.0 if held_out else settings.train.holdout.fraction
    )
    watched = inputs.whole(test, on_device) if test else None
    done = Trained(training, [], [])
    for epoch in training.epochs(
        images, inputs.whole(held_out, on_device) if held_out else held, watched
    ):
        done.epochs.append(epoch)
        done.weights.append(network.get_weights())
    return done


def write_workspace(folder: Path, changes: Mapping[str, Any] | None = None) -> None:
    """Write what the train stage reads: params.yaml, dvc.yaml with one module, and the arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    set_params(folder / "params.yaml", {**undone(), **WORKSPACE, **(changes or {})})
    (folder / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    (folder / "a_dep.py").write_text("# the code of the stage\n", encoding="utf-8")
    synthetic_arrays(folder / "data" / "arrays", 70, 20)


def run_train_stage(
    folder: Path, environment: Mapping[str, str] | None = None, stop_after: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m stages.train model 0` in a workspace; it saves after each epoch.

    With `stop_after`, it receives SIGTERM after that epoch.
    """
    command = ["-m", "stages.train", "model", "0"]
    if stop_after:
        command = ["-c", STOPPED_STAGE, str(stop_after), "model", "0"]
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SAVE_SECONDS": "0", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def send_after_epoch(number: int, epoch: int) -> Callable[[Epoch, int], None]:
    """A replacement of messages.print_epoch that sends this process a signal after an epoch."""
    print_epoch = messages.print_epoch

    def replacement(result: Epoch, epochs: int) -> None:
        if result.epoch == epoch:
            os.kill(os.getpid(), number)
        print_epoch(result, epochs)

    return replacement
