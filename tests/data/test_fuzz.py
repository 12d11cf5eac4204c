"""Any bytes as an archive or a batch file raise nothing but a BenchmarkError of one short line.

A few hundred inputs each, the same in every run. `FUZZ=10000` in the environment draws that many,
different in every run.
"""

import gzip
import os
import pickle
import pickletools
import tarfile
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from resnet.data import arrays, cifar10
from resnet.data.archive import extract_members
from resnet.errors import BenchmarkError
from tests.support.archives import (
    CONTENTS,
    LABELS,
    MEMBERS,
    PIXELS,
    entry,
    files,
    make_archive,
    python2_pickle,
)
from tests.support.fuzz import MEMORY, Edits, Watch, edited, edits, fuzz, harmless
from tests.support.trainings import synthetic_arrays


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


# Archives

TAR_TYPES = [bytes([code]) for code in b"01234567LKSgVM\0xxxx"]
NAMES = [
    "/tmp/out",
    "../out",
    "a/../../out",
    "cifar-10-batches-py/../../out",
    "cifar-10-batches-py/readme.html",
    "./readme.html",
    ".",
    "",
    "x" * 99,
]

EXTENDED = [
    b"18 path=../../out\n",
    b"5011 path=" + b"x" * 5000 + b"\n",
    b"20 size=99999999999\n",
    b"11 size=-9\n",
    b"20 GNU.sparse.map=1,\n",
]
CONTENT = [*EXTENDED, b"<p>", b"0" * 400_000]


@st.composite
def entries(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    """An entry whose header states anything."""
    content = draw(st.binary(max_size=600) | st.sampled_from(CONTENT))
    info, _ = entry(draw(st.sampled_from(NAMES) | st.text(max_size=20)), content)
    info.type = draw(st.sampled_from(TAR_TYPES))
    info.linkname = draw(st.sampled_from(NAMES))
    info.size = draw(st.sampled_from([len(content)] * 4 + [0, 1, 10**9, 2**62, -1, -(2**40)]))
    return info, content


@st.composite
def archives(draw: st.DrawFn, whole: bytes) -> bytes:
    """Hostile entries before or after the members, then compressed, cut or edited anywhere."""
    made = b""
    for info, content in draw(st.lists(entries(), max_size=3)):
        padded = content + b"\0" * (-len(content) % 512)
        made += (
            info.tobuf(
                draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])),
                "utf-8",
                "surrogateescape",
            )
            + padded
        )
    data = draw(st.sampled_from([made + whole, whole[:512] + made, made]))
    if draw(st.booleans()):
        data = edited(data, draw(edits(b"\xff" * 12, b"\x80" + b"\0" * 10 + b"\x7f")))
    data = {"tar": bytes, "gz": lambda tar: gzip.compress(tar, 1)}[
        draw(st.sampled_from(["tar", "gz"]))
    ](data)
    if draw(st.booleans()):
        data = edited(data, draw(edits()))
    return data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data


def hostile_archives(tmp_path: Path) -> st.SearchStrategy[bytes]:
    return archives(make_archive(tmp_path / "whole.tar").read_bytes())


def packed_and_edited(tmp_path: Path) -> st.SearchStrategy[bytes]:
    packed = [
        make_archive(tmp_path / mode[2:], mode=mode).read_bytes()
        for mode in ("w:bz2", "w:xz", "w:gz")
    ]
    return st.tuples(st.sampled_from(packed), edits(most=2)).map(lambda drawn: edited(*drawn))


def random_bytes(_tmp_path: Path) -> st.SearchStrategy[bytes]:
    magic = st.sampled_from([b"", b"\x1f\x8b\x08\0", b"BZh9", b"\xfd7zXZ\0", b"PK\x03\x04"])
    return st.tuples(magic, st.binary(max_size=1100)).map(b"".join)


@pytest.mark.parametrize("strategy", [hostile_archives, packed_and_edited, random_bytes])
def test_archives(
    tmp_path: Path, watch: Watch, strategy: Callable[[Path], st.SearchStrategy[bytes]]
) -> None:
    drawn = strategy(tmp_path)
    source, target = tmp_path / "archive", tmp_path / "in" / "set"
    extract_members(make_archive(source), target, MEMBERS)
    (tmp_path / "in" / "beside").touch()

    @fuzz
    @given(drawn)
    def check(data: bytes) -> None:
        source.write_bytes(data)
        (target / "readme.html").write_bytes(b"old")
        with harmless(watch, tmp_path / "in"):
            extract_members(source, target, MEMBERS)
        kept = {**CONTENTS, "readme.html": b"old"}
        assert files(target) in (CONTENTS, kept)
        assert {path.name for path in (tmp_path / "in").iterdir()} == {"set", "beside"}

    check()


# Batch files

