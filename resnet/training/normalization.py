"""Batch normalization in one kernel while training, where the backend has one that Keras does not use."""

import keras
from keras import layers, ops

from resnet import backend


class FusedBatchNormalization(layers.BatchNormalization):  # type: ignore[misc]  # Keras has no types
    """Keras' batch normalization, trained by the backend's fused kernel: statistics in float32, results equal to rounding."""

    def call(
        self, inputs: keras.KerasTensor, training: bool | None = None, mask: None = None
    ) -> keras.KerasTensor:
        """Normalize (batch, height, width, channels) by the batch's own statistics while training, else by the moving ones."""
        if not training:
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = backend.fused_batch_normalization(
            inputs, self.gamma.value, self.beta.value, self.epsilon
        )
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(
                moving * self.momentum + ops.cast(now, moving.dtype) * (1 - self.momentum)
            )
        return outputs


def fused(model: keras.Model) -> keras.Model:
    """A twin of the model to train in its place, its variables in the same order; the model itself where nothing is faster.

    Checkpoints are saved from the model, so they hold stock Keras layers only.
    """
    if not backend.has_fused_batch_normalization():
        return model

    def twin(layer: layers.Layer) -> layers.Layer:
        kind = FusedBatchNormalization if type(layer) is layers.BatchNormalization else type(layer)
        return kind.from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=twin)
