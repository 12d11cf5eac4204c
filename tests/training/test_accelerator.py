"""The path of an accelerator, on a CPU: many steps in one call that XLA compiles, on TensorFlow.

It is compared with the path of a CPU, TensorFlow's own kernels. Three factors of two levels are
covered in all pairs by four compilations; each runs with and without a hold-out, and one of them
again with images that are not on the device.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from resnet import backend, params
from resnet.data import arrays, synthetic
from resnet.device import Device
from stages.preprocess import preprocess

Settings = Callable[[dict[str, Any]], params.Params]
ADAM = {"model.optimizer": "adam"}
SGD = {"model.optimizer": "sgd", "model.momentum": 0.9, "model.learning_rate": 0.01}
SHIFT, CROP = {"augment.order": 1}, {"model.crop": 4}
CASES = [  # precision, optimizer, augmentation, largest differences of weights and loss, relative
    ("float32", ADAM, SHIFT, 1e-2, 1e-5),
    ("float32", SGD, CROP, 5e-4, 1e-5),
    ("bfloat16", ADAM, CROP, 1e-1, 1e-3),
    ("bfloat16", SGD, SHIFT, 5e-2, 1e-3),
]


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> arrays.Split:
    folder = tmp_path_factory.mktemp("synthetic")
    synthetic.write(folder / "source", 85, 10, seed=0)
    preprocess(folder / "source", folder / "arrays", "synthetic", True)
    return arrays.open_split(folder / "arrays" / "train")


class Trained:
    """A small network, trained from its initial weights for one epoch of two steps in one call."""

    def __init__(self, settings: params.Params, split: arrays.Split, device: Device):
        from resnet import model
        from resnet.training import loop

        variant = settings.variant("model")
        # without biases ahead of batch normalization: their gradient is zero up to rounding, which
        # Adam scales to whole steps
        network = model.build(1, 8, form="paper", l2=variant.recipe.l2)
        self.split = split
        self.training = loop.Training(network, 8, variant.recipe, variant.augment, 0, device, 2)
        self.weights = network.get_weights()

    def run(self, fraction: float, on_device: bool = True) -> tuple[list[NDArray[Any]], float]:
        """Weights and loss after the epoch."""
        from resnet.training import inputs

        self.training.model.set_weights(self.weights)
        images = inputs.whole(self.split, on_device)
        (epoch,) = self.training.epochs(*inputs.split_holdout(images, fraction))
        return self.training.model.get_weights(), epoch.loss


def flat(weights: list[NDArray[Any]]) -> NDArray[np.float64]:
    return np.concatenate([weight.ravel().astype(np.float64) for weight in weights])


def apart(a: list[NDArray[Any]], b: list[NDArray[Any]], start: list[NDArray[Any]]) -> float:
    """The norm of the difference, as a part of what b has moved.

    A single weight says little: Adam moves one whose gradient is all rounding by a whole step.
    """
    moved = np.linalg.norm(flat(b) - flat(start))
    assert moved > 0.1
    return float(np.linalg.norm(flat(a) - flat(b)) / moved)


@pytest.mark.parametrize(("precision", "optimizer", "augmentation", "weights", "loss"), CASES)
def test_xla_in_one_call_is_the_cpus_path(
    settings: Settings,
    split: arrays.Split,
    precision: str,
    optimizer: dict[str, Any],
    augmentation: dict[str, Any],
    weights: float,
    loss: float,
) -> None:
    chosen = settings(
        {"model.n": 1, "model.epochs": 1, "model.drops": [], **optimizer, **augmentation}
    )
    device = backend.start(precision)
    if device.backend != "tensorflow" or device.gpu:
        pytest.skip("JAX always compiles with XLA, and a GPU always takes this path")
    try:
        cpu = Trained(chosen, split, device)
        xla = Trained(chosen, split, replace(device, xla=True))
        for fraction in (0.0, 0.2):
            expected, expected_loss = cpu.run(fraction)
            found, found_loss = xla.run(fraction)
            assert apart(found, expected, cpu.weights) < weights
            assert found_loss == pytest.approx(expected_loss, rel=loss)
        if precision == "float32" and optimizer is SGD:
            gathered, gathered_loss = xla.run(0.2, on_device=False)
            assert all(np.array_equal(a, b) for a, b in zip(gathered, found, strict=True))
            assert gathered_loss == found_loss
    finally:
        backend.start("float32")


def test_xla_is_switched_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not backend.start().xla
    monkeypatch.setenv("XLA", "1")
    assert backend.start().xla
