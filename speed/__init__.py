"""Training speed and memory beside Keras' own `fit` and a PyTorch loop.

`make speed` or `python -m speed PART ...` measures on this machine, and the results are in
speed/README.md. ours.py, original.py and pytorch.py are the three that are compared.
"""
