"""Files and folders that are either whole under their final name or not there."""

import fcntl
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resnet.errors import BenchmarkError


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write a file or a folder at; rename it over `path` when the block ends without an error.

    After an error nothing is left but what was at `path` before. An error of the system that names no file, of a full disk say,
    then names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(
        f".{path.name}.partial{path.suffix}"
    )  # the suffix stays: Keras saves by it
    _remove(partial)
    try:
        yield partial
        if path.is_dir():  # a folder cannot be renamed over another
            _remove(path)
        partial.replace(path)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        _remove(partial)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, replacing the one at `path` at once."""
    with replaced(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON that reads well in a diff; a value that is not finite is a ValueError."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises BenchmarkError where the file is missing or holds something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise BenchmarkError(f"{path}: no such file") from error
    except ValueError as error:
        raise BenchmarkError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BenchmarkError(f"{path}: must hold a JSON object, holds {type(value).__name__}")
    return value


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def exclusive_lock(path: Path, busy: str) -> Iterator[None]:
    """Hold a lock that the operating system releases however this process ends.

    Raises BenchmarkError with the text `busy` where another process holds it; `{holder}` in the
    text is replaced by that process' id, host and start time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise BenchmarkError(busy.format(holder=file.read() or "another process")) from error
        file.truncate(0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {since}")
        file.flush()
        yield


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no figure")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
