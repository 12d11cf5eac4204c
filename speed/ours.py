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
        # As many as in a whole epoch, also where fewer images are measured.
        steps = loop.steps_per_call(TRAINING_IMAGES // task.batch_size, run.max_steps_per_call)
        run.max_steps_per_call = steps
        images = inputs.whole(split)
        few = images._replace(indices=images.indices[: steps * task.batch_size])
        next(run.epochs(few))
        self.compile_seconds = run.compile_seconds
        self.about: dict[str, Any] = {
            "device": device.name,
            "settings": f"Keras on {device.backend}, {steps} steps per call",
            "float32_products": device.float32_products,
            "versions": versions(device),
        }
        self._epochs = run.epochs(images._replace(indices=images.indices[: task.images]))

    def epoch(self) -> float:
        return next(self._epochs).loss


if __name__ == "__main__":
    serve(Ours)
