"""Files that are whole or not there."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet.files import replaced, write_text


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 10 bytes, so that a write fails as on a full disk: faults/inputs.py has a real one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (10, before[1])
    )  # Python ignores the signal, so the write itself fails
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_a_write_that_fails_says_where_and_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_text(path, "before")
    with pytest.raises(OSError, match="File too large") as caught:
        write_text(path, "after" * 10)
    assert caught.value.filename == str(path)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["metrics.json"]  # noqa: PTH208


def test_an_error_that_is_not_of_the_system_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Not a gzipped file") as caught, replaced(tmp_path / "x"):
        raise OSError("Not a gzipped file")
    assert caught.value.filename is None
