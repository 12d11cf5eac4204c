"""The demo's settings: a small network learns the synthetic classes in a few epochs."""

from pathlib import Path

import numpy as np

from resnet import params
from resnet.data import arrays, synthetic
from resnet.device import Device
from scripts.checkout import copy_checkout
from scripts.demo import SMALL
from stages.preprocess import preprocess


def test_the_demos_network_learns_the_synthetic_classes(device: Device, tmp_path: Path) -> None:
    """On test images, far above the 10 % of a guess."""
    from resnet import model
    from resnet.training import inputs, loop

    copy_checkout(tmp_path / "copy", SMALL)
    settings = params.load(tmp_path / "copy" / "params.yaml")
    size = settings.data.synthetic
    synthetic.write(tmp_path / "source", size.train_images, size.test_images, size.seed)
    preprocess(tmp_path / "source", tmp_path / "arrays", "synthetic", True)
    train, test = (arrays.open_split(tmp_path / "arrays" / name) for name in ("train", "test"))
    variant = settings.variant("model")
    depth = variant.network.depth
    network = model.build(1, depth)
    training = loop.Training(network, depth, variant.recipe, variant.augment, 0, device)
    for _ in training.epochs(inputs.whole(train)):
        pass
    correct = network.predict(test.images, verbose=0).argmax(axis=1) == test.labels
    assert np.mean(correct) > 0.5
