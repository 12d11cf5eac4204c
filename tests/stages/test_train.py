"""Which images a training accepts."""

import json
from pathlib import Path
from typing import Any

import pytest

from resnet import params
from resnet.errors import BenchmarkError
from scripts.checkout import set_params
from stages.train import open_splits
from tests.support.trainings import synthetic_arrays, write_workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_workspace(tmp_path / "workspace")
    monkeypatch.chdir(tmp_path / "workspace")
    return tmp_path / "workspace"


@pytest.mark.parametrize(
    ("changes", "reads_test"),
    [
        ({}, True),
        ({"train.watch": "none"}, False),
        (
            {
                "train.watch": "none",
                "train.holdout.split": "test",
                "train.holdout.fraction": 1.0,
            },
            True,
        ),
    ],
)
def test_the_test_images_are_read_where_they_are_scored(
    workspace: Path, changes: dict[str, Any], reads_test: bool
) -> None:
    set_params(workspace / "params.yaml", changes)
    train, test = open_splits(params.load())
    assert len(train.images) == 70
    assert (len(test.images) if test else None) == (20 if reads_test else None)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(("key", "value"), [("source", "cifar10"), ("subtract_pixel_mean", False)])
def test_images_of_other_parameters_are_refused(
    workspace: Path, split: str, key: str, value: Any
) -> None:
    path = workspace / "data" / "arrays" / split / "about.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(BenchmarkError, match=f"^data/arrays/{split} does not have the data that"):
        open_splits(params.load())


def test_both_splits_must_have_the_same_mean(workspace: Path, tmp_path: Path) -> None:
    synthetic_arrays(tmp_path / "other", 60, 20)
    other = tmp_path / "other" / "test"
    for name in ("about.json", "pixel_mean.npy"):
        content = (other / name).read_bytes()
        (workspace / "data" / "arrays" / "test" / name).write_bytes(content)
    with pytest.raises(BenchmarkError, match=r"^data/arrays/test does not have the data that"):
        open_splits(params.load())
