"""Whatever params.yaml, an archive or a batch file holds, the one error is a BenchmarkError of one short line; nothing else happens.

A few hundred inputs each, the same at every run; `FUZZ=10000 python -m pytest tests/test_fuzz.py` draws as many, others at every run.
"""

import copy
import gzip
import os
import pickle
import pickletools
import sys
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from resnet import params, strict_yaml
from resnet.data import cifar10
from resnet.data.archive import take
from resnet.errors import BenchmarkError
from tests.conftest import ROOT
from tests.data.test_archive import CONTENTS, MEMBERS, entry, files, make
from tests.data.test_cifar10 import LABELS, PIXELS, python2_pickle

os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(ROOT / ".pytest_cache" / "hypothesis"))
fuzz = settings(
    max_examples=int(os.environ.get("FUZZ", "200")),
    derandomize="FUZZ" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
MEMORY = 16 * 2**20  # bytes that reading may take; the set of test_archive.py has 0.3 MB
RUNS_CODE = (
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "subprocess.Popen",
    "socket.connect",
)
Edits = list[tuple[int, int, bytes]]


class Watch:
    """What Python's audit events tell of while it is on: code that was run, and files that were opened to be written."""

    def __init__(self) -> None:
        self.on = False
        self.events: list[tuple[str, Any]] = []
        sys.addaudithook(self.hear)

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self.on and (
            event in RUNS_CODE
            or (event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            or (
                event == "exec" and not args[0].co_filename.endswith(".py")
            )  # what Python itself imports late has a file
        ):
            self.events.append((event, args[0]))


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


@contextmanager
def harmless(watch: Watch, folder: Path | None = None) -> Iterator[None]:
    """Within the block: no error but a BenchmarkError of one short line, no code, no file written outside of `folder`, little memory."""
    said = ""
    tracemalloc.start()
    watch.events.clear()
    watch.on = True
    try:
        yield
    except BenchmarkError as error:
        said = str(error)
    finally:
        watch.on = False
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert said.isprintable()
    assert len(said) < 1000
    assert peak < MEMORY
    outside = [
        (event, what)
        for event, what in watch.events
        if event != "open" or not folder or folder not in Path(what).parents
    ]
    assert not outside


def edited(data: bytes, edits: Edits) -> bytes:
    for at, dropped, inserted in edits:
        at %= len(data) + 1
        data = data[:at] + inserted + data[at + dropped :]
    return data


def edits(*tokens: bytes, most: int = 4) -> st.SearchStrategy[Edits]:
    """Insertions and deletions, of the tokens among others."""
    inserted = st.binary(max_size=8) | (st.sampled_from(tokens) if tokens else st.nothing())
    return st.lists(
        st.tuples(st.integers(0, 2**20), st.integers(0, 600), inserted), min_size=1, max_size=most
    )


# params.yaml

REAL = (ROOT / "params.yaml").read_bytes()
TREE = yaml.safe_load(REAL)
TOKENS = [
    *(
        "!!int ",
        "!!float ",
        "!!timestamp ",
        "!!bool ",
        "!!binary ",
        "!!set ",
        "!!omap ",
        "!!str ",
        "!!null ",
        "!!merge ",
        "!!map ",
        "!a ",
    ),
    *(
        "&a ",
        "*a",
        "<<: ",
        "? ",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\n",
        "\n  ",
        "#",
        "| ",
        "> ",
        "|9\n",
        '"',
        "'",
        "~",
        "=",
        "\t",
        "\r",
    ),
    *(
        "\\x",
        "\\U00110000",
        "\\ud800",
        "\x85",
        "\u2028",
        "\0",
        "\ufeff",
        "\u0661",
        "%YAML 1.1\n",
        "---\n",
        "...\n",
    ),
    *("0x", "0b", "1e400", "9" * 5000, ".inf", ".nan", "2026-99-99", "1:60", "[" * 100),
]
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.datetimes()
    | st.binary(max_size=5)
    | st.text(max_size=8)
)
SCALARS = (
    PLAIN
    | st.integers(10**300, 10**1200)
    | st.sampled_from([*TREE, "cifar10", "synthetic", "test", "sgd", "paper", 0, 1, 0.5])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(PLAIN, inner, max_size=3)
        | st.sets(PLAIN, max_size=2)
    ),
    max_leaves=6,
)


