"""Workspaces in which the train stage runs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.trainings import write_workspace


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace before its first training, to be copied."""
    folder = tmp_path_factory.mktemp("workspace") / "original"
    write_workspace(folder)
    return folder


@pytest.fixture
def enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make a copy of a workspace the current folder."""
    for variable in ("OTHER_STATE", "DVC_ROOT", "STEPS_PER_CALL", "IMAGES_ON_DEVICE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SAVE_SECONDS", "0")

    def copy(workspace: Path) -> None:
        shutil.copytree(workspace, tmp_path / "workspace")
        monkeypatch.chdir(tmp_path / "workspace")

    return copy
