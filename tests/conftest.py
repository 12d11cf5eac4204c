"""Tests run on float32 Keras, on the backend that KERAS_BACKEND names, started as the stages start it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from resnet import backend, params
from scripts.demo import set_params

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def device() -> backend.Device:
    return backend.start()


@pytest.fixture
def raw() -> dict[str, Any]:
    """The project's own params.yaml, to change at will."""
    return dict(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")))


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., params.Params]:
    """The project's params.yaml with changes, dotted keys by name: settings({"model.n": 1})."""

    def changed(changes: dict[str, Any]) -> params.Params:
        path = tmp_path / "params.yaml"
        path.write_bytes((ROOT / "params.yaml").read_bytes())
        set_params(path, changes)
        return params.load(path)

    return changed
