"""This checkout as DVC reads it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any
from unittest.mock import patch

from resnet.errors import BenchmarkError

DVC = (sys.executable, "-m", "scripts.repository")  # dvc, in a process that reads whole files


@contextmanager
def repository() -> Iterator[Any]:
    """Open the dvc.repo.Repo of the current folder.

    DVC's errors within the block, e.g. about a dvc.yaml that is not valid, become BenchmarkError.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo  # takes a second to import

    try:
        with whole_files(), Repo(".") as repo:
            yield repo
    except DvcException as error:
        raise BenchmarkError(f"DVC: {' '.join(str(error).split())}") from error


@contextmanager
def whole_files() -> Iterator[None]:
    """Let pygit2, through which DVC reads the files of a commit, read each one in full first.

    In pygit2 1.21.0, a thread queues the parts of a file, one at a time. The reader finds the queue
    empty, and then looks at the thread's other signals, which may have changed in between: on a
    busy machine it can wait for good, or leave out the last part.
    """
    from pygit2.blob import _BlobIO

    start = _BlobIO.__init__

    def start_and_finish(self: Any, *arguments: Any, **options: Any) -> None:
        start(self, *arguments, **options)
        self._thread.join()

    def unlimited(maxsize: int) -> Queue[bytes]:  # noqa: ARG001
        return Queue()

    with (
        patch("pygit2.blob.Queue", unlimited),
        patch.object(_BlobIO, "__init__", start_and_finish),
    ):
        yield


if __name__ == "__main__":
    from dvc.cli import main

    with whole_files():
        sys.exit(main(sys.argv[1:]))
