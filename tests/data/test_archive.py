import gzip
import os
import pickle
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet.data.archive import extract_members
from resnet.data.cifar10 import FOLDER
from resnet.errors import BenchmarkError
from tests.support.archives import CONTENTS, MEMBERS, entry, files, make_archive


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.tar.gz", "w:gz"),
        ("a.tgz", "w:gz"),
        ("a.tar", "w"),
        ("a.bz2", "w:bz2"),
        ("a.xz", "w:xz"),
        ("a", "w:gz"),
    ],
)
def test_any_compression(tmp_path: Path, name: str, mode: str) -> None:
    extract_members(make_archive(tmp_path / name, mode=mode), tmp_path / "out" / "set", MEMBERS)
    assert files(tmp_path / "out") == {f"set/{name}": content for name, content in CONTENTS.items()}


def test_other_entries_are_ignored(tmp_path: Path) -> None:
    """A leading './', folders, other files, and a member that comes twice with the same bytes."""
    folder = entry(f"./{FOLDER.name}", type=tarfile.DIRTYPE)
    again = entry(f"./{FOLDER.name}/readme.html", CONTENTS["readme.html"])
    others = (
        entry(f"{FOLDER.name}/._readme.html", b"mac"),
        entry("readme.html", b"another"),
        entry(f"x/{FOLDER.name}/readme.html", b"another"),
    )
    extract_members(
        make_archive(tmp_path / "a.tar", folder, again, *others, prefix=f"./{FOLDER.name}/"),
        tmp_path / "out",
        MEMBERS,
    )
    assert files(tmp_path / "out") == CONTENTS


@pytest.mark.parametrize("prefix", ["", "./", f"data/{FOLDER.name}/"])
def test_an_archive_without_the_folder_or_with_it_deeper(tmp_path: Path, prefix: str) -> None:
    extract_members(make_archive(tmp_path / "a.tar", prefix=prefix), tmp_path / "out", MEMBERS)
    assert files(tmp_path / "out") == CONTENTS


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x28\xb5\x2f\xfd", "Zstandard compression"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!\x1a\x07", "a RAR archive"),
    ],
)
def test_other_packings_are_named(tmp_path: Path, start: bytes, kind: str) -> None:
    (tmp_path / "a").write_bytes(start + bytes(1000))
    refused(tmp_path, tmp_path / "a", f"{kind} is not supported: unpack it and name the folder")


def test_replaces_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    extract_members(make_archive(tmp_path / "a.tar"), tmp_path / "out", MEMBERS)
    assert files(tmp_path / "out") == CONTENTS


@pytest.mark.parametrize("inner", ["", FOLDER.name])
def test_folder(tmp_path: Path, inner: str) -> None:
    folder = tmp_path / "in" / inner
    folder.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    (folder / "more").touch()
    extract_members(tmp_path / "in", tmp_path / "out", MEMBERS)
    assert files(tmp_path / "out") == CONTENTS
    (folder / "test_batch").write_bytes(b"TEST" * 1000)
    refused(tmp_path, tmp_path / "in", "test_batch is not the official file")
    (folder / "test_batch").write_bytes(b"short")
    refused(tmp_path, tmp_path / "in", "test_batch has 5 bytes, the official file 4,000")
    (folder / "test_batch").unlink()
    refused(tmp_path, tmp_path / "in", "test_batch is missing")


