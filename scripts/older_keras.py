"""Check that older versions of Keras load the checkpoints and predict the same.

Saves both versions of the network in both forms, installs each older Keras with JAX from PyPI into
a temporary virtual environment, and compares predictions there. Needs the network and about a
minute per version; prints one line per version.
"""

import argparse
import os
import tempfile
import venv
from importlib import metadata
from pathlib import Path

import numpy as np

from resnet import backend
from resnet.errors import BenchmarkError, command_parser, run_stage
from scripts.command import output

OLDER = ("3.8.0", "3.13.2")
NETWORKS = ((1, 8, "original"), (1, 8, "paper"), (2, 11, "original"), (2, 11, "paper"))
TOLERANCE = 1e-5  # of a probability: the rounding of another backend
PREDICT = """
import sys
from pathlib import Path
import keras
import numpy as np
folder, version = Path(sys.argv[1]), sys.argv[2]
assert keras.__version__ == version, keras.__version__
images, largest = np.load(folder / "images.npy"), 0.0
for path in sorted(folder.glob("*.keras")):
    probabilities = keras.models.load_model(path).predict(images, verbose=0)
    expected = np.load(path.with_suffix(".npy"))
    assert expected.std() > 0.01, path
    largest = max(largest, float(np.abs(probabilities - expected).max()))
print(largest)
"""


def main(_arguments: argparse.Namespace) -> None:
    """Check all versions; raises BenchmarkError where one fails."""
    failed = []
    with tempfile.TemporaryDirectory(prefix="older-keras-") as name:
        folder = Path(name)
        write_checkpoints(folder / "checkpoints")
        for version in OLDER:
            try:
                difference = check(version, folder)
            except BenchmarkError as error:
                print(f"Keras {version}: {error}", flush=True)
                failed.append(version)
            else:
                print(
                    f"Keras {version}: loads {len(NETWORKS)} checkpoints of Keras "
                    f"{metadata.version('keras')}; probabilities differ by at most "
                    f"{difference:.1g}",
                    flush=True,
                )
    if failed:
        raise BenchmarkError(f"checkpoints are not usable in Keras {', '.join(failed)}")


def write_checkpoints(folder: Path) -> None:
    """Save each network with random weights and statistics, images, and its predictions of them."""
    folder.mkdir()
    backend.start()
    from resnet import model
    from resnet.training import checkpoint

    rng = np.random.default_rng(0)
    images = rng.normal(size=(16, 32, 32, 3)).astype(np.float32)
    np.save(folder / "images.npy", images)
    for version, depth, form in NETWORKS:
        network = model.build(version, depth, form=form, l2_on="all")
        model.initialize(network, rng)
        network.set_weights(
            [w + rng.uniform(0, 0.5, w.shape) * (w.ndim == 1) for w in network.get_weights()]
        )
        path = folder / f"{network.name}-{form}.keras"
        checkpoint.save(network, path)
        np.save(path.with_suffix(".npy"), network.predict(images, verbose=0))


def check(version: str, folder: Path) -> float:
    """The largest difference of a probability there; raises BenchmarkError if it is large."""
    environment = folder / version
    venv.create(environment, with_pip=True)
    python = str(environment / "bin" / "python")
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    env.pop("PYTHONPATH", None)
    output([python, "-m", "pip", "install", "--quiet", f"keras=={version}", "jax"], env=env)
    predict = [python, "-c", PREDICT, str(folder / "checkpoints"), version]
    difference = float(output(predict, env=env))
    if not difference <= TOLERANCE:
        raise BenchmarkError(f"probabilities differ by {difference:.1g}, above {TOLERANCE:g}")
    return difference


if __name__ == "__main__":
    run_stage(main, command_parser("scripts.older_keras", __doc__))
