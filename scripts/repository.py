"""This checkout as DVC reads it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from resnet.errors import BenchmarkError


@contextmanager
def repository() -> Iterator[Any]:
    """Open the dvc.repo.Repo of the current folder.

    DVC's errors within the block, e.g. about a dvc.yaml that is not valid, become BenchmarkError.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo  # takes a second to import

    try:
        with Repo(".") as repo:
            yield repo
    except DvcException as error:
        raise BenchmarkError(f"DVC: {' '.join(str(error).split())}") from error
