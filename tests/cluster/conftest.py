"""The tests that need Ray are collected where it is installed; `make cluster-test` installs it."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from cluster.loopback import Cluster

NEED_RAY = ["test_ends.py", "test_gpus.py", "test_nodes.py", "test_same_bits.py"]
collect_ignore = [] if find_spec("ray") else NEED_RAY


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with one node; tests add others and end them."""
    started = Cluster()
    try:
        started.add()
        yield started
    finally:
        started.stop()
