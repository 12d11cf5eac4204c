"""preprocess: the images as float32 arrays, minus the mean of the training pixels. `python -m stages.preprocess`"""

from pathlib import Path
from typing import Literal

import numpy as np

from resnet import params
from resnet.data import arrays, cifar10
from resnet.errors import run_stage
from resnet.files import replaced

SOURCE = Path("data/cifar-10-batches-py")
ARRAYS = Path("data/arrays")
SPLITS: tuple[Literal["train", "test"], ...] = ("train", "test")


def preprocess(source: Path, target: Path, data_source: str, subtract_pixel_mean: bool) -> None:
    """Write target/train, target/test and target/pixel_mean.npy, what was subtracted: (32, 32, 3) float32.

    Raises BenchmarkError where the files are not whole, or not CIFAR-10's where `data_source` says so.
    """
    if data_source == "cifar10":
        cifar10.check_official(source)
    classes = cifar10.class_names(source)
    mean = np.zeros((32, 32, 3), np.float32)
    for split in SPLITS:  # train first: its mean is the one that both get
        images, labels = cifar10.read_split(source, split)
        if split == "train" and subtract_pixel_mean:
            mean = arrays.pixel_mean(images)
        arrays.write_split(target / split, images, labels, mean, data_source, classes)
        print(f"{target / split}: {len(images):,} images")
    with replaced(target / "pixel_mean.npy") as partial:
        np.save(partial, mean)


def main(argv: list[str]) -> None:
    settings = params.load()
    if argv:
        raise SystemExit("usage: python -m stages.preprocess")
    preprocess(SOURCE, ARRAYS, settings.data.source, settings.preprocess.subtract_pixel_mean)


if __name__ == "__main__":
    run_stage("preprocess", main)
