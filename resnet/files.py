"""Files and folders that appear complete under their final name or not at all, and locks."""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resnet.errors import BenchmarkError

UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
# What SMB, virtiofs and drvfs answer where they cannot sync a folder. For a file, these two are
# real errors: its content may be lost.
FOLDER_UNSUPPORTED = UNSUPPORTED | {errno.EBADF, errno.EIO}
FLOCK_UNSUPPORTED = UNSUPPORTED | {errno.ENOLCK}  # NFS without a lock manager, Lustre
# by systems and editors, as in .dvcignore
LEFT_BEHIND = re.compile(r"\.DS_Store|\._.*|\.directory|Thumbs\.db|desktop\.ini|.*\.swp|.*~")
_warned: set[str] = set()


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`, and rename it to `path` when the block succeeds.

    The block writes a file or a folder there. After an error `path` is unchanged and the temporary
    file is removed. An OSError that names no file, e.g. of a full disk, then names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Keras chooses the format by the suffix, so the suffix stays last.
    partial = path.with_name(f".{path.name}.partial{path.suffix}")
    _remove(partial)
    try:
        with names_in_errors(path):
            yield partial
            if path.is_dir():  # a folder cannot be renamed over another
                _remove(path)
            partial.replace(path)
    finally:
        _remove(partial)


@contextmanager
def names_in_errors(path: Path) -> Iterator[None]:
    """Within the block, an OSError that names no file, e.g. of a full disk, names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, replacing the one at `path` atomically."""
    with replaced(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON; raises ValueError for NaN and infinities."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises BenchmarkError where there is no file or another content."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise BenchmarkError(f"{path}: no such file") from error
    except ValueError as error:
        raise BenchmarkError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BenchmarkError(f"{path}: must be a JSON object, is a {type(value).__name__}")
    return value


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk, so that it survives a power failure.

    A file system that cannot do this is no reason to stop: a warning is printed once per process.
    Raises OSError, which names `path`, for every other failure, e.g. a full disk.
    """
    kind = "folder" if path.is_dir() else "file"
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (FOLDER_UNSUPPORTED if kind == "folder" else UNSUPPORTED):
            error.filename = str(path)
            raise
        if kind not in _warned:
            _warned.add(kind)
            print(
                f"warning: {path}: this file system cannot flush a {kind} to the disk "
                f"({error.strerror}): a power failure may lose the last files saved",
                flush=True,
            )
    finally:
        os.close(descriptor)


@contextmanager
def exclusive_lock(path: Path, busy: str) -> Iterator[None]:
    """Hold a lock that the operating system releases however this process ends.

    Raises BenchmarkError with the text `busy` where another process holds it; `{holder}` in the
    text is replaced by the id, host and start time of that process. On a file system without
    flock, the lock is the existence of a second file, which a killed process leaves behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise BenchmarkError(_busy(busy, file.read())) from error
        except OSError as error:
            if error.errno not in FLOCK_UNSUPPORTED:
                error.filename = str(path)
                raise
        else:
            file.truncate(0)
            file.write(_this_process())
            file.flush()
            yield
            return
    with _exclusive_file(path.with_name(f"{path.name}.exclusive"), busy):
        yield


@contextmanager
def _exclusive_file(path: Path, busy: str) -> Iterator[None]:
    """Create `path`, which must not exist, and remove it after the block."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_this_process())
    except FileExistsError as error:
        text = _busy(busy, path.read_text(encoding="utf-8"))
        raise BenchmarkError(f"{text}; if that process has ended, remove {path}") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _this_process() -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"process {os.getpid()} on {socket.gethostname()}, since {since}"


def _busy(text: str, holder: str) -> str:
    return text.replace("{holder}", holder or "another process")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
