"""Keras' fit with ImageDataGenerator, as cifar10_resnet.py uses them, as a worker of speed.worker.

It has the settings that are best for it: no XLA on a CPU, where that is slower, and no evaluation
of held-out images.
"""

import time
from typing import Any

import numpy as np

from resnet import backend
from resnet.data import arrays
from resnet.device import versions
from speed.worker import ORIGINAL, Task, serve


class Original:
    def __init__(self, task: Task, split: arrays.Split):
        device = backend.start(task.precision)
        import keras
        from keras.src.legacy.preprocessing.image import ImageDataGenerator  # no longer public

        from resnet import model

        recipe, augment = ORIGINAL.recipe, ORIGINAL.augment
        network = model.build(task.version, task.depth, l2=recipe.l2)
        jit = "auto" if device.gpu else False
        network.compile(
            keras.optimizers.Adam(recipe.learning_rate),
            "categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=jit,
        )
        generator = ImageDataGenerator(
            width_shift_range=augment.shift,
            height_shift_range=augment.shift,
            horizontal_flip=augment.flip,
            fill_mode="nearest",
            interpolation_order=augment.order,
        )

        def flow(images: int) -> Any:
            x = np.array(split.images[:images])
            y = keras.utils.to_categorical(split.labels[:images], len(split.classes))
            batches = generator.flow(x, y, batch_size=task.batch_size)
            batches.workers = 4
            return batches

        # With a partial last batch if the epoch has one, so that this is compiled, too.
        few = flow(4 * task.batch_size + task.images % task.batch_size)
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            network.fit(few, epochs=1, verbose=0)
            seconds.append(time.perf_counter() - start)
        self.compile_seconds = max(0.0, seconds[0] - seconds[-1])
        self.about: dict[str, Any] = {
            "device": device.name,
            "settings": f"Keras on {device.backend}, jit_compile={jit}, workers=4",
            "float32_products": device.float32_products,
            "versions": versions(device),
        }
        self._network, self._batches = network, flow(task.images)

    def epoch(self) -> float:
        return float(self._network.fit(self._batches, epochs=1, verbose=0).history["loss"][0])


if __name__ == "__main__":
    serve(Original)
