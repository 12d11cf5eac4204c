"""How scripts/repository.py lets DVC read the files of a commit."""

import threading
import time
from pathlib import Path
from queue import Queue
from typing import Any

import pygit2
import pytest

from scripts.repository import whole_files


def test_a_file_is_read_in_full_when_its_reader_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `whole_files`, this reader leaves out a part or waits for good in pygit2 1.21.0."""
    content = bytes(range(256)) * 1024  # several parts
    repo = pygit2.init_repository(tmp_path)
    blob = repo[repo.create_blob(content)]
    assert isinstance(blob, pygit2.Blob)
    is_empty, read = Queue.empty, list[bytes]()

    def interrupted(self: Queue[Any]) -> bool:
        found = is_empty(self)
        time.sleep(0.1 if found else 0)  # a writer continues meanwhile
        return found

    def reader() -> None:
        with pygit2.BlobIO(blob) as file:
            read.append(file.read())

    monkeypatch.setattr(Queue, "empty", interrupted)
    with whole_files():
        thread = threading.Thread(target=reader, daemon=True)
        thread.start()
        thread.join(timeout=120)
    assert [len(each) for each in read] == [len(content)]
    assert read == [content]
