"""The preprocessed arrays: a folder a split with images.npy, labels.npy and about.json, memory-mapped by their readers."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet.errors import BenchmarkError
from resnet.files import read_json, replaced, write_json

CHUNK = 1000  # images converted at a time: 12 MB of float32


@dataclass(frozen=True)
class Split:
    """One split, ready for a network: images (n, 32, 32, 3) float32 and labels (n,) int32, both memory-mapped."""

    images: NDArray[np.float32]
    labels: NDArray[np.int32]
    source: str  # cifar10 or synthetic
    classes: tuple[str, ...]
    pixel_mean_sha256: str  # of the bytes that preprocess subtracted from every image


def pixel_mean(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean of images (n, 32, 32, 3) over n, in units of 1 for a full pixel: (32, 32, 3) float32.

    The sums are of integers and so exact: every machine gets the same bits.
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
    source: str,
    classes: list[str],
) -> None:
    """Write a split as float32, pixels / 255 - mean, in bounded memory; the folder is there whole or not at all."""
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
        digest = hashlib.sha256(mean.tobytes()).hexdigest()
        write_json(
            partial / "about.json",
            {"source": source, "classes": classes, "pixel_mean_sha256": digest},
        )


def open_split(folder: Path) -> Split:
    """Open what `write_split` wrote; raises BenchmarkError where a file is missing, cut short, or does not fit the others."""
    images = _open(folder / "images.npy")
    labels = _open(folder / "labels.npy")
    if images.dtype != np.float32 or images.shape[1:] != (32, 32, 3):
        raise BenchmarkError(
            f"{folder}/images.npy: must be float32 (n, 32, 32, 3), is {images.dtype} {images.shape}"
        )
    if labels.dtype != np.int32 or labels.shape != images.shape[:1]:
        raise BenchmarkError(
            f"{folder}/labels.npy: must be int32 ({len(images)},) as images.npy, is {labels.dtype} {labels.shape}"
        )
    about = read_json(folder / "about.json")
    try:
        return Split(
            images, labels, about["source"], tuple(about["classes"]), about["pixel_mean_sha256"]
        )
    except KeyError as error:
        raise BenchmarkError(
            f"{folder}/about.json: no {error}; run `dvc repro preprocess`"
        ) from error


def digest(split: Split) -> str:
    """The SHA-256 of all that a split holds."""
    about = repr((split.source, split.classes, split.pixel_mean_sha256, split.images.shape))
    found = hashlib.sha256(about.encode())
    found.update(split.images.reshape(-1).view(np.uint8).data)
    found.update(split.labels.view(np.uint8).data)
    return found.hexdigest()


def _open(path: Path) -> NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise BenchmarkError(f"{path}: no such file; run `dvc repro preprocess`") from error
    except (ValueError, EOFError) as error:
        raise BenchmarkError(
            f"{path}: not a whole .npy file; run `dvc repro --force preprocess`"
        ) from error
    assert isinstance(array, np.ndarray)
    return array
