import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet.data import arrays, cifar10, synthetic
from resnet.errors import BenchmarkError
from stages.preprocess import preprocess


@pytest.fixture
def source(tmp_path: Path) -> Path:
    synthetic.write(tmp_path / "source", 2050, 110, seed=1)  # more than two chunks, and part of one
    return tmp_path / "source"


@pytest.mark.parametrize("subtract", [True, False])
def test_equals_the_original(source: Path, tmp_path: Path, subtract: bool) -> None:
    preprocess(source, tmp_path / "arrays", "synthetic", subtract)
    x_train, y_train = cifar10.read_split(source, "train")
    x_test, y_test = cifar10.read_split(source, "test")
    x_train, x_test = x_train.astype("float32") / 255, x_test.astype("float32") / 255
    if subtract:
        mean = np.mean(x_train, axis=0)
        x_train, x_test = x_train - mean, x_test - mean
    for name, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        split = arrays.open_split(tmp_path / "arrays" / name)
        assert split.images.dtype == np.float32
        # NumPy's float32 mean is rounded, ours is exact
        np.testing.assert_allclose(split.images, x, atol=2e-6)
        np.testing.assert_array_equal(split.labels, y)
        assert split.source == "synthetic"
        assert split.classes == tuple(cifar10.class_names(source))
        assert split.subtract_pixel_mean is subtract
        subtracted = np.load(tmp_path / "arrays" / name / "pixel_mean.npy").tobytes()
        assert split.pixel_mean_sha256 == hashlib.sha256(subtracted).hexdigest()


def test_mean_is_exact(source: Path) -> None:
    images, _ = cifar10.read_split(source, "train")
    exact = images.astype(np.float64).mean(axis=0) / 255
    assert np.array_equal(arrays.pixel_mean(images), exact.astype(np.float32))


def test_mean_is_of_the_training_images_and_is_saved(source: Path, tmp_path: Path) -> None:
    preprocess(source, tmp_path / "arrays", "synthetic", True)
    train, test = (arrays.open_split(tmp_path / "arrays" / name) for name in ("train", "test"))
    mean = train.pixel_mean
    np.testing.assert_array_equal(test.pixel_mean, mean)
    np.testing.assert_allclose(train.images.mean(axis=0), 0, atol=1e-6)
    restored = np.rint((test.images + mean) * 255)
    np.testing.assert_array_equal(restored, cifar10.read_split(source, "test")[0])


def test_two_runs_write_the_same_bytes(source: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        preprocess(source, tmp_path / name, "synthetic", True)
    for file in (path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*")):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_digest_is_of_everything_in_a_split(source: Path, tmp_path: Path) -> None:
    preprocess(source, tmp_path / "arrays", "synthetic", True)
    split = arrays.open_split(tmp_path / "arrays" / "test")
    images, labels = np.array(split.images), np.array(split.labels)
    images[-1, -1, -1, -1] += 1
    labels[0] = (labels[0] + 1) % 10
    others: list[dict[str, Any]] = [
        {"images": images},
        {"labels": labels},
        {"source": "cifar10"},
        {"classes": split.classes[::-1]},
        {"subtract_pixel_mean": False},
        {"pixel_mean_sha256": "0" * 64},
    ]
    # the pixel mean has its own digest, which open_split checks
    assert {next(iter(other)) for other in others} == set(vars(split)) - {"pixel_mean"}
    digests = {arrays.digest(dataclasses.replace(split, **other)) for other in others}
    assert len(digests | {arrays.digest(split)}) == len(others) + 1
    assert arrays.digest(split) == arrays.digest(arrays.open_split(tmp_path / "arrays" / "test"))


def test_synthetic_images_are_not_accepted_as_cifar10(source: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="data_batch_1: not the official file"):
        preprocess(source, tmp_path / "arrays", "cifar10", True)
    assert not (tmp_path / "arrays").exists()


def _truncate(folder: Path) -> None:
    path = folder / "images.npy"
    path.write_bytes(path.read_bytes()[:-1])


def _empty(folder: Path) -> None:
    (folder / "labels.npy").write_bytes(b"")


def _shorten(folder: Path) -> None:
    np.save(folder / "labels.npy", np.load(folder / "labels.npy")[:-1])


def _remove(folder: Path) -> None:
    (folder / "images.npy").unlink()


def _widen(folder: Path) -> None:
    np.save(folder / "images.npy", np.load(folder / "images.npy").astype(np.float64))


def _about(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "about.json").write_text(text)

    return write


def _unlink_about(folder: Path) -> None:
    (folder / "about.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncate, "images.npy: not a complete .npy file"),
        (_empty, "labels.npy: not a complete .npy file"),
        (_shorten, r"labels.npy: must be int32 \(110,\) as images.npy, is int32 \(109,\)"),
        (_remove, "images.npy: no such file"),
        (_widen, "images.npy: must be float32"),
        (_about("{}"), "about.json: source: missing; .*; run `dvc repro --force preprocess`"),
        (_about("{"), "about.json: not JSON: .*; run `dvc repro --force preprocess`"),
        (_about('{"source": "mnist"}'), "about.json: source is 'mnist'"),
        (_unlink_about, "about.json: no such file; run `dvc repro preprocess`"),
    ],
)
def test_damaged_arrays_are_one_line(
    source: Path, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    preprocess(source, tmp_path / "arrays", "synthetic", True)
    damage(tmp_path / "arrays" / "test")
    with pytest.raises(BenchmarkError, match=message) as caught:
        arrays.open_split(tmp_path / "arrays" / "test")
    assert "\n" not in str(caught.value)
