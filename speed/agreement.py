"""Whether ours and the original reach the same accuracy, over several seeds.

Short trainings on the same images: ResNet8v1, 10,000 images, batch 32, 5 epochs, with a tenth of
the learning rate in the last two, so that the accuracy converges. With the same seed both start
from the same weights; each draws its own order, shifts and flips.
"""

import hashlib
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from speed.worker import ORIGINAL

DEPTH, IMAGES, EPOCHS, BATCH = 8, 10_000, 5, 32
DROP = (3, 0.1)  # the first epoch, counted from 0, of this fraction of the learning rate
IMPLEMENTATIONS = ("original float32", "ours float32", "ours bfloat16")


def run(seeds: int, log: Callable[[str], None]) -> dict[str, Any]:
    """Accuracies in percent, and whether the weights are independent of the steps per call."""
    from resnet import backend
    from resnet.data import arrays

    train, test = (
        arrays.open_split(arrays.FOLDER / "train"),
        arrays.open_split(arrays.FOLDER / "test"),
    )
    accuracies: dict[str, list[float]] = {name: [] for name in IMPLEMENTATIONS}
    independent = {}
    for name in IMPLEMENTATIONS:
        maker, precision = name.split()
        device = backend.start(precision)
        for seed in range(seeds):
            model = (
                _original(train, seed) if maker == "original" else _ours(train, seed, device, None)
            )
            accuracies[name].append(_accuracy(model, test))
            if maker == "ours" and seed == 0:
                independent[precision] = _digest(model) == _digest(_ours(train, seed, device, 1))
            log(f"{name}, seed {seed}: {accuracies[name][-1]:.2f} %")
    about = {
        "network": f"ResNet{DEPTH}v1",
        "images": IMAGES,
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "test_images": len(test.images),
    }
    return {**about, "accuracies": accuracies, "independent_of_steps_per_call": independent}


def difference(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Difference of the means, and the half-width of its 95 % confidence interval (Welch)."""
    result = stats.ttest_ind(ours, theirs, equal_var=False)
    low, high = result.confidence_interval(0.95)
    return statistics.mean(ours) - statistics.mean(theirs), float(high - low) / 2


def _ours(train: Any, seed: int, device: Any, max_steps_per_call: int | None) -> Any:
    from resnet import model as networks
    from resnet.training import inputs, loop
    from resnet.variant import Drop

    drops = (Drop(epoch=DROP[0], factor=DROP[1]),)
    recipe = ORIGINAL.recipe.model_copy(
        update={"batch_size": BATCH, "epochs": EPOCHS, "drops": drops}
    )
    model = networks.build(1, DEPTH, l2=recipe.l2)
    images = inputs.whole(train)
    few = images._replace(indices=images.indices[:IMAGES])
    training = loop.Training(
        model, DEPTH, recipe, ORIGINAL.augment, seed, device, max_steps_per_call
    )
    for _ in training.epochs(few):
        pass
    return model


def _original(train: Any, seed: int) -> Any:
    """Keras' fit with ImageDataGenerator and LearningRateScheduler."""
    import keras
    from keras.src.legacy.preprocessing.image import ImageDataGenerator  # no longer public

    from resnet import model as networks
    from resnet.training import draws

    recipe, augment = ORIGINAL.recipe, ORIGINAL.augment
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
    x = np.array(train.images[:IMAGES])
    y = keras.utils.to_categorical(train.labels[:IMAGES], len(train.classes))
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
