"""Atomic writes, flushing to the disk, and locks between real processes."""

import errno
import fcntl
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from resnet import files
from resnet.errors import BenchmarkError
from resnet.files import exclusive_lock, read_json, replaced, sync, write_json, write_text
from tests.support.checkout import ROOT

FOLDER_ERRORS = [errno.EINVAL, errno.EBADF, errno.EIO, errno.ENOTSUP]
NO_FLOCK = [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS]
HOLDER = """
import errno, fcntl, os, sys, time
from pathlib import Path
from resnet.files import exclusive_lock
if len(sys.argv) > 2:
    def refused(*_):
        raise OSError(int(sys.argv[2]), os.strerror(int(sys.argv[2])))
    fcntl.flock = refused
with exclusive_lock(Path(sys.argv[1]), "busy: {holder}"):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may exceed 10 bytes, so a write fails as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))  # Python ignores the signal
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_a_failed_write_names_the_file_and_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_text(path, "before")
    with pytest.raises(OSError, match="File too large") as caught:
        write_text(path, "after" * 10)
    assert caught.value.filename == str(path)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["metrics.json"]  # noqa: PTH208


def test_an_error_without_a_system_error_number_is_unchanged(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Not a gzipped file") as caught, replaced(tmp_path / "x"):
        raise OSError("Not a gzipped file")
    assert caught.value.filename is None


def test_a_reader_sees_the_old_content_or_the_new(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "before")
    with (tmp_path / "a").open() as file:
        write_text(tmp_path / "a", "after")
        assert file.read() == "before"
    assert (tmp_path / "a").read_text() == "after"


def test_json_round_trip(tmp_path: Path) -> None:
    value = {"name": "Läufe", "values": [1, 0.5, None]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert read_json(tmp_path / "a.json") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "must be a JSON object, is a list"),
        ('{"a": NaN}', "not JSON: NaN is not a JSON number"),
        ("{", "not JSON: "),
        (None, "no such file"),
    ],
)
def test_json_that_cannot_be_read(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BenchmarkError, match=f"^{re.escape(f'{path}: {message}')}"):
        read_json(path)


@pytest.fixture
def fsync_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make os.fsync fail with an error number: no file system here refuses it."""

    def fail_with(number: int) -> None:
        def fsync(_descriptor: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fsync)

    monkeypatch.setattr(files, "_warned", set())
    return fail_with


@pytest.mark.parametrize("number", FOLDER_ERRORS)
def test_a_folder_that_cannot_be_flushed_is_one_warning(
    tmp_path: Path,
    fsync_fails: Callable[[int], None],
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    sync(tmp_path)
    assert capsys.readouterr().out == ""
    fsync_fails(number)
    sync(tmp_path)
    sync(tmp_path.parent)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"warning: {tmp_path}: ")
    assert os.strerror(number) in line
    assert "a power failure may lose" in line


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_an_error(
    tmp_path: Path, fsync_fails: Callable[[int], None], number: int
) -> None:
    (tmp_path / "state").touch()
    fsync_fails(number)
    for path in (tmp_path, tmp_path / "state"):
        with pytest.raises(OSError, match=os.strerror(number)) as caught:
            sync(path)
        assert caught.value.filename == str(path)


def test_a_file_that_cannot_be_flushed_is_a_warning_unless_its_content_is_lost(
    tmp_path: Path, fsync_fails: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").touch()
    fsync_fails(errno.EINVAL)
    sync(tmp_path / "state")
    sync(tmp_path)  # another warning, since files and folders differ
    assert len(capsys.readouterr().out.splitlines()) == 2
    fsync_fails(errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        sync(tmp_path / "state")


@contextmanager
def holder(path: Path, *flock_error: int) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock; it lets go when its input is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), *map(str, flock_error)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdin
        try:
            assert process.stdout.readline() == "locked\n"
            yield process
            process.stdin.close()
            assert process.wait() in (0, -signal.SIGKILL)
        finally:
            process.kill()


def refusal(path: Path) -> str:
    with (
        pytest.raises(BenchmarkError) as caught,
        exclusive_lock(path, "{a} is being trained, by {holder}"),
    ):
        pass
    return str(caught.value)


def by(pid: int) -> str:
    """The start of a refusal, as a regular expression."""
    host = re.escape(socket.gethostname())
    return rf"{{a}} is being trained, by process {pid} on {host}, since \d{{4}}-[-: \d]+"


def test_a_lock_is_refused_until_its_holder_ends_or_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "model"
    with holder(path) as process:
        assert re.fullmatch(by(process.pid), refusal(path))
    with exclusive_lock(path, "free"):  # replaces the name of the process before
        assert re.fullmatch(by(os.getpid()), refusal(path))
    with holder(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with exclusive_lock(path, "free"):
            pass


def test_a_lock_is_released_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), exclusive_lock(tmp_path / "lock", "busy"):
            raise ZeroDivisionError


@pytest.mark.parametrize("number", NO_FLOCK)
def test_without_flock_a_file_is_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)
    path, file = tmp_path / "lock", tmp_path / "lock.exclusive"
    with holder(path, number) as process:
        hint = re.escape(f"; if that process has ended, remove {file}")
        assert re.fullmatch(by(process.pid) + hint, refusal(path))
        assert file.exists()
    assert not file.exists()
    with pytest.raises(ZeroDivisionError), exclusive_lock(path, "busy"):
        raise ZeroDivisionError
    with holder(path, number) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert re.fullmatch(by(process.pid) + hint, refusal(path))
    file.unlink()
    with exclusive_lock(path, "free"):
        pass


def test_another_error_of_flock_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refused)
    with (
        pytest.raises(OSError, match=os.strerror(errno.EIO)) as caught,
        exclusive_lock(tmp_path / "lock", "busy"),
    ):
        pass
    assert caught.value.filename == str(tmp_path / "lock")
