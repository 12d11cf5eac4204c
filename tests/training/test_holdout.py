"""Held-out and test images: how they are chosen and scored, and what depends on them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from resnet import params
from resnet.data.arrays import Split
from resnet.device import Device
from resnet.errors import BenchmarkError
from resnet.training import draws
from tests.support.trainings import SMALL, first_images, synthetic_split, train

Settings = Callable[[dict[str, Any]], params.Params]

ONE_EPOCH = {**SMALL, "recipes.original.epochs": 1}


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return synthetic_split(tmp_path_factory.mktemp("synthetic"), 200)


def test_parts_are_those_of_the_draws(split: Split) -> None:
    from resnet.training import inputs

    for on_device in (True, False):
        train_images, held_out = inputs.split_holdout(inputs.whole(split, on_device), 0.2)
        assert held_out is not None
        kept, held = draws.holdout_indices(200, 0.2)
        np.testing.assert_array_equal(train_images.indices, kept)
        np.testing.assert_array_equal(held_out.indices, held)
        assert held_out.images is train_images.images
    assert inputs.split_holdout(inputs.whole(split), 0.0)[1] is None


def test_fraction_that_rounds_to_no_image_is_an_error(split: Split) -> None:
    from resnet.training import inputs

    message = (
        r"^train\.holdout\.fraction is 0\.002, which is less than one of the 200 images; raise it, "
        r"or set it to 0 to hold out none$"
    )
    with pytest.raises(BenchmarkError, match=message):
        inputs.split_holdout(inputs.whole(split), 0.002)


def test_are_scored_as_keras_scores_them(settings: Settings, split: Split, device: Device) -> None:
    import keras

    chosen = settings({**ONE_EPOCH, "train.holdout.fraction": 0.3})
    test = first_images(split, 70)
    done = train(chosen, split, device, test=test)
    (epoch,), model = done.epochs, done.training.model
    _, held_out = draws.holdout_indices(len(split.images), 0.3)
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    loss, accuracy = model.evaluate(split.images[held_out], split.labels[held_out], verbose=0)
    assert epoch.val_loss == pytest.approx(loss, rel=1e-5)
    assert epoch.val_accuracy == pytest.approx(100 * accuracy)
    loss, accuracy = model.evaluate(test.images, test.labels, verbose=0)
    l2_terms = float(sum(model.losses))
    assert l2_terms > 0.01
    assert epoch.test_loss == pytest.approx(loss - l2_terms, rel=1e-5)
    assert epoch.test_accuracy == pytest.approx(100 * accuracy)


def test_every_image_is_scored_once(settings: Settings, split: Split, device: Device) -> None:
    from resnet.training import inputs, loop

    training = train(settings(ONE_EPOCH), split, device).training
    large = loop.EVALUATION_BATCH + 7  # the last batch is not full
    indices = np.resize(np.arange(200), large)
    repeated = Split(split.images[indices], split.labels[indices], *list(vars(split).values())[2:])
    entropy, _, accuracy = training.evaluate(inputs.whole(repeated))
    probabilities = training.model.predict(repeated.images, verbose=0)
    correct = probabilities[np.arange(large), repeated.labels]
    assert entropy == pytest.approx(-np.log(correct).mean(), rel=1e-4)
    expected = 100 * np.mean(probabilities.argmax(axis=1) == repeated.labels)
    assert accuracy == pytest.approx(expected)


def test_are_not_trained_on(settings: Settings, split: Split, device: Device) -> None:
    chosen = settings({**ONE_EPOCH, "train.holdout.fraction": 0.5})
    _, held_out = draws.holdout_indices(len(split.images), 0.5)
    images = np.array(split.images)
    images[held_out] = 1e6
    spoiled = Split(images, *list(vars(split).values())[1:])
    a = train(chosen, split, device).weights[0]
    b = train(chosen, spoiled, device, test=first_images(split, 20)).weights[0]
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_plateau_of_their_loss_lowers_the_rate(
    settings: Settings, split: Split, device: Device
) -> None:
    from resnet.training.schedule import plateau_scale

    # The rate is too small to change any weight, so most epochs are a plateau's. The moving
    # statistics, and with them the losses, settle meanwhile.
    changes = {
        "model.form": "paper",  # whose moving statistics settle within an epoch or two
        "train.holdout.fraction": 0.3,
        "recipes.original.epochs": 4,
        "recipes.original.learning_rate": 1e-12,
        "recipes.original.plateau_factor": 0.5,
        "recipes.original.plateau_patience": 1,
        "recipes.original.plateau_min_rate": 0.0,
    }
    epochs = train(settings({**SMALL, **changes}), split, device).epochs
    losses = [epoch.val_loss for epoch in epochs]
    assert None not in losses
    expected = [
        1e-12 * plateau_scale([loss for loss in losses[:i] if loss], 0.5, 1) for i in range(4)
    ]
    assert [epoch.learning_rate for epoch in epochs] == pytest.approx(expected)
    assert epochs[-1].learning_rate < 1e-12


def test_may_be_the_test_set_as_in_the_original(
    settings: Settings, split: Split, device: Device
) -> None:
    test = first_images(split, 50)
    a = train(settings(ONE_EPOCH), split, device, held_out=test)
    b = train(settings(ONE_EPOCH), split, device)
    predicted = a.training.model.predict(test.images, verbose=0).argmax(axis=1)
    assert a.epochs[0].val_accuracy == pytest.approx(100 * np.mean(predicted == test.labels))
    assert all(  # all others are trained on
        np.array_equal(x, y) for x, y in zip(a.weights[0], b.weights[0], strict=True)
    )
