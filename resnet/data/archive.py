"""Extract CIFAR-10's files from an untrusted archive or folder, each checked by its SHA-256."""

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from resnet.data.cifar10 import FOLDER, OFFICIAL, Member
from resnet.errors import BenchmarkError
from resnet.files import replaced

CHUNK = 2**18  # bytes read at once
MAX_NAME = 200  # characters of an entry's name that an error shows
MAX_ENTRIES = 100  # the official archive has 9; one repacked on a Mac has twice as many
OPENERS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
OTHER_PACKINGS = {
    b"PK\x03\x04": "a ZIP archive",
    b"\x28\xb5\x2f\xfd": "Zstandard compression",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
}


def extract_members(
    source: Path, target: Path, members: Mapping[str, Member] = OFFICIAL, *, name: str = ""
) -> None:
    """Extract the members of the archive or folder `source` to the folder `target`.

    `target` is replaced as a whole or not at all. `source` is a tar archive, plain or compressed
    with gzip, bzip2 or xz, which has the members in a folder cifar-10-batches-py at any depth or in
    none; or it is such a folder or one that contains it. No path that an archive names is ever
    written to, and memory is bounded. Raises BenchmarkError that starts with `name` (default: the
    path of `source`) where a member is missing or not the official one, or where an archive is
    damaged or has an entry that no honest archive has.
    """
    name = name or str(source)
    with replaced(target) as partial:
        partial.mkdir()
        if source.is_dir():
            _from_folder(source, partial, members, name)
        elif source.is_file():
            _from_tar(source, partial, members, name)
        else:
            raise BenchmarkError(f"{name}: no such file or folder")


def _from_folder(source: Path, target: Path, members: Mapping[str, Member], name: str) -> None:
    inner = source / FOLDER.name
    folder = inner if inner.is_dir() else source
    for key, member in members.items():
        path = folder / key
        where = f"{name}: {path.relative_to(source)}"
        if not path.is_file():
            raise BenchmarkError(f"{where} is missing")
        if path.stat().st_size != member.size:
            raise BenchmarkError(
                f"{where} has {path.stat().st_size:,} bytes, the official file {member.size:,}"
            )
        with path.open("rb") as file:
            _copy(file, target / key, member, where)


def _from_tar(source: Path, target: Path, members: Mapping[str, Member], name: str) -> None:
    _refuse_other_packing(source, name)
    largest = max(member.size for member in members.values())
    extracted = set()
    with source.open("rb") as file:
        stream = _Bounded(file, name, 2 * sum(member.size for member in members.values()) + 2**20)
        for info in _entries(stream, name):
            where = f"{name}: {info.name[:MAX_NAME]!r}"
            _refuse_hostile(info, largest, where)
            *folders, member = info.name.removeprefix("./").split("/")
            in_place = folders == [FOLDER.name]
            elsewhere = not folders or folders[-1] == FOLDER.name  # as others pack it
            if info.isdir() or member not in members or not (in_place or elsewhere):
                continue
            if not in_place and (member in extracted or info.size != members[member].size):
                continue
            if info.size != members[member].size:
                raise BenchmarkError(
                    f"{where} has {info.size:,} bytes, the official file {members[member].size:,}"
                )
            stream.seek(info.offset_data)
            _copy(stream, target / member, members[member], where)
            extracted.add(member)
    for member in members:
        if member not in extracted:
            raise BenchmarkError(f"{name}: {FOLDER.name}/{member} is missing")


def _entries(stream: "_Bounded", name: str) -> Iterator[tarfile.TarInfo]:
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for count, info in enumerate(tar):
                if count == MAX_ENTRIES:
                    raise BenchmarkError(f"{name}: has more than {MAX_ENTRIES} entries")
                yield info
    except (BenchmarkError, OSError):
        raise
    except Exception as error:  # on hostile headers, tarfile raises more than its own errors
        raise BenchmarkError(f"{name}: not a tar archive, or a damaged one: {error}") from error


def _refuse_other_packing(source: Path, name: str) -> None:
    with source.open("rb") as file:
        start = file.read(4)
    for magic, kind in OTHER_PACKINGS.items():
        if start.startswith(magic):
            raise BenchmarkError(f"{name}: {kind} is not supported: unpack it and name the folder")


def _refuse_hostile(info: tarfile.TarInfo, largest: int, where: str) -> None:
    if info.name.startswith("/") or ".." in info.name.split("/"):
        raise BenchmarkError(f"{where} is a path outside the archive's folder")
    if info.issym() or info.islnk():
        raise BenchmarkError(f"{where} is a link")
    if not info.isdir() and (not info.isreg() or info.issparse()):
        raise BenchmarkError(f"{where} is neither a plain file nor a folder")
    if not 0 <= info.size <= largest:
        raise BenchmarkError(
            f"{where} has {info.size:,} bytes, the largest official file {largest:,}"
        )


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _copy(stream: _Readable, path: Path, member: Member, where: str) -> None:
    """Copy a member to `path`, which appears only if the bytes are the official ones."""
    digest = hashlib.sha256()
    left = member.size
    with replaced(path) as partial:
        with partial.open("wb") as file:
            while left and (chunk := stream.read(min(left, CHUNK))):
                digest.update(chunk)
                file.write(chunk)
                left -= len(chunk)
        if left:
            raise BenchmarkError(f"{where} is cut short")
        if digest.hexdigest() != member.sha256:
            raise BenchmarkError(
                f"{where} is not the official file: its SHA-256 is {digest.hexdigest()}, "
                f"not {member.sha256}"
            )


class _Bounded:
    """The decompressed bytes of an archive, with a limit against decompression bombs.

    tarfile reads an extended header into memory at the size that the header states, and a small
    file can decompress to any length.
    """

    def __init__(self, file: IO[bytes], name: str, limit: int) -> None:
        magic = file.read(6)
        file.seek(0)
        opener = next(
            (opener for start, opener in OPENERS.items() if magic.startswith(start)), None
        )
        self._file = opener(file) if opener else file
        self._name = name
        self._limit = limit

    def read(self, size: int, /) -> bytes:
        if not 0 <= size <= CHUNK:
            raise BenchmarkError(f"{self._name}: a header of {size:,} bytes")
        self._check(self.tell() + size)
        try:
            return self._file.read(size)
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise BenchmarkError(f"{self._name}: damaged or cut short: {error}") from error

    def seek(self, position: int, /) -> int:
        self._check(position)
        try:
            return self._file.seek(position)
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise BenchmarkError(f"{self._name}: damaged or cut short: {error}") from error

    def tell(self) -> int:
        return self._file.tell()

    def write(self, _data: bytes, /) -> int:
        raise io.UnsupportedOperation("write")  # for tarfile's type; reading never calls it

    def close(self) -> None:
        pass  # the caller closes the file

    def _check(self, position: int) -> None:
        if position > self._limit:
            raise BenchmarkError(f"{self._name}: decompresses to more than {self._limit:,} bytes")
