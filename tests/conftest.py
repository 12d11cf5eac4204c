"""Tests run on float32 Keras, on the backend that KERAS_BACKEND names, as the stages start it.

They run on the CPU; GPU=1 in the environment runs them on the GPU. There they are in full float32,
since they compare sums in two orders, and TF32 keeps only 10 bits of each factor.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from resnet import backend, params
from resnet.device import Device
from scripts.git import elsewhere
from tests.support.checkout import ROOT, project_params, project_values

SLOW = (  # the files that take longest, which start first: a late one would keep others waiting
    "scripts/test_checkpoints.py",
    "test_pipeline.py",
    "scripts/test_same_bits.py",
    "training/test_jax.py",
    "test_faults.py",
    "training/test_accelerator.py",
    "training/test_loop.py",
    "scripts/test_retrain.py",
    "training/test_run.py",
    "test_model.py",
    "cluster/test_stale.py",
    "test_speed.py",
    "scripts/test_demo.py",
)

os.environ.setdefault("GPU", "0")
os.environ.setdefault("TF32", "0")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the tests of the slow files to the front; pytest-xdist keeps the order of the files."""
    order = {ROOT / "tests" / name: number for number, name in enumerate(SLOW)}
    items.sort(key=lambda item: order.get(item.path, len(SLOW)))


@pytest.fixture(scope="session", autouse=True)
def _git_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Git without the user's configuration, and without the repository that a hook names."""
    config = tmp_path_factory.mktemp("git") / "config"
    config.write_text("[safe]\n\tdirectory = *\n")  # also where another user owns this checkout
    os.environ.update(GIT_CONFIG_GLOBAL=str(config), GIT_CONFIG_NOSYSTEM="1")
    for name in set(os.environ) - set(elsewhere(os.environ)):
        del os.environ[name]


@pytest.fixture(scope="session")
def device() -> Device:
    return backend.start()


@pytest.fixture
def bfloat16() -> Iterator[Device]:
    """The device, with Keras in mixed precision until the end of the test."""
    yield backend.start("bfloat16")
    backend.start("float32")


@pytest.fixture
def raw() -> dict[str, Any]:
    """The values of the project's params.yaml, which the test may change.

    Here and in `settings`, model, seeds and variants are those before any experiment was kept.
    """
    return project_values()


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., params.Params]:
    """The project's params.yaml with changes by dotted key: settings({"model.n": 1})."""

    return partial(project_params, tmp_path)
