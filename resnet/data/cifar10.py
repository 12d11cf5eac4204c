"""CIFAR-10's file format: eight files, of which seven are Python pickles.

https://www.cs.toronto.edu/~kriz/cifar.html describes it.
"""

import mmap
import pickle
import pickletools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from resnet.errors import BenchmarkError
from resnet.files import sha256

FOLDER = Path("data/cifar-10-batches-py")
CLASSES = 10
SHAPE = (3, 32, 32)  # of an image on disk: the red plane first, then green, then blue, row by row

TRAIN_FILES = tuple(f"data_batch_{i}" for i in range(1, 6))
SPLITS = {"train": TRAIN_FILES, "test": ("test_batch",)}


class Member(NamedTuple):
    """The exact content of a file."""

    size: int  # bytes
    sha256: str
    md5: str = ""  # under which DVC's cache has it; it is trusted by its SHA-256 alone


OFFICIAL: Mapping[str, Member] = {
    "data_batch_1": Member(
        31_035_704,
        "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd",
        "c99cafc152244af753f735de768cd75f",
    ),
    "data_batch_2": Member(
        31_035_320,
        "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8",
        "d4bba439e000b95fd0a9bffe97cbabec",
    ),
    "data_batch_3": Member(
        31_035_999,
        "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9",
        "54ebc095f3ab1f0389bbae665268c751",
    ),
    "data_batch_4": Member(
        31_035_696,
        "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b",
        "634d18415352ddfa80567beed471001a",
    ),
    "data_batch_5": Member(
        31_035_623,
        "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154",
        "482c414d41f54cd18b22e5b47cb7c3cb",
    ),
    "test_batch": Member(
        31_035_526,
        "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831",
        "40351d587109b95175f43aff81a1287e",
    ),
    "batches.meta": Member(
        158,
        "f962466ef690d46b226450fb9aadc74ba4bc64a76aa526b5827fe4bc5c7125cb",
        "5ff9c542aee3614f3951f8cda6e48888",
    ),
    "readme.html": Member(
        88,
        "4d1c3fb199d6a183ae03f5162b469d7bc04edf2fad9547bd5f224271d52f98e5",
        "82949b010606e8171045e61c60921d12",
    ),
}


def check_official(folder: Path, members: Mapping[str, Member] = OFFICIAL) -> None:
    """Raise BenchmarkError that names the first file that is missing or not the official one."""
    for name, member in members.items():
        path = folder / name
        if not path.is_file():
            raise BenchmarkError(f"{path}: missing")
        if path.stat().st_size != member.size or sha256(path) != member.sha256:
            raise BenchmarkError(f"{path}: not the official file, whose SHA-256 is {member.sha256}")


def read_split(folder: Path, split: Literal["train", "test"]) -> tuple[np.ndarray, np.ndarray]:
    """Read a split's images (n, 32, 32, 3) and labels (n,), both uint8, in the order of the files.

    Memory is one copy of the split and one file. Raises BenchmarkError where a file is missing or
    not in the format.
    """
    names = SPLITS[split]
    for i, name in enumerate(names):
        batch, batch_labels = _read_batch(folder / name)
        count = len(batch)
        if i == 0:
            images = np.empty((len(names) * count, *SHAPE[1:], SHAPE[0]), np.uint8)
            labels = np.empty(len(names) * count, np.uint8)
        if (i + 1) * count > len(images) or count * len(names) != len(images):
            raise BenchmarkError(
                f"{folder / name}: contains {count} images, "
                f"the files before it {len(images) // len(names)} each"
            )
        images[i * count : (i + 1) * count] = batch.transpose(0, 2, 3, 1)
        labels[i * count : (i + 1) * count] = batch_labels
        del batch  # before the next one is read
    return images, labels


def class_names(folder: Path) -> list[str]:
    """Read the ten class names of batches.meta, in the order of the labels.

    Raises BenchmarkError where the file is missing or not in the format.
    """
    path = folder / "batches.meta"
    names = _load(path).get(b"label_names")
    if (
        not isinstance(names, list)
        or len(names) != CLASSES
        or not all(isinstance(name, bytes) and name.isascii() for name in names)
    ):
        raise BenchmarkError(f"{path}: label_names must be {CLASSES} ASCII names")
    return [name.decode("ascii") for name in names]


