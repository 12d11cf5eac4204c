"""Files that are whole or not there."""

import os
from pathlib import Path

import pytest

from resnet.files import replaced, write_text

FULL = Path("/dev/full")  # Linux' device on which every write finds no space left


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
def test_no_space_left_says_where_and_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_text(path, "before")
    path.with_name(".full").symlink_to(FULL)
    with pytest.raises(OSError, match="No space left on device") as caught, replaced(path) as partial:
        path.with_name(".full").rename(partial).write_text("after")
    assert caught.value.filename == str(path)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["metrics.json"]  # noqa: PTH208


def test_an_error_that_is_not_of_the_system_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Not a gzipped file") as caught, replaced(tmp_path / "x"):
        raise OSError("Not a gzipped file")
    assert caught.value.filename is None
