"""Tests of resnet/training: one training, from its random draws to its saved states.

Each part is compared with an independent reference: Keras' layers and optimizers, NumPy, or a run
that was not interrupted.
"""
