"""The second backend: tests of training repeated on JAX, and both backends side by side."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.checkout import ROOT

REPEATED = (  # few that train, since XLA takes long to compile a network
    "test_augment.py",
    "test_holdout.py::test_are_scored_as_keras_scores_them",
    "test_loop.py::test_number_of_steps_in_a_call",
    "test_loop.py::test_resumed_training_gives_the_same_bits",
    "test_loop.py::test_steps_equal_those_of_keras[v1-adam]",
    "test_loop.py::test_steps_equal_those_of_keras[v2-sgd]",
)
ONE_EPOCH = """
import sys
from pathlib import Path
import numpy as np
from resnet import backend, params
from tests.support.trainings import synthetic_split
split = synthetic_split(Path(sys.argv[2]), 320)
device = backend.start()
from resnet import model
from resnet.training import inputs, loop
variant = params.load().variant("model")
recipe = variant.recipe
recipe = recipe.model_copy(update={"epochs": 1, "learning_rate": 1e-4})
network = model.build(1, 8)
training = loop.Training(network, 8, recipe, variant.augment, 0, device)
(epoch,) = training.epochs(inputs.whole(split))
np.savez(sys.argv[1], *network.get_weights(), loss=epoch.loss)
"""


def environment(backend: str, cache: Path) -> dict[str, str]:
    """The environment for a backend; JAX finds in `cache` what it has compiled once."""
    return {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


def test_training_and_augmentation_on_jax(tmp_path: Path) -> None:
    repeated = [f"tests/training/{name}" for name in REPEATED]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", *repeated],
        cwd=ROOT,
        env=environment("jax", tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_an_epoch_is_equal_on_both_up_to_rounding(tmp_path: Path) -> None:
    """The draws have the same bits, those of the initial weights included."""
    results = []
    for backend in ("tensorflow", "jax"):
        path = tmp_path / f"{backend}.npz"
        subprocess.run(
            [sys.executable, "-c", ONE_EPOCH, str(path), str(tmp_path / backend)],
            cwd=ROOT,
            env=environment(backend, tmp_path / "cache"),
            check=True,
            capture_output=True,
        )
        results.append(np.load(path))
    a, b = results
    assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
    for name in a.files:
        np.testing.assert_allclose(a[name], b[name], atol=3e-4)
