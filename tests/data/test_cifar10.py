import hashlib
import os
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet.data import cifar10
from resnet.data.cifar10 import Member
from resnet.errors import BenchmarkError
from tests.support.archives import LABELS, PIXELS, python2_pickle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five training files of four images, i added to each pixel of the i-th; a test file of two."""
    for i, name in enumerate(cifar10.TRAIN_FILES):
        cifar10.write_batch(
            tmp_path / name, name, PIXELS + np.uint8(i), (LABELS + i) % 10, ["a"] * 4
        )
    cifar10.write_batch(tmp_path / "test_batch", "test", PIXELS[:2], LABELS[:2], ["a"] * 2)
    cifar10.write_meta(tmp_path / "batches.meta", [f"class {i}" for i in range(10)], 4)
    return tmp_path


def test_reads_what_python_2_wrote(tmp_path: Path) -> None:
    planes = PIXELS.transpose(0, 3, 1, 2).tobytes()
    (tmp_path / "test_batch").write_bytes(python2_pickle(LABELS.tolist(), planes, 4))
    images, labels = cifar10.read_split(tmp_path, "test")
    np.testing.assert_array_equal(images, PIXELS)
    np.testing.assert_array_equal(labels, LABELS)


def test_order_shape_and_planes(folder: Path) -> None:
    images, labels = cifar10.read_split(folder, "train")
    assert images.shape == (20, 32, 32, 3)
    assert images.dtype == labels.dtype == np.uint8
    for i in range(5):
        np.testing.assert_array_equal(images[4 * i : 4 * i + 4], PIXELS + np.uint8(i))
        np.testing.assert_array_equal(labels[4 * i : 4 * i + 4], (LABELS + i) % 10)
    with (folder / "test_batch").open("rb") as file:
        row = pickle.load(file, encoding="bytes")[b"data"][0]
    np.testing.assert_array_equal(row[:32], PIXELS[0, 0, :, 0])  # the first row of the red plane
    np.testing.assert_array_equal(row[1024:1056], PIXELS[0, 0, :, 1])


def test_class_names(folder: Path) -> None:
    assert cifar10.class_names(folder) == [f"class {i}" for i in range(10)]
    cifar10.write_meta(folder / "batches.meta", ["one"], 4)
    with pytest.raises(BenchmarkError, match=r"batches\.meta: label_names must be 10"):
        cifar10.class_names(folder)


class Attack:
    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


def hostile(tmp_path: Path) -> dict[str, bytes]:
    command = f"touch {tmp_path}/run"
    return {
        "os.system": pickle.dumps(Attack(os.system, command), 2),
        "eval": pickle.dumps({b"data": Attack(eval, f"__import__('os').system('{command}')")}, 3),
        "a function of numpy": b"cnumpy.testing\nrunstring\n"
        + f"(S'import os; os.system({command!r})'\n}}tR.".encode(),
        "getattr": pickle.dumps(Attack(getattr, "", "join"), 4),
        "persistent id": b"Ptouch\n.",
        "extension registry": b"\x82\x01.",
    }


def test_the_attack_would_work(tmp_path: Path) -> None:
    pickle.loads(hostile(tmp_path)["os.system"])
    assert (tmp_path / "run").exists()


@pytest.mark.parametrize("name", hostile(Path()))
def test_pickle_is_never_run_as_code(tmp_path: Path, name: str) -> None:
    (tmp_path / "test_batch").write_bytes(hostile(tmp_path)[name])
    with pytest.raises(
        BenchmarkError, match=r"test_batch: not a file in CIFAR-10's format"
    ) as caught:
        cifar10.read_split(tmp_path, "test")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "data"),
    {
        "bytes beyond the end": b"B\xff\xff\xff\x7f.",
        "a memo of 34 GB": b"Nr\xff\xff\xff\x7f.",
        "a memo of 34 GB, as text": b"Np2147483647\n.",
        "an error of two lines, with a bell": b"ca\x07\nb\n.",
        "a long error": b"c" + b"a" * 5000 + b"\nb\n.",
    }.items(),
)
def test_a_small_file_takes_little_memory_and_one_short_line(
    tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / "test_batch").write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(
            BenchmarkError, match=r"test_batch: not a file in CIFAR-10's format"
        ) as caught:
            cifar10.read_split(tmp_path, "test")
        assert tracemalloc.get_traced_memory()[1] < 2**20, name
    finally:
        tracemalloc.stop()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < len(str(tmp_path)) + 300


def batch(data: Any, labels: Any) -> dict[bytes, Any]:
    return {b"data": data, b"labels": labels}


FLAT = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (batch(FLAT, [0]), "labels must be a list of 2"),
        (batch(FLAT, [0, 10]), "labels must be whole numbers from 0 to 9"),
        (batch(FLAT, [0, -1]), "labels must be whole numbers from 0 to 9"),
        (batch(FLAT, [0, 1.5]), "labels must be whole numbers from 0 to 9"),
        (batch(FLAT, None), "labels must be a list"),
        (batch(FLAT[:, :-1], [0, 1]), r"data must be uint8 of shape \(n, 3072\)"),
        (batch(FLAT[:0], []), r"data must be uint8 of shape \(n, 3072\)"),
        (batch(FLAT[0], [0] * 3072), r"data must be uint8 of shape \(n, 3072\)"),
        (batch(b"pixels", [0, 1]), r"data must be uint8 of shape \(n, 3072\)"),
        (batch(FLAT.astype(np.float32), [0, 1]), "not of uint8"),
        (batch(np.array([None]), [0]), "not of uint8"),
        (batch(np.asfortranarray(FLAT), [0, 1]), "row by row"),
        ({}, "data must be uint8"),
        ([1], "must be a dict, is a list"),
    ],
)
def test_what_is_not_in_the_format(tmp_path: Path, value: Any, message: str) -> None:
    (tmp_path / "test_batch").write_bytes(pickle.dumps(value, protocol=3))
    with pytest.raises(BenchmarkError, match=rf"test_batch: .*{message}"):
        cifar10.read_split(tmp_path, "test")


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_truncated(folder: Path, length: int) -> None:
    path = folder / "data_batch_3"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(BenchmarkError, match="data_batch_3: not a file in CIFAR-10's format"):
        cifar10.read_split(folder, "train")


def test_shape_that_the_bytes_do_not_have(tmp_path: Path) -> None:
    (tmp_path / "test_batch").write_bytes(python2_pickle([0] * 5000, b"\0" * 3072, 5000))
    with pytest.raises(BenchmarkError, match="test_batch: not a file in CIFAR-10's format"):
        cifar10.read_split(tmp_path, "test")


def test_files_of_another_length(folder: Path) -> None:
    cifar10.write_batch(folder / "data_batch_5", "five", PIXELS[:3], LABELS[:3], ["a"] * 3)
    with pytest.raises(
        BenchmarkError, match="data_batch_5: contains 3 images, the files before it 4 each"
    ):
        cifar10.read_split(folder, "train")


def test_missing(folder: Path) -> None:
    (folder / "data_batch_2").unlink()
    with pytest.raises(BenchmarkError, match="data_batch_2: no such file"):
        cifar10.read_split(folder, "train")


def test_check_official(tmp_path: Path) -> None:
    members = {
        name: Member(3, hashlib.sha256(name[-3:].encode()).hexdigest()) for name in ("one", "two")
    }
    for name in members:
        (tmp_path / name).write_text(name)
    cifar10.check_official(tmp_path, members)
    (tmp_path / "two").write_text("TWO")
    with pytest.raises(BenchmarkError, match="two: not the official file"):
        cifar10.check_official(tmp_path, members)
    (tmp_path / "one").unlink()
    with pytest.raises(BenchmarkError, match="one: missing"):
        cifar10.check_official(tmp_path, members)


def test_official_table() -> None:
    assert list(cifar10.OFFICIAL) == [
        *cifar10.TRAIN_FILES,
        "test_batch",
        "batches.meta",
        "readme.html",
    ]
    assert all(len(bytes.fromhex(member.sha256)) == 32 for member in cifar10.OFFICIAL.values())
