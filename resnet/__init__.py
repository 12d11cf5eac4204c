"""The benchmark's library: the stages and scripts call it, and it never calls them.

Read model.py first, then data/, training/ and results/, in the order an image passes through them.
params.py is params.yaml as checked values; backend.py is TensorFlow or JAX, and the device.
"""
