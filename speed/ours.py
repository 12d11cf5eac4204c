"""Our train step, as `python -m stages.train` runs it. A way of speed.worker."""

from typing import Any

from resnet import backend, params
from resnet.data import arrays
from speed.worker import TRAINING_IMAGES, Task, serve


class Ours:
    def __init__(self, task: Task, split: arrays.Split):
        device = backend.start(task.precision)
        from resnet import model
        from resnet.training import loop as training

        settings = params.load()
        recipe = settings.variant("model").recipe.model_copy(
            update={"batch_size": task.batch_size, "epochs": 10**6, "drops": ()}
        )
        run = training.Training(
            model.build(task.version, task.depth, l2=recipe.l2), recipe, settings.augment, 0, device
        )
        run.most_steps = training.steps_per_call(
            TRAINING_IMAGES // task.batch_size, run.most_steps
        )  # also where fewer images are asked for
        images, _ = training.select(split, None, 0.0)
        few = images._replace(indices=images.indices[: run.most_steps * task.batch_size])
        next(run.epochs(few, None))
        self.compile_seconds = run.compile_seconds
        self.about: dict[str, Any] = {
            "device": device.name,
            "settings": f"Keras on {device.backend}, {run.most_steps} steps a call",
            "float32_products": device.float32_products,
            "versions": backend.versions(device.backend),
        }
        self._epochs = run.epochs(images._replace(indices=images.indices[: task.images]), None)

    def epoch(self) -> float:
        return next(self._epochs).loss


if __name__ == "__main__":
    serve(Ours)
