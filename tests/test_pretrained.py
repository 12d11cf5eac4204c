"""Trained networks for raw images: the same answers as the pipeline's, in a plain Keras model."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resnet import pretrained
from resnet.data import arrays, cifar10
from resnet.errors import BenchmarkError
from resnet.params import Params
from resnet.training import run
from resnet.training.record import model_folder
from tests.support.trainings import PIPELINE, WORKSPACE, synthetic_arrays


@pytest.fixture
def workspace(
    settings: Callable[..., Params], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with a trained model on synthetic images, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "a_dep.py").write_text("")
    synthetic_arrays(arrays.FOLDER, 70, 20)
    train, test = (arrays.open_split(arrays.FOLDER / split) for split in ("train", "test"))
    run.train(
        settings({**WORKSPACE, "train.watch": "none"}),
        "model",
        0,
        train,
        None,
        model_folder("model", 0),
    )
    assert len(test.labels) == 20
    return tmp_path


def test_it_answers_raw_images_as_the_checkpoint_answers_the_arrays(workspace: Path) -> None:
    import keras

    images, _ = cifar10.read_split(arrays.FOLDER.with_name("source"), "test")
    test = arrays.open_split(arrays.FOLDER / "test")
    checkpoint = keras.saving.load_model(model_folder("model", 0) / "last.keras", compile=False)
    expected = checkpoint.predict(test.images, verbose=0)
    for model in (pretrained.load("model"), pretrained.load(workspace / "models/model/seed0")):
        assert images.dtype == np.uint8
        np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-5)
    wrong = np.abs(checkpoint.predict(images / 255, verbose=0) - expected).max()
    assert wrong > 1e-3  # the mean matters


def test_the_saved_model_loads_without_this_project(workspace: Path) -> None:
    pretrained.load("model", seed=0).save(workspace / "raw.keras")
    code = (
        "import sys, keras, numpy as np\n"
        "model = keras.saving.load_model('raw.keras')\n"
        "print(model.predict(np.full((1, 32, 32, 3), 7, 'uint8'), verbose=0).tolist())\n"
        "assert 'resnet' not in sys.modules"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    image = np.full((1, 32, 32, 3), 7, "uint8")
    expected = pretrained.load("model").predict(image, verbose=0)
    np.testing.assert_allclose(json.loads(done.stdout.splitlines()[-1]), expected, atol=1e-6)


def test_no_weights_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchmarkError) as caught:
        pretrained.load("model", seed=3)
    assert str(caught.value) == (
        "models/model/seed3: no trained weights; `dvc pull train@model-3` pulls those in git, "
        "`dvc repro train@model-3` trains"
    )
    with pytest.raises(BenchmarkError, match=r"^some/folder: no trained weights"):
        pretrained.load("some/folder")