def refused(tmp_path: Path, source: Path, message: str) -> None:
    """The error is one line that starts with the source; the target and all else is unchanged."""
    target = tmp_path / "kept" / "set"
    target.mkdir(parents=True, exist_ok=True)
    (target / "old").touch()
    before = {path for path in tmp_path.rglob("*") if path != source}
    with pytest.raises(BenchmarkError) as caught:
        extract_members(source, target, MEMBERS)
    assert str(caught.value).startswith(f"{source}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(f"{source}: ") + 400
    assert {path for path in tmp_path.rglob("*") if path != source} == before


MEMBER = f"{FOLDER.name}/readme.html"
HOSTILE = {
    "traversal": (entry(f"{FOLDER.name}/../../readme.html", b"<p>"), "is a path outside"),
    "traversal of a folder": (entry("..", type=tarfile.DIRTYPE), "is a path outside"),
    "absolute": (entry("/tmp/readme.html", b"<p>"), "'/tmp/readme.html' is a path outside"),
    "symbolic link": (
        entry(MEMBER, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        f"'{MEMBER}' is a link",
    ),
    "link of the folder": (entry(FOLDER.name, type=tarfile.SYMTYPE, linkname="/tmp"), "is a link"),
    "hard link": (entry(MEMBER, type=tarfile.LNKTYPE, linkname="/etc/passwd"), "is a link"),
    "device": (entry(MEMBER, type=tarfile.CHRTYPE), "is neither a plain file nor a folder"),
    "pipe": (entry(MEMBER, type=tarfile.FIFOTYPE), "is neither a plain file nor a folder"),
    "other bytes, same length": (entry(MEMBER, b"<a>"), "is not the official file"),
    "other length": (entry(MEMBER, b"<html>"), "has 6 bytes, the official file 3"),
    "oversized": (
        entry("bomb", b"0" * 300_001),
        "'bomb' has 300,001 bytes, the largest official file 300,000",
    ),
    "name of two lines": (entry("a\nb", type=tarfile.FIFOTYPE), r"'a\nb' is neither"),
    "long name": (entry("a" * 50_000, type=tarfile.FIFOTYPE), "aaa' is neither"),
    "pickle": (entry(MEMBER, pickle.dumps(os.getcwd)), "bytes, the official file 3"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("without", ["", "readme.html"])
def test_hostile_entry(tmp_path: Path, name: str, without: str) -> None:
    extra, message = HOSTILE[name]
    refused(
        tmp_path, make_archive(tmp_path / "a.tar.gz", extra, mode="w:gz", without=without), message
    )


def whole(tmp_path: Path) -> bytes:
    return make_archive(tmp_path / "whole.tar.gz", mode="w:gz").read_bytes()


DAMAGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "gzip cut in the middle": (lambda data: data[: len(data) // 2], "damaged or cut short"),
    "gzip cut near its start": (lambda data: data[:20], "damaged or cut short"),
    "gzip with wrong bytes": (
        lambda data: data[:20] + b"wrong" * 100 + data[520:],
        "damaged or cut short",
    ),
    "tar cut in a member": (lambda data: gzip.decompress(data)[:1000], "is cut short"),
    "tar cut between members": (lambda data: gzip.decompress(data)[: 512 * 587], "is missing"),
    "random bytes": (lambda _: random.Random(1).randbytes(5000), "not a tar archive"),
    "web page": (
        lambda _: b"<!DOCTYPE html><html><body>Please log in</body></html>" * 100,
        "not a tar archive",
    ),
    "empty": (lambda _: b"", "not a tar archive, or a damaged one: empty file"),
    "gzip of nothing": (lambda _: gzip.compress(b""), "not a tar archive"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(tmp_path: Path, name: str) -> None:
    change, message = DAMAGED[name]
    (tmp_path / "a").write_bytes(change(whole(tmp_path)))
    refused(tmp_path, tmp_path / "a", message)


def test_missing_member(tmp_path: Path) -> None:
    refused(
        tmp_path,
        make_archive(tmp_path / "a.tar", without="test_batch"),
        f"{FOLDER.name}/test_batch is missing",
    )


def test_no_such_source(tmp_path: Path) -> None:
    refused(tmp_path, tmp_path / "nowhere", "no such file or folder")


def test_header_of_a_gigabyte(tmp_path: Path) -> None:
    """tarfile would read a comment of 1 GB into memory before it returns the entry."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 10**9
    (tmp_path / "a").write_bytes(info.tobuf() + b"\0" * 1024)
    refused(tmp_path, tmp_path / "a", "a header of 1,000,000,000 bytes")


def test_endless_archive(tmp_path: Path) -> None:
    many = [entry(f"empty{i}") for i in range(200)]
    refused(tmp_path, make_archive(tmp_path / "a", *many), "more than 100 entries")
    big = [entry(f"big{i}", b"\0" * 300_000) for i in range(8)]
    refused(tmp_path, make_archive(tmp_path / "b", *big, mode="w:gz"), "decompresses to more than")


def test_chain_of_headers(tmp_path: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type = tarfile.XHDTYPE
    (tmp_path / "a").write_bytes(info.tobuf() * 2000)
    refused(tmp_path, tmp_path / "a", "not a tar archive, or a damaged one")
