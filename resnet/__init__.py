"""The benchmark's library. The stages and scripts call it, and it never calls them.

Read model.py first, then data/, training/ and results/, in the order in which an image passes
through them. params.py reads params.yaml as checked values and resolves its variants. backend.py
starts Keras on TensorFlow or JAX and finds the device. pretrained.py is for those who only want the
trained networks.
"""