def write_batch(
    path: Path, title: str, images: np.ndarray, labels: np.ndarray, filenames: Sequence[str]
) -> None:
    """Write images (n, 32, 32, 3) uint8 and labels (n,) as a batch file in CIFAR-10's format."""
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), -1)
    batch = {
        b"batch_label": title.encode("ascii"),
        b"labels": labels.tolist(),
        b"data": planes,
        b"filenames": [name.encode("ascii") for name in filenames],
    }
    _dump(path, batch)


def write_meta(path: Path, names: Sequence[str], images_per_batch: int) -> None:
    """Write batches.meta: the class names in the order of the labels, and the size of a batch."""
    meta = {
        b"num_cases_per_batch": images_per_batch,
        b"label_names": [name.encode("ascii") for name in names],
        b"num_vis": int(np.prod(SHAPE)),
    }
    _dump(path, meta)


def _read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a batch file's images (n, 3, 32, 32) and labels (n,), both uint8."""
    batch = _load(path)
    data, labels = batch.get(b"data"), batch.get(b"labels")
    values = int(np.prod(SHAPE))
    pixels = data.pixels if isinstance(data, _Array) else None
    if pixels is None or pixels.ndim != 2 or pixels.shape[1] != values or not len(pixels):
        raise BenchmarkError(f"{path}: data must be uint8 of shape (n, {values})")
    if not isinstance(labels, list) or len(labels) != len(pixels):
        raise BenchmarkError(f"{path}: labels must be a list of {len(pixels)}, one per image")
    if not all(type(label) is int and 0 <= label < CLASSES for label in labels):
        raise BenchmarkError(f"{path}: labels must be whole numbers from 0 to {CLASSES - 1}")
    return pixels.reshape(-1, *SHAPE), np.array(labels, np.uint8)


class _Dtype:
    """Replaces numpy.dtype in a pickle."""

    def __init__(self, code: Any, _align: Any, _copy: Any) -> None:
        if code not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"an array of {code!r}, not of uint8")

    def __setstate__(self, _state: Any) -> None:
        pass  # the state is e.g. the byte order; a uint8 has none


class _Array:
    """Replaces numpy.ndarray in a pickle: NumPy's own would trust the file's shape and type."""

    pixels: np.ndarray | None = None

    def __init__(self, *_empty: Any) -> None:
        pass  # NumPy creates an empty array first, and then sets its state

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran_order, data = state
        if not isinstance(dtype, _Dtype) or fortran_order:
            raise pickle.UnpicklingError("an array that is not uint8, row by row")
        self.pixels = np.frombuffer(data, np.uint8).reshape(shape)


_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,  # since NumPy 2
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
}


class _Unpickler(pickle.Unpickler):
    """Loads a NumPy array and nothing else: a pickle from outside can run any code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"refers to {module}.{name}, as no file of CIFAR-10 does")
        return _ALLOWED[module, name]


def _refuse_bomb(data: mmap.mmap) -> None:
    """Raise ValueError where a pickle makes Python allocate far more memory than its own size.

    That is a value whose stated length exceeds the file (genops raises), or a memo index beyond
    the number of opcodes so far.
    """
    operations = pickletools.genops(data)  # type: ignore[arg-type]  # an mmap has a file's methods
    for count, (opcode, argument, _) in enumerate(operations):
        if (
            opcode.name in ("PUT", "BINPUT", "LONG_BINPUT")
            and isinstance(argument, int)
            and argument > count
        ):
            raise ValueError(f"a memo of {argument:,} values")


def _load(path: Path) -> dict[Any, Any]:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _refuse_bomb(data)
            data.seek(0)
            value = _Unpickler(data, encoding="bytes").load()
    except FileNotFoundError as error:
        raise BenchmarkError(f"{path}: no such file") from error
    except OSError:
        raise
    except Exception as error:  # a damaged or hostile pickle can raise anything
        reason = ascii(str(error))[1:-1][:200] or type(error).__name__
        raise BenchmarkError(f"{path}: not a file in CIFAR-10's format: {reason}") from error
    if not isinstance(value, dict):
        raise BenchmarkError(f"{path}: must be a dict, is a {type(value).__name__}")
    return value


def _dump(path: Path, value: dict[bytes, Any]) -> None:
    with path.open("wb") as file:
        # Protocol 3 keeps bytes, so pickle.load(file, encoding="bytes") reads it as CIFAR-10's own.
        pickle.dump(value, file, protocol=3)
