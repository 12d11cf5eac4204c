"""The trainings of this checkout on many GPUs and machines, with Ray.

`python -m cluster` is the driver: `make table CLUSTER=local`, `make reproduce CLUSTER=HOST:6379`.
It trains what `dvc repro` would train and puts the results in DVC's cache. See README.md.
"""
