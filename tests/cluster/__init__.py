"""Tests of the trainings on many GPUs and machines.

Those that need Ray start a real cluster on this machine; `make cluster-test` installs Ray and runs
them, and without Ray conftest.py leaves them out of `make test`.
"""
