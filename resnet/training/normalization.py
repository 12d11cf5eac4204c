"""Batch normalization in one kernel in training, where the backend has one Keras does not use."""

import keras
from keras import layers, ops

from resnet import backend


class FusedBatchNormalization(layers.BatchNormalization):  # type: ignore[misc]  # no types
    """Keras' batch normalization, but its training runs in the backend's fused kernel.

    Statistics are in float32, and results are equal up to rounding.
    """

    def call(
        self, inputs: keras.KerasTensor, training: bool | None = None, mask: None = None
    ) -> keras.KerasTensor:
        """Normalize (n, h, w, c) by the batch's statistics in training, else by the moving ones."""
        if not training:
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = backend.fused_batch_normalization(
            inputs, self.gamma.value, self.beta.value, self.epsilon
        )
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            now = ops.cast(now, moving.dtype)
            moving.assign(moving * self.momentum + now * (1 - self.momentum))
        return outputs


def fused(model: keras.Model) -> keras.Model:
    """A twin of the model to train in its place, with its variables in the same order.

    It is the model itself where nothing is faster. Checkpoints are saved from the model, so they
    contain stock Keras layers only.
    """
    if not backend.has_fused_batch_normalization():
        return model

    def twin(layer: layers.Layer) -> layers.Layer:
        fusable = type(layer) is layers.BatchNormalization
        kind = FusedBatchNormalization if fusable else type(layer)
        return kind.from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=twin)
