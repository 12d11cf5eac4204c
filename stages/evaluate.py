"""Score a variant's checkpoints, one per seed, on all test images.

Reads models/VARIANT/ and data/arrays/test/. Writes the variant's metrics, provenance, predictions,
histories and confusion counts below metrics/: see resnet/results/store.py.
"""

import argparse

from resnet import backend, params
from resnet.data import arrays
from resnet.errors import command_parser, run_stage
from resnet.results.evaluation import score_variant
from resnet.results.store import Store


def main(arguments: argparse.Namespace) -> None:
    variant = arguments.variant
    settings = params.load()
    settings.variant(variant)
    with backend.memory_errors("end other programs that use it"):
        test = arrays.open_split(arrays.FOLDER / "test")
        files = score_variant(variant, settings.seeds, test)
    Store().write_variant(variant, files)


if __name__ == "__main__":
    command = command_parser("stages.evaluate", __doc__)
    command.add_argument("variant", metavar="VARIANT", help="one of `variants` of params.yaml")
    run_stage(main, command)