BATCHES = [
    python2_pickle(LABELS.tolist(), PIXELS.transpose(0, 3, 1, 2).tobytes(), 4),
    *(
        pickle.dumps(
            {b"labels": LABELS.tolist(), b"data": PIXELS.transpose(0, 3, 1, 2).reshape(4, -1)},
            protocol,
        )
        for protocol in (3, 4)
    ),
]
OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
PARTS = [
    *(
        b"cos\nsystem\n",
        b"cbuiltins\neval\n",
        b"cnumpy\nndarray\n",
        b"cnumpy\ndtype\n",
        b"cnumpy.core.multiarray\n_reconstruct\n",
        b"ios\nsystem\n",
    ),
    *(
        b"S'touch run'\n",
        b"\x8c\x02os",
        b"\x8c\x06system",
        b"U\x04data",
        b"U\x06labels",
        b"(",
        b"tR",
        b"\x85R",
        b"b",
        b"\x81",
        b"o",
        b"}",
        b"]",
        b"s",
        b"u",
        b"e",
    ),
    *(
        b"r\xff\xff\xff\x7f",
        b"p2147483647\n",
        b"B\xff\xff\xff\x7f",
        b"\x8e" + b"\xff" * 7 + b"\x7f",
        b"\x95" + b"\xff" * 6 + b"\0\0",
        b"\x8b\xff\xff\xff\x7f",
    ),
    *(
        b"K\x01",
        b"K\x00",
        b"M\x00\x0c",
        b"N",
        b"\x89",
        b"I" + b"9" * 5000 + b"\n",
        b"\x80\x02",
        b"h\0",
        b"q\0",
        b".",
    ),
]
PICKLES = st.lists(
    st.sampled_from(PARTS) | st.sampled_from(OPCODES) | st.binary(max_size=3), max_size=25
).map(lambda parts: b"".join(parts) + b".")
BROKEN = st.tuples(st.sampled_from(BATCHES), edits(*PARTS, *OPCODES)).map(
    lambda drawn: edited(*drawn)
)


@pytest.mark.parametrize(
    "strategy", [PICKLES, BROKEN, st.binary(max_size=200)], ids=["opcodes", "edited", "bytes"]
)
def test_batch_files(tmp_path: Path, watch: Watch, strategy: st.SearchStrategy[bytes]) -> None:
    for data in BATCHES:
        (tmp_path / "test_batch").write_bytes(data)
        cifar10.read_split(tmp_path, "test")

    @fuzz
    @given(strategy)
    def check(data: bytes) -> None:
        for name in ("test_batch", "batches.meta"):
            (tmp_path / name).write_bytes(data)
        with harmless(watch):
            cifar10.read_split(tmp_path, "test")
        with harmless(watch):
            cifar10.class_names(tmp_path)

    check()


# Preprocessed arrays


HEADERS = edits(*(b"(", b"'", b"}", b",", b"\n", b"9" * 30, b"|O", b"<f4", b"None", b"L", b"\0"))


def test_arrays(tmp_path: Path, watch: Watch) -> None:
    synthetic_arrays(tmp_path / "arrays", 10, 10)
    folder = tmp_path / "arrays" / "test"
    arrays.open_split(folder)
    intact = {path: path.read_bytes() for path in folder.iterdir()}

    @fuzz
    @given(st.sampled_from(sorted(intact)), HEADERS)
    def check(path: Path, drawn: Edits) -> None:
        header = intact[path][:128]
        # each is at a place in the header, and takes away at most a few bytes of it
        drawn = [(at % 128, dropped % 4, inserted) for at, dropped, inserted in drawn]
        path.write_bytes(edited(header, drawn) + intact[path][128:])
        with harmless(watch):
            arrays.open_split(folder)
        path.write_bytes(intact[path])

    check()


def test_a_zip_archive_is_no_array(tmp_path: Path) -> None:
    synthetic_arrays(tmp_path / "arrays", 10, 10)
    path = tmp_path / "arrays" / "test" / "images.npy"
    with path.open("wb") as file:
        np.savez(file, np.load(path.with_name("labels.npy")))
    with pytest.raises(BenchmarkError, match=r"images\.npy: not a complete \.npy file"):
        arrays.open_split(path.parent)


# The guard itself


@pytest.mark.parametrize(
    "harm",
    [
        lambda _: os.system("true"),
        lambda _: pickle.loads(b"cos\nsystem\n(S'true'\ntR."),
        lambda _: pickle.loads(b"cbuiltins\neval\n(S'1'\ntR."),
        lambda folder: (folder.parent / "out").write_text("x"),
        lambda _: bytes(2 * MEMORY),
    ],
    ids=["command", "pickle of a command", "pickle of code", "file outside", "memory"],
)
def test_the_guard_detects_harm(
    tmp_path: Path, watch: Watch, harm: Callable[[Path], object]
) -> None:
    with pytest.raises(AssertionError), harmless(watch, tmp_path / "in"):
        harm(tmp_path / "in")
