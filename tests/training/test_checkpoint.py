"""Checkpoints: equal weights are equal files, which stock Keras loads, older versions included."""

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet.files import sha256
from tests.support.checkout import ROOT

NETWORKS = [(1, 8, "original"), (1, 8, "paper"), (2, 11, "original"), (2, 11, "paper")]
SAVE = """
import sys
from pathlib import Path
from resnet import backend, model
from resnet.training import checkpoint, draws, normalization
backend.start()
network = model.build(2, 11, form="paper")
model.initialize(network, draws.weights_generator(0))
if len(sys.argv) > 2:
    normalization.fused(network)
checkpoint.save(network, Path(sys.argv[1]))
"""

BASE = {"dtype", "name", "trainable"}
KERNEL = BASE | {
    "activation",
    "bias_constraint",
    "bias_initializer",
    "bias_regularizer",
    "kernel_constraint",
    "kernel_initializer",
    "kernel_regularizer",
    "use_bias",
}
CONFIG_KEYS = {  # all known to Keras 3.8; check another with `python -m scripts.older_keras`
    "Activation": BASE | {"activation"},
    "Add": BASE,
    "AveragePooling2D": BASE | {"data_format", "padding", "pool_size", "strides"},
    "BatchNormalization": BASE
    | {
        "axis",
        "beta_constraint",
        "beta_initializer",
        "beta_regularizer",
        "center",
        "epsilon",
        "gamma_constraint",
        "gamma_initializer",
        "gamma_regularizer",
        "momentum",
        "moving_mean_initializer",
        "moving_variance_initializer",
        "scale",
        "synchronized",
    },
    "Concatenate": BASE | {"axis"},
    "Conv2D": KERNEL
    | {
        "activity_regularizer",
        "data_format",
        "dilation_rate",
        "filters",
        "groups",
        "kernel_size",
        "padding",
        "strides",
    },
    "DTypePolicy": {"name"},
    "Dense": KERNEL | {"units"},
    "Flatten": BASE | {"data_format"},
    "Functional": {"input_layers", "layers", "name", "output_layers", "trainable"},
    "InputLayer": {"batch_shape", "dtype", "name", "optional", "ragged", "sparse"},
    "L2": {"l2"},
    "Ones": set(),
    "Rescaling": BASE | {"offset", "scale"},
    "Zeros": set(),
}


def saved(tmp_path: Path, version: int, depth: int, form: str, l2_on: str) -> tuple[Any, Path]:
    """A network with random weights and statistics, and its checkpoint."""
    from resnet import model
    from resnet.training import checkpoint

    network = model.build(version, depth, form=form, l2_on=l2_on)
    rng = np.random.default_rng(version)
    network.set_weights([rng.uniform(0.1, 0.5, w.shape) for w in network.get_weights()])
    path = tmp_path / "last.keras"
    checkpoint.save(network, path)
    return network, path


def objects(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The class and configuration of every object in a Keras configuration."""
    if isinstance(value, dict):
        if isinstance(value.get("config"), dict) and not value["class_name"].startswith("__"):
            yield value["class_name"], value["config"]
        for part in value.values():
            yield from objects(part)
    elif isinstance(value, list):
        for part in value:
            yield from objects(part)


def leaves(value: Any) -> Iterator[Any]:
    """Every value in nested lists and dicts that is neither."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)
    else:
        yield value


def test_equal_weights_are_equal_files_in_two_processes(tmp_path: Path) -> None:
    hashes = set()
    for number, more in enumerate([(), ("fused",)]):
        path = tmp_path / f"folder{number}" / "last.keras"
        path.parent.mkdir()
        subprocess.run(
            [sys.executable, "-c", SAVE, str(path), *more],
            cwd=path.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(number)},
            check=True,
            capture_output=True,
        )
        hashes.add(sha256(path))
    assert len(hashes) == 1


@pytest.mark.parametrize(("version", "depth", "form"), NETWORKS)
@pytest.mark.usefixtures("device")
def test_loaded_network_predicts_the_same_bits(
    version: int, depth: int, form: str, tmp_path: Path
) -> None:
    import keras

    network, path = saved(tmp_path, version, depth, form, "convolutions")
    loaded = keras.models.load_model(path)
    assert {type(layer).__module__.split(".")[0] for layer in loaded.layers} == {"keras"}
    images = np.random.default_rng(0).normal(size=(8, 32, 32, 3)).astype(np.float32)
    expected = network.predict(images, verbose=0)
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), expected)
    assert float(sum(loaded.losses)) == float(sum(network.losses))


@pytest.mark.parametrize("l2_on", ["convolutions", "all"])
@pytest.mark.usefixtures("device")
def test_configuration_has_no_keys_but_the_known_ones(l2_on: str, tmp_path: Path) -> None:
    found: dict[str, set[str]] = {}
    for version, depth, form in NETWORKS:
        _, path = saved(tmp_path, version, depth, form, l2_on)
        with zipfile.ZipFile(path) as archive:
            for name, config in objects(json.loads(archive.read("config.json"))):
                found.setdefault(name, set()).update(config)
    assert found == CONFIG_KEYS


@pytest.mark.parametrize(("version", "depth", "form"), NETWORKS)
@pytest.mark.usefixtures("device")
def test_file_has_no_newer_key_path_date_or_address(
    version: int, depth: int, form: str, tmp_path: Path
) -> None:
    from resnet.training.checkpoint import DATE, NEWER_KEYS

    _, path = saved(tmp_path, version, depth, form, "all")
    with zipfile.ZipFile(path) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.namelist() == ["config.json", "metadata.json", "model.weights.h5"]
        texts = [archive.read(name).decode() for name in archive.namelist()[:2]]
        weights = archive.read("model.weights.h5")
    for text in texts:
        for key in NEWER_KEYS:
            assert f'"{key}"' not in text
        for value in leaves(json.loads(text)):
            if isinstance(value, str) and value != DATE:
                assert not value.startswith("/")
                assert not re.search(r"0x[0-9a-f]{6}|\d{4}-\d\d-\d\d", value)
            elif isinstance(value, int):
                assert abs(value) < 10_000  # not a memory address
    for folder in (str(tmp_path), str(ROOT)):
        assert folder.encode() not in weights


@pytest.mark.usefixtures("device")
def test_key_with_a_value_that_matters_is_kept(tmp_path: Path) -> None:
    """Only a newer feature that is not used is left out: one that is used is not dropped."""
    import keras

    from resnet.training import checkpoint

    inputs = keras.Input((4,))
    layer = keras.layers.BatchNormalization(renorm=True, renorm_momentum=0.5)
    checkpoint.save(keras.Model(inputs, layer(inputs)), tmp_path / "a.keras")
    with zipfile.ZipFile(tmp_path / "a.keras") as archive:
        config = dict(objects(json.loads(archive.read("config.json"))))["BatchNormalization"]
    assert (config["renorm"], config["renorm_momentum"]) == (True, 0.5)
