"""Convert CIFAR-10's images to float32 arrays, minus the mean of the training images.

Reads data/cifar-10-batches-py/. Writes data/arrays/train/ and data/arrays/test/, each with
images.npy, labels.npy, pixel_mean.npy, which was subtracted, and about.json. The file
data/arrays/none is what a training depends on that reads no test images (train.watch: none).
"""

import argparse
from pathlib import Path
from typing import Literal

import numpy as np

from resnet import params
from resnet.data import arrays, cifar10
from resnet.errors import command_parser, run_stage
from resnet.files import write_text

SPLITS: tuple[Literal["train", "test"], ...] = ("train", "test")


def preprocess(
    source: Path,
    target: Path,
    data_source: Literal["cifar10", "synthetic"],
    subtract_pixel_mean: bool,
) -> None:
    """Write target/train and target/test.

    Raises BenchmarkError where a file of `source` is missing or damaged, or is not the official
    one although `data_source` is cifar10.
    """
    if data_source == "cifar10":
        cifar10.check_official(source)
    classes = cifar10.class_names(source)
    mean = np.zeros((32, 32, 3), np.float32)
    for split in SPLITS:  # train comes first: its mean is subtracted from both
        images, labels = cifar10.read_split(source, split)
        if split == "train" and subtract_pixel_mean:
            mean = arrays.pixel_mean(images)
        arrays.write_split(
            target / split,
            images,
            labels,
            mean,
            source=data_source,
            classes=classes,
            subtract_pixel_mean=subtract_pixel_mean,
        )
        print(f"{target / split}: {len(images):,} images")
    write_text(target / "none", "no images\n")


def main(_arguments: argparse.Namespace) -> None:
    settings = params.load()
    subtract = settings.preprocess.subtract_pixel_mean
    preprocess(cifar10.FOLDER, arrays.FOLDER, settings.data.source, subtract)


if __name__ == "__main__":
    run_stage(main, command_parser("stages.preprocess", __doc__))