def paths(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    inner = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in inner:
        yield from paths(value, (*at, key))


@st.composite
def trees(draw: st.DrawFn) -> bytes:
    """The real values with up to three of them removed, replaced or added to."""
    tree = copy.deepcopy(TREE)
    for _ in range(draw(st.integers(1, 3))):
        *steps, last = draw(st.sampled_from([path for path in paths(tree) if path]))
        owner = tree
        for step in steps:
            owner = owner[step]
        match draw(st.sampled_from(["remove", "replace", "add"])):
            case "remove":
                del owner[last]
            case "replace":
                owner[last] = draw(VALUES)
            case _ if isinstance(owner[last], dict):
                owner[last][draw(SCALARS)] = draw(VALUES)
            case _ if isinstance(owner[last], list):
                owner[last].append(draw(VALUES))
        if not tree:
            break
    return yaml.safe_dump(tree, allow_unicode=draw(st.booleans())).encode("utf-8", "surrogatepass")


TEXTS = st.lists(st.sampled_from(TOKENS) | st.text(max_size=4), max_size=30).map(
    lambda parts: "".join(parts).encode("utf-8", "surrogatepass")
)
MUTATED = edits(*(token.encode("utf-8", "surrogatepass") for token in TOKENS)).map(
    lambda made: edited(REAL, made)
)


@pytest.mark.parametrize(
    "strategy",
    [st.binary(max_size=300), TEXTS, MUTATED, trees()],
    ids=["bytes", "texts", "edited", "values"],
)
def test_params(tmp_path: Path, watch: Watch, strategy: st.SearchStrategy[bytes]) -> None:
    path = tmp_path / "params.yaml"
    params.load(ROOT / "params.yaml")  # which imports what there is to import

    @fuzz
    @given(strategy)
    def check(data: bytes) -> None:
        path.write_bytes(data)
        with harmless(watch):
            params.load(path)

    check()


@fuzz
@given(
    st.text("0123456789.eE+-_xob:~tTrRuUfFaAlLsSnN iIyYoO", max_size=8)
    | st.integers().map(str)
    | st.floats().map(str)
)
def test_numbers_are_what_dvc_reads(text: str) -> None:
    """A plain value is to params.load the very value that dvc.lock records, or a text, which no key takes for a number."""
    from dvc.utils.serialize import parse_yaml

    try:
        ours = yaml.load(f"a: {text}", strict_yaml.Loader)["a"]
    except (yaml.YAMLError, TypeError):
        return
    if not isinstance(ours, str | dict):
        theirs = parse_yaml(f"a: {text}", "")["a"]
        assert type(ours) is type(theirs)
        assert ours == theirs or (ours != ours and theirs != theirs)  # not a number


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
    """An entry that says anything of itself."""
    content = draw(st.binary(max_size=600) | st.sampled_from(CONTENT))
    info, _ = entry(draw(st.sampled_from(NAMES) | st.text(max_size=20)), content)
    info.type = draw(st.sampled_from(TAR_TYPES))
    info.linkname = draw(st.sampled_from(NAMES))
    info.size = draw(st.sampled_from([len(content)] * 4 + [0, 1, 10**9, 2**62, -1, -(2**40)]))
    return info, content


@st.composite
def archives(draw: st.DrawFn, whole: bytes) -> bytes:
    """Some hostile entries in front of, or behind the members; then any compression, cut or overwritten anywhere."""
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
    return archives(make(tmp_path / "whole.tar").read_bytes())


def packed_and_edited(tmp_path: Path) -> st.SearchStrategy[bytes]:
    packed = [
        make(tmp_path / mode[2:], mode=mode).read_bytes() for mode in ("w:bz2", "w:xz", "w:gz")
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
    take(make(source), target, MEMBERS)
    (tmp_path / "in" / "beside").touch()

    @fuzz
    @given(drawn)
    def check(data: bytes) -> None:
        source.write_bytes(data)
        (target / "readme.html").write_bytes(b"old")
        with harmless(watch, tmp_path / "in"):
            take(source, target, MEMBERS)
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
def test_harm_is_seen(tmp_path: Path, watch: Watch, harm: Callable[[Path], object]) -> None:
    with pytest.raises(AssertionError), harmless(watch, tmp_path / "in"):
        harm(tmp_path / "in")
