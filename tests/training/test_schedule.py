from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from resnet.training.schedule import learning_rate, plateau_scale, plateaued, warmed_up

pytestmark = pytest.mark.usefixtures("device")

DROPS = [(81, 1e-1), (121, 1e-2), (161, 1e-3), (181, 0.5e-3)]


def test_is_the_originals_step_for_step() -> None:
    counts = dict.fromkeys((0.001, 0.0001, 1e-05, 1e-06, 5e-07), 0)
    for epoch in range(200):
        rate = learning_rate(epoch, 1e-3, DROPS)
        counts[min(counts, key=lambda known: abs(known - rate))] += 1
        assert min(abs(known / rate - 1) for known in counts) < 1e-12
    assert list(counts.values()) == [81, 40, 40, 20, 19]


def test_factors_are_of_the_base_and_may_rise() -> None:
    warm = warmed_up([(82, 0.1)], 1, 0.1)
    assert [learning_rate(epoch, 0.1, warm) for epoch in (0, 1, 81, 82)] == pytest.approx(
        [0.01, 0.1, 0.1, 0.01]
    )
    assert learning_rate(5, 0.1, []) == 0.1
    assert warmed_up(DROPS, 0, 0.1) == DROPS


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_plateau_is_keras_own(patience: int) -> None:
    import keras

    rng = np.random.default_rng(patience)
    losses = (1 + np.cumsum(rng.normal(-0.01, 0.1, 200))).tolist()
    optimizer: Any = SimpleNamespace(learning_rate=np.float64(1e-3))
    callback = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=patience, min_lr=1e-6)
    callback.set_model(SimpleNamespace(optimizer=optimizer))
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        rate = plateaued(1e-3, plateau_scale(losses[: epoch + 1], 0.5, patience), 1e-6)
        assert rate == pytest.approx(float(callback.model.optimizer.learning_rate), rel=1e-6)
    assert rate < 1e-3


def test_plateau_multiplies_the_schedule_and_stops_at_its_least() -> None:
    scale = plateau_scale([1.0] * 11, 0.1, 5)
    assert scale == pytest.approx(0.01)
    assert plateaued(1e-3, scale, 5e-7) == pytest.approx(1e-5)
    assert plateaued(1e-5, scale, 5e-7) == 5e-7
    assert (
        plateaued(1e-7, scale, 5e-7) == 1e-7
    )  # a schedule below the plateau's least is left alone
