"""The learning rate against the original's lr_schedule and Keras' ReduceLROnPlateau."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from resnet import params
from resnet.training.schedule import learning_rate, plateau_scale
from resnet.variant import Drop, Recipe, Warmup

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture
def recipe(settings: Callable[[dict[str, Any]], params.Params]) -> Recipe:
    """That of the original, of params.yaml."""
    return settings({}).variant("model").recipe


def lr_schedule(epoch: int) -> float:
    """The original's function, as it is written there."""
    lr = 1e-3
    if epoch > 180:
        lr *= 0.5e-3
    elif epoch > 160:
        lr *= 1e-3
    elif epoch > 120:
        lr *= 1e-2
    elif epoch > 80:
        lr *= 1e-1
    return lr


def test_equals_the_original_in_every_epoch(recipe: Recipe) -> None:
    rates = [learning_rate(recipe, 20, epoch) for epoch in range(200)]
    assert rates == pytest.approx([lr_schedule(epoch) for epoch in range(200)], rel=1e-12)
    counts = [sum(abs(rate / known - 1) < 1e-9 for rate in rates) for known in (1e-3, 5e-7)]
    assert counts == [81, 19]


def test_factors_are_of_the_first_rate_and_may_rise(recipe: Recipe) -> None:
    drops = (Drop(epoch=2, factor=0.1), Drop(epoch=4, factor=0.5))
    changed = recipe.model_copy(update={"learning_rate": 0.1, "drops": drops})
    rates = [learning_rate(changed, 20, epoch) for epoch in range(6)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.05, 0.05])
    constant = changed.model_copy(update={"drops": ()})
    assert learning_rate(constant, 20, 500) == 0.1


def test_warm_up_is_for_networks_of_its_depth_and_more(recipe: Recipe) -> None:
    warmup = Warmup(epochs=2, factor=0.1, depth=110)
    changed = recipe.model_copy(update={"learning_rate": 0.1, "warmup": warmup})
    for depth, expected in ((109, [0.1, 0.1, 0.1]), (110, [0.01, 0.01, 0.1])):
        rates = [learning_rate(changed, depth, epoch) for epoch in range(3)]
        assert rates == pytest.approx(expected)


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_plateau_equals_that_of_keras(recipe: Recipe, patience: int) -> None:
    import keras

    rng = np.random.default_rng(patience)
    losses = (1 + np.cumsum(rng.normal(-0.01, 0.1, 200))).tolist()
    changed = recipe.model_copy(
        update={
            "drops": (),
            "plateau_factor": 0.5,
            "plateau_patience": patience,
            "plateau_min_rate": 1e-6,
        }
    )
    optimizer: Any = SimpleNamespace(learning_rate=np.float64(1e-3))
    callback = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=patience, min_lr=1e-6)
    callback.set_model(SimpleNamespace(optimizer=optimizer))
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        rate = learning_rate(changed, 20, epoch + 1, losses[: epoch + 1])
        assert rate == pytest.approx(float(callback.model.optimizer.learning_rate), rel=1e-6)
    assert rate < 1e-3


def test_plateau_multiplies_the_schedule_down_to_its_minimum(recipe: Recipe) -> None:
    changed = recipe.model_copy(
        update={"plateau_factor": 0.1, "plateau_patience": 5, "plateau_min_rate": 5e-7}
    )
    losses = [1.0] * 11  # two plateaus
    assert plateau_scale(losses, 0.1, 5) == pytest.approx(0.01)
    assert learning_rate(changed, 20, 0, losses) == pytest.approx(1e-5)
    assert learning_rate(changed, 20, 130, losses) == 5e-7
    lower = changed.model_copy(update={"learning_rate": 1e-7, "drops": ()})
    assert learning_rate(lower, 20, 0, losses) == 1e-7  # already below the minimum
