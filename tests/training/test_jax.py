"""The second backend: the tests of training and augmentation again, on JAX, and the two backends side by side."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT

SIDE_BY_SIDE = """
import sys, tempfile
from pathlib import Path
import numpy as np
from resnet import backend, params
from resnet.data import arrays, synthetic
from stages.preprocess import preprocess
folder = Path(tempfile.mkdtemp())
synthetic.write(folder / "source", 320, 10, seed=0)
preprocess(folder / "source", folder / "arrays", "synthetic", True)
device = backend.start()
from resnet import model
from resnet.training import loop as training
settings = params.load()
recipe = settings.variant("model").recipe.model_copy(update={"epochs": 1, "learning_rate": 1e-4})
run = training.Training(model.build(1, 8), recipe, settings.augment, 0, device)
epochs = list(run.epochs(*training.select(arrays.open_split(folder / "arrays" / "train"), None, 0.0)))
np.savez(sys.argv[1], *run.model.get_weights(), loss=epochs[0].loss)
"""


def on(backend: str, cache: Path) -> dict[str, str]:
    """The environment for that backend; JAX keeps what it compiled, since each test compiles much the same anew."""
    jax = {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT), **jax}


def test_training_and_augmentation_on_jax(tmp_path: Path) -> None:
    files = ["tests/training/test_loop.py", "tests/training/test_augment.py"]
    command = [sys.executable, "-m", "pytest", "-n", "0", *files]
    done = subprocess.run(
        command, cwd=ROOT, env=on("jax", tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_an_epoch_is_the_same_on_both(tmp_path: Path) -> None:
    """The draws are the same to the bit, initial weights included, so what is left is rounding."""
    results = []
    for backend in ("tensorflow", "jax"):
        path = f"{tmp_path}/{backend}.npz"
        subprocess.run(
            [sys.executable, "-c", SIDE_BY_SIDE, path],
            cwd=ROOT,
            env=on(backend, tmp_path),
            check=True,
            capture_output=True,
        )
        results.append(np.load(path))
    a, b = results
    assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
    for name in a.files:
        np.testing.assert_allclose(a[name], b[name], atol=3e-4)
