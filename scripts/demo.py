"""Run the whole pipeline on small synthetic images, in a temporary copy of the checkout.

`make demo`. The checkout itself is not changed.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts.checkout import copy_checkout, environment

SMALL = {
    "data.source": "synthetic",
    "data.synthetic": {"train_images": 2000, "test_images": 500, "seed": 0},
    "variants": ["model", "ResNet11v2"],
    "seeds": [0, 1],
    "model.n": 1,
    "ResNet11v2": {"version": 2, "n": 1},
    "recipes.original.epochs": 4,
}


def main() -> int:
    """Run `dvc repro` in a copy and return its exit status."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="resnet-demo-") as name:
        copy_checkout(Path(name), SMALL)
        status = subprocess.run(
            ["dvc", "repro"], cwd=name, env=environment(Path(name)), check=False
        ).returncode
    if status == 0:
        print(
            f"\nThe demo took {time.monotonic() - start:.0f} s. It ran in a temporary copy, and "
            "your checkout is unchanged.\n"
            "Next: `make reproduce` trains on CIFAR-10, and README.md says what that costs."
        )
    return status


if __name__ == "__main__":
    sys.exit(main())
