"""Train one variant with one seed, and write models/VARIANT/seedSEED/.

Reads params.yaml and data/arrays. The folder gets last.keras, best.keras where images are held out,
history.csv with one row per epoch, pixel_mean.npy, and training.json, the training's record.
"""

import argparse

from resnet import backend, params
from resnet.data import arrays
from resnet.data.arrays import Split
from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.params import Params
from resnet.training import preflight, run
from resnet.training.record import model_folder


def main(arguments: argparse.Namespace) -> None:
    """Train what the command line names; raises BenchmarkError where it is not listed."""
    name, seed = arguments.variant, arguments.seed
    settings = params.load()
    settings.variant(name)
    if seed not in settings.seeds:
        listed = ", ".join(map(str, settings.seeds))
        raise BenchmarkError(f"{seed} is not among seeds of params.yaml: {listed}")
    preflight.check(settings, name, seed)
    train_split, test_split = open_splits(settings)
    with backend.memory_errors("lower batch_size, or set IMAGES_ON_DEVICE=0"):
        run.train(settings, name, seed, train_split, test_split, model_folder(name, seed))


def open_splits(settings: Params) -> tuple[Split, Split | None]:
    """The training images, and the test images where the training reads them at all."""
    reads_test = settings.train.holdout.split == "test" or settings.train.watch == "test"
    names = ("train", "test") if reads_test else ("train",)
    splits = [arrays.open_split(arrays.FOLDER / name) for name in names]
    wanted = settings.data.source, settings.preprocess.subtract_pixel_mean
    for name, split in zip(names, splits, strict=True):
        same_mean = split.pixel_mean_sha256 == splits[0].pixel_mean_sha256
        if not same_mean or (split.source, split.subtract_pixel_mean) != wanted:
            raise BenchmarkError(
                f"{arrays.FOLDER}/{name} does not have the data that params.yaml asks for; "
                "run `dvc repro preprocess`"
            )
    return splits[0], splits[1] if reads_test else None


if __name__ == "__main__":
    command = command_parser("stages.train", __doc__)
    command.add_argument("variant", metavar="VARIANT", help="one of `variants` of params.yaml")
    command.add_argument("seed", metavar="SEED", type=int, help="one of `seeds` of params.yaml")
    run_stage(main, command)
