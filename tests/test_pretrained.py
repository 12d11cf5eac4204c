"""Trained networks for raw images: the same answers as the pipeline's, in a plain Keras model."""

import json
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest

from resnet import params, pretrained
from resnet.data import arrays, cifar10
from resnet.errors import BenchmarkError
from resnet.training import run
from resnet.training.record import model_folder
from tests.support.hostile import hostile_checkpoints, replace_checkpoint
from tests.support.trainings import write_workspace


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained model on synthetic images. No test changes it."""
    folder = tmp_path_factory.mktemp("pretrained")
    write_workspace(folder, {"train.watch": "none"})
    with chdir(folder):
        split = arrays.open_split(arrays.FOLDER / "train")
        run.train(params.load(), "model", 0, split, None, model_folder("model", 0))
    return folder


@pytest.fixture
def workspace(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder, in which the test runs."""
    monkeypatch.chdir(trained)
    return trained


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


@pytest.mark.usefixtures("workspace")
def test_the_saved_model_loads_without_this_project(tmp_path: Path) -> None:
    pretrained.load("model", seed=0).save(tmp_path / "raw.keras")
    code = (
        "import sys, keras, numpy as np\n"
        "model = keras.saving.load_model('raw.keras')\n"
        "print(model.predict(np.full((1, 32, 32, 3), 7, 'uint8'), verbose=0).tolist())\n"
        "assert 'resnet' not in sys.modules"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    image = np.full((1, 32, 32, 3), 7, "uint8")
    expected = pretrained.load("model").predict(image, verbose=0)
    np.testing.assert_allclose(json.loads(done.stdout.splitlines()[-1]), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["last.keras", "pixel_mean.npy"])
@pytest.mark.parametrize("content", [None, b"short"])
def test_a_file_that_is_not_the_recorded_one_is_one_line(
    workspace: Path, tmp_path: Path, name: str, content: bytes | None
) -> None:
    folder = tmp_path / "seed0"
    shutil.copytree(workspace / model_folder("model", 0), folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(BenchmarkError) as caught:
        pretrained.load(folder)
    assert str(caught.value) == (
        f"{folder / name}: missing, damaged, or from another training than the training.json "
        "beside it"
    )


@pytest.mark.usefixtures("workspace")
def test_the_mean_of_another_training_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "seed0"
    shutil.copytree(model_folder("model", 0), folder)
    np.save(folder / "pixel_mean.npy", np.zeros((32, 32, 3), "float32"))
    with pytest.raises(BenchmarkError, match=r"pixel_mean.npy: missing, damaged, or from another"):
        pretrained.load(folder)


@pytest.mark.usefixtures("workspace")
def test_a_checkpoint_is_never_run_as_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "seed0"
    shutil.copytree(model_folder("model", 0), folder)
    monkeypatch.chdir(tmp_path)
    for hostile in hostile_checkpoints(tmp_path):
        replace_checkpoint(folder, hostile)
        with pytest.raises((TypeError, ValueError), match=r"lambda|system"):
            pretrained.load(folder)
        assert not Path("harm").exists()


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
