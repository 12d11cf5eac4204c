"""The preprocessed images: one folder per split, with its arrays and about.json."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from resnet.errors import BenchmarkError
from resnet.files import replaced, write_json
from resnet.schema import Schema, Sha256, validate_json

FOLDER = Path("data/arrays")  # written by preprocess: train/, test/ and the file none
CHUNK = 1000  # images converted at a time: 12 MB of float32


class About(Schema):
    """All of about.json: where the images come from, and what was subtracted from them."""

    source: Literal["cifar10", "synthetic"]
    classes: tuple[str, ...]
    subtract_pixel_mean: bool
    pixel_mean_sha256: Sha256  # of the values in pixel_mean.npy


@dataclass(frozen=True)
class Split:
    """One split, ready for a network; the arrays are memory-mapped."""

    images: NDArray[np.float32]  # (n, 32, 32, 3)
    labels: NDArray[np.int32]  # (n,)
    pixel_mean: NDArray[np.float32]  # (32, 32, 3), what was subtracted from every image
    source: Literal["cifar10", "synthetic"]
    classes: tuple[str, ...]
    subtract_pixel_mean: bool
    pixel_mean_sha256: str


def pixel_mean(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean of images (n, 32, 32, 3) over n, where 1 is a full pixel: (32, 32, 3) float32.

    The sums are of integers and therefore exact: every machine gets the same bits.
    """
    total = np.zeros(images.shape[1:], np.int64)
    for start in range(0, len(images), CHUNK):
        total += images[start : start + CHUNK].sum(axis=0, dtype=np.int64)
    return (total / (255 * len(images))).astype(np.float32)


def write_split(
    folder: Path,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    mean: NDArray[np.float32],
    *,
    source: Literal["cifar10", "synthetic"],
    classes: list[str],
    subtract_pixel_mean: bool,
) -> None:
    """Write a split as float32, pixels / 255 - mean; the folder appears complete or not at all.

    `mean` (32, 32, 3) is zero where `subtract_pixel_mean` is false. Memory is bounded by CHUNK.
    """
    about = About(
        source=source,
        classes=tuple(classes),
        subtract_pixel_mean=subtract_pixel_mean,
        pixel_mean_sha256=hashlib.sha256(mean.tobytes()).hexdigest(),
    )
    with replaced(folder) as partial:
        partial.mkdir()
        with (partial / "images.npy").open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": images.shape}
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, len(images), CHUNK):
                pixels = images[start : start + CHUNK].astype("<f4")
                pixels /= np.float32(255)
                pixels -= mean
                file.write(pixels.tobytes())
        np.save(partial / "labels.npy", labels.astype("<i4"))
        np.save(partial / "pixel_mean.npy", mean.astype("<f4"))
        write_json(partial / "about.json", about.model_dump(mode="json"))


def open_split(folder: Path) -> Split:
    """Open what `write_split` wrote.

    Raises BenchmarkError where a file is missing, cut short, or does not fit the others.
    """
    images = _open(folder / "images.npy")
    labels = _open(folder / "labels.npy")
    if images.dtype != np.float32 or images.shape[1:] != (32, 32, 3):
        raise BenchmarkError(
            f"{folder}/images.npy: must be float32 (n, 32, 32, 3), is {images.dtype} {images.shape}"
        )
    if labels.dtype != np.int32 or labels.shape != images.shape[:1]:
        raise BenchmarkError(
            f"{folder}/labels.npy: must be int32 ({len(images)},) as images.npy, "
            f"is {labels.dtype} {labels.shape}"
        )
    mean, about = _open(folder / "pixel_mean.npy"), _read_about(folder / "about.json")
    if hashlib.sha256(mean.tobytes()).hexdigest() != about.pixel_mean_sha256:
        raise BenchmarkError(
            f"{folder}/pixel_mean.npy: not what was subtracted; run `dvc repro --force preprocess`"
        )
    return Split(images, labels, mean, **dict(about))


def digest(split: Split) -> str:
    """The SHA-256 of everything in a split."""
    about = repr(
        (
            split.source,
            split.classes,
            split.subtract_pixel_mean,
            split.pixel_mean_sha256,
            split.images.shape,
        )
    )
    found = hashlib.sha256(about.encode())
    found.update(split.images.reshape(-1).view(np.uint8).data)
    found.update(split.labels.view(np.uint8).data)
    return found.hexdigest()


def _open(path: Path) -> NDArray[Any]:
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError as error:
        raise BenchmarkError(f"{path}: no such file; run `dvc repro preprocess`") from error
    except OSError:
        raise
    except Exception as error:  # of any kind, since NumPy reads the header as Python code
        raise BenchmarkError(
            f"{path}: not a complete .npy file; run `dvc repro --force preprocess`"
        ) from error


def _read_about(path: Path) -> About:
    try:
        return validate_json(About, path.read_text(encoding="utf-8", errors="replace"), str(path))
    except FileNotFoundError as error:
        raise BenchmarkError(f"{path}: no such file; run `dvc repro preprocess`") from error
    except BenchmarkError as error:
        raise BenchmarkError(f"{error}; run `dvc repro --force preprocess`") from error
