"""Run the whole pipeline on small synthetic images, in a temporary copy of the checkout.

`make demo`. The checkout itself is not changed.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from resnet import params
from resnet.errors import command_parser, run_stage
from scripts.checkout import ROOT, copy_checkout, environment

SMALL = {
    "data.source": "synthetic",
    "data.synthetic": {"train_images": 2000, "test_images": 500, "seed": 0},
    "variants": ["model", "ResNet11v2"],
    "seeds": [0, 1],
    "model.n": 1,
    "ResNet11v2": {"version": 2, "n": 1},
    "recipes.original.epochs": 4,
}


def main(_arguments: argparse.Namespace) -> None:
    """Run `dvc repro` in a copy; exits with its status."""
    params.load(ROOT / "params.yaml")  # names what is wrong with it
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="resnet-demo-") as name:
        copy_checkout(Path(name), SMALL)
        status = subprocess.run(
            ["dvc", "repro"], cwd=name, env=environment(Path(name)), check=False
        ).returncode
    if status:
        sys.exit(status)
    print(
        f"\nThe demo took {time.monotonic() - start:.0f} s. It ran in a temporary copy, and "
        "your checkout is unchanged.\n"
        "Next: `make reproduce` trains on CIFAR-10, and README.md says what that costs."
    )


if __name__ == "__main__":
    run_stage(main, command_parser("scripts.demo", __doc__))
