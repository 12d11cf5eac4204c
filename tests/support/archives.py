"""A small archive and small batch files in the format of CIFAR-10's."""

import hashlib
import io
import random
import tarfile
from pathlib import Path

import numpy as np

from resnet.data.cifar10 import FOLDER, Member

CONTENTS = {
    "data_batch_1": random.Random(0).randbytes(300_000),
    "test_batch": b"test" * 1000,
    "batches.meta": b"names",
    "readme.html": b"<p>",
}
MEMBERS = {
    name: Member(len(content), hashlib.sha256(content).hexdigest())
    for name, content in CONTENTS.items()
}


PIXELS = np.random.default_rng(0).integers(256, size=(4, 32, 32, 3), dtype=np.uint8)
LABELS = np.array([3, 0, 9, 1], np.uint8)


def entry(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def make_archive(
    path: Path,
    *extra: tuple[tarfile.TarInfo, bytes],
    mode: str = "w",
    without: str = "",
    prefix: str = f"{FOLDER.name}/",
) -> Path:
    """Write an archive of the members, except `without`, and the extra entries."""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]  # the mode is a str
        for info, content in (
            *(
                entry(prefix + name, content)
                for name, content in CONTENTS.items()
                if name != without
            ),
            *extra,
        ):
            tar.addfile(info, io.BytesIO(content))
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def python2_pickle(labels: list[int], data: bytes, count: int) -> bytes:
    """A batch as in CIFAR-10's own files: Python 2's protocol 2, where str is bytes; NumPy 1."""

    def string(text: bytes) -> bytes:
        return b"T" + len(text).to_bytes(4, "little") + text  # BINSTRING

    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    shape = b"M" + count.to_bytes(2, "little") + b"M\x00\x0c\x86"
    dtype = (
        b"cnumpy\ndtype\n("
        + string(b"u1")
        + b"K\x00K\x01tR(K\x03"
        + string(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + string(b"b") + b"tR"
    )
    state = b"(K\x01" + shape + dtype + b"\x89" + string(data) + b"tb"
    return b"\x80\x02}(" + string(b"labels") + numbers + string(b"data") + array + state + b"u."
