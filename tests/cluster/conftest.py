"""The tests that need Ray are collected where it is installed; `make cluster-test` installs it."""

from importlib.util import find_spec

NEED_RAY = ["test_nodes.py", "test_same_bits.py"]
collect_ignore = [] if find_spec("ray") else NEED_RAY
