import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest

from resnet.data import cifar10, synthetic


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synthetic") / "images"
    synthetic.write(path, 2000, 500, seed=0)
    return path


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_layout_is_that_of_cifar10(folder: Path) -> None:
    assert set(digests(folder)) == set(cifar10.OFFICIAL)
    for name in (*cifar10.TRAIN_FILES, "test_batch"):
        with (folder / name).open("rb") as file:
            batch = pickle.load(file, encoding="bytes")
        count = 500 if name == "test_batch" else 400
        assert batch[b"data"].shape == (count, 3072)
        assert batch[b"data"].dtype == np.uint8
        assert len(batch[b"labels"]) == len(set(batch[b"filenames"])) == count
        assert b"synthetic" in batch[b"batch_label"]


def test_unmistakably_synthetic(folder: Path) -> None:
    names = cifar10.class_names(folder)
    assert len(set(names)) == 10
    assert all(name.startswith("synthetic") for name in names)
    assert "synthetic" in (folder / "readme.html").read_text().lower()


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    for name, seed in {"a": 1, "b": 1, "c": 2}.items():
        synthetic.write(tmp_path / name, 50, 20, seed)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a") != digests(tmp_path / "c")


def test_the_bytes_never_change() -> None:
    """All arithmetic is in integers, so the hash is the same on every machine."""
    images = synthetic.draw(np.arange(10), np.random.default_rng(0))
    assert (
        hashlib.sha256(images.tobytes()).hexdigest()
        == "73336a8127a20a56b913f1c3c0efb1ea6a9f526ceb770caaba270d8ac017cc5b"
    )


def test_classes_are_balanced_and_shuffled(folder: Path) -> None:
    (_, train), (_, test) = cifar10.read_split(folder, "train"), cifar10.read_split(folder, "test")
    for labels, count in ((train, 200), (test, 50)):
        assert np.bincount(labels).tolist() == [count] * 10
        assert len(set(labels[:20].tolist())) > 5
        assert labels[:20].tolist() != labels[20:40].tolist()


def test_train_and_test_share_no_image(folder: Path) -> None:
    (train, _), (test, _) = cifar10.read_split(folder, "train"), cifar10.read_split(folder, "test")
    assert not {image.tobytes() for image in train} & {image.tobytes() for image in test}


def accuracy_of_least_squares(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> float:
    def with_bias(x: np.ndarray) -> np.ndarray:
        flat = x.reshape(len(x), -1).astype(np.float64)
        return np.hstack([flat / np.abs(flat).max(), np.ones((len(x), 1))])

    x = with_bias(train)
    weights = np.linalg.solve(x.T @ x + 1e-3 * np.eye(x.shape[1]), x.T @ np.eye(10)[labels])
    return float(np.mean((with_bias(test) @ weights).argmax(axis=1) == test_labels))


def spectrum(images: np.ndarray) -> np.ndarray:
    """Magnitudes (n, 32, 17) of the grey images' frequencies, which do not depend on the phase."""
    grey = images.mean(axis=3)
    return np.abs(np.fft.rfft2(grey - grey.mean(axis=(1, 2), keepdims=True)))


def test_linear_model_on_pixels_is_poor_and_on_frequencies_good(folder: Path) -> None:
    train, labels = cifar10.read_split(folder, "train")
    test, test_labels = cifar10.read_split(folder, "test")
    assert (
        accuracy_of_least_squares(train[:, ::2, ::2, 1], labels, test[:, ::2, ::2, 1], test_labels)
        < 0.2
    )
    assert accuracy_of_least_squares(train[..., 1], labels, test[..., 1], test_labels) < 0.2
    assert accuracy_of_least_squares(spectrum(train), labels, spectrum(test), test_labels) > 0.8


def test_flips_keep_the_class(folder: Path) -> None:
    train, labels = cifar10.read_split(folder, "train")
    test, test_labels = cifar10.read_split(folder, "test")
    assert (
        accuracy_of_least_squares(spectrum(train), labels, spectrum(test[:, :, ::-1]), test_labels)
        > 0.8
    )
