"""What the backend tells of the machine it is on."""

import pytest

from resnet.backend import Device, memory_errors
from resnet.errors import BenchmarkError


def allocate(gigabytes: int) -> None:
    from keras import ops

    ops.add(ops.zeros((gigabytes, 250_000_000)), 1.0)


def test_no_memory_left_is_one_line_with_advice(device: Device) -> None:  # noqa: ARG001  # Keras is on its backend
    told = r"^out of memory: .*(OOM|[Mm]emory).*; lower batch_size$"
    with pytest.raises(BenchmarkError, match=told) as caught, memory_errors("lower batch_size"):
        allocate(1_000_000)
    assert len(str(caught.value).splitlines()) == 1


def test_another_error_is_no_lack_of_memory() -> None:
    with pytest.raises(ValueError, match="as it was"), memory_errors("lower batch_size"):
        raise ValueError("as it was")
