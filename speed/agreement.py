"""Does the speed cost accuracy? The original's way and ours on the same images, network and schedule, over several seeds.

A short training on real images: ResNet8v1, 10,000 images, batch 32, 5 epochs, the rate a tenth in the last two so that the accuracy
settles. Each seed gives both ways the same initial weights; order, shifts and flips are each way's own.
"""

import hashlib
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

DEPTH, IMAGES, EPOCHS, BATCH = 8, 10_000, 5, 32
DROP = (3, 0.1)  # from this epoch on, counted from 0, this fraction of the rate
WAYS = ("original float32", "ours float32", "ours bfloat16")
ARRAYS = Path("data/arrays")


def run(seeds: int, log: Callable[[str], None]) -> dict[str, Any]:
    """Accuracies in percent of each way and seed, and whether one step a call and many gave the same bits, in either precision."""
    from resnet import backend
    from resnet.data import arrays

    train, test = arrays.open_split(ARRAYS / "train"), arrays.open_split(ARRAYS / "test")
    accuracies: dict[str, list[float]] = {way: [] for way in WAYS}
    same_bits = {}
    for way in WAYS:
        maker, precision = way.split()
        device = backend.start(precision)
        for seed in range(seeds):
            model = (
                _original(train, seed) if maker == "original" else _ours(train, seed, device, None)
            )
            accuracies[way].append(_accuracy(model, test))
            if maker == "ours" and seed == 0:
                same_bits[precision] = _digest(model) == _digest(_ours(train, seed, device, 1))
            log(f"{way}, seed {seed}: {accuracies[way][-1]:.2f} %")
    about = {
        "network": f"ResNet{DEPTH}v1",
        "images": IMAGES,
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "test_images": len(test.images),
    }
    return {**about, "accuracies": accuracies, "one_step_a_call_gives_the_same_bits": same_bits}


def difference(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Difference of the means, its 95 % interval's half-width, and the difference that so many runs would find four times in five.

    Welch's interval, scipy.stats.ttest_ind; what would be found is 2.8 of its standard errors (1.96 + 0.84), the usual count of power.
    """
    result = stats.ttest_ind(ours, theirs, equal_var=False)
    low, high = result.confidence_interval(0.95)
    error = np.sqrt(
        statistics.variance(ours) / len(ours) + statistics.variance(theirs) / len(theirs)
    )
    return (
        statistics.mean(ours) - statistics.mean(theirs),
        float(high - low) / 2,
        2.8 * float(error),
    )


def _ours(train: Any, seed: int, device: Any, most_steps: int | None) -> Any:
    from resnet import model as networks
    from resnet import params
    from resnet.training import loop as training

    settings = params.load()
    drops = (params.Drop(epoch=DROP[0], factor=DROP[1]),)
    recipe = settings.variant("model").recipe.model_copy(
        update={"batch_size": BATCH, "epochs": EPOCHS, "drops": drops}
    )
    model = networks.build(1, DEPTH, l2=recipe.l2)
    images, _ = training.select(train, None, 0.0)
    few = images._replace(indices=images.indices[:IMAGES])
    for _ in training.Training(model, recipe, settings.augment, seed, device, most_steps).epochs(
        few, None
    ):
        pass
    return model


def _original(train: Any, seed: int) -> Any:
    """Keras' fit with ImageDataGenerator and LearningRateScheduler."""
    import keras
    from keras.src.legacy.preprocessing.image import ImageDataGenerator  # no longer public

    from resnet import model as networks
    from resnet import params
    from resnet.training import draws

    settings = params.load()
    recipe, augment = settings.variant("model").recipe, settings.augment
    keras.utils.set_random_seed(seed)
    model = networks.build(1, DEPTH, l2=recipe.l2)
    networks.initialize(model, draws.weights_generator(seed))
    model.compile(
        keras.optimizers.Adam(recipe.learning_rate), "categorical_crossentropy", jit_compile=False
    )
    generator = ImageDataGenerator(
        width_shift_range=augment.shift,
        height_shift_range=augment.shift,
        horizontal_flip=augment.flip,
        interpolation_order=augment.order,
    )
    x, y = (
        np.array(train.images[:IMAGES]),
        keras.utils.to_categorical(train.labels[:IMAGES], len(train.classes)),
    )
    rate = keras.callbacks.LearningRateScheduler(
        lambda epoch: recipe.learning_rate * (DROP[1] if epoch >= DROP[0] else 1)
    )
    model.fit(
        generator.flow(x, y, batch_size=BATCH, seed=seed),
        epochs=EPOCHS,
        verbose=0,
        callbacks=[rate],
    )
    return model


def _accuracy(model: Any, test: Any) -> float:
    predicted = model.predict(test.images, batch_size=500, verbose=0).argmax(axis=1)
    return 100 * float((predicted == test.labels).mean())


def _digest(model: Any) -> str:
    return hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights())).hexdigest()
