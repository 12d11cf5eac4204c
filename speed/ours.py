"""The training of `python -m stages.train`, as a worker of speed.worker."""

from typing import Any

from resnet import backend
from resnet.data import arrays
from resnet.device import versions
from speed.worker import ORIGINAL, TRAINING_IMAGES, Task, serve


class Ours:
    def __init__(self, task: Task, split: arrays.Split):
        device = backend.start(task.precision)
        from resnet import model
        from resnet.training import inputs, loop

        recipe = ORIGINAL.recipe.model_copy(
            update={"batch_size": task.batch_size, "epochs": 10**6, "drops": ()}
        )
        network = model.build(task.version, task.depth, l2=recipe.l2)
        run = loop.Training(network, task.depth, recipe, ORIGINAL.augment, 0, device)
        epoch = TRAINING_IMAGES if task.whole_calls else task.images
        steps = loop.steps_per_call(epoch // task.batch_size, run.max_steps_per_call)
        run.max_steps_per_call = steps
        images, call = task.images, steps * task.batch_size
        if task.whole_calls:
            images = max(1, images // call) * call
        whole = inputs.whole(split)
        self._epochs = run.epochs(whole._replace(indices=whole.indices[:images]))
        next(self._epochs)  # compiles, and is not timed
        self.compile_seconds = run.compile_seconds
        self.about: dict[str, Any] = {
            "images": images,
            "device": device.name,
            "settings": f"Keras on {device.backend}, {steps} steps per call",
            "float32_products": device.float32_products,
            "versions": versions(device),
        }

    def epoch(self) -> float:
        return next(self._epochs).loss


if __name__ == "__main__":
    serve(Ours)
