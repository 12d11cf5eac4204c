from pathlib import Path

import numpy as np
import pytest

from resnet import backend, params
from resnet.data import arrays, synthetic
from scripts.demo import SMALL, copy_checkout
from stages.preprocess import preprocess
from tests.conftest import ROOT


@pytest.fixture
def settings(tmp_path: Path) -> params.Params:
    copy_checkout(tmp_path / "copy", SMALL)
    return params.load(tmp_path / "copy" / "params.yaml")


def test_copy_has_the_code_but_no_results(settings: params.Params, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert (copy / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    assert (copy / ".git").is_dir()
    assert [path.name for path in (copy / "metrics").rglob("*") if path.is_file()] == [
        "published.csv"
    ]
    assert not (copy / "dvc.lock").exists()
    assert not (copy / "data").exists()
    assert settings.data.source == "synthetic"


def test_small_network_learns_the_synthetic_classes(
    device: backend.Device, settings: params.Params, tmp_path: Path
) -> None:
    """In the demo's few epochs, on images it has not seen: far above the 10 % of a guess."""
    from resnet import model
    from resnet.training import loop as training

    made = settings.data.synthetic
    synthetic.write(tmp_path / "source", made.train_images, made.test_images, made.seed)
    preprocess(tmp_path / "source", tmp_path / "arrays", "synthetic", True)
    train, test = (arrays.open_split(tmp_path / "arrays" / name) for name in ("train", "test"))
    network = model.build(1, settings.variant("model").network.depth)
    run = training.Training(network, settings.variant("model").recipe, settings.augment, 0, device)
    for _ in run.epochs(*training.select(train, None, 0.0)):
        pass
    right = network.predict(test.images, verbose=0).argmax(axis=1) == test.labels
    assert np.mean(right) > 0.5
