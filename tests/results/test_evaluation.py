"""Scoring the checkpoints in models/, and what is refused before one is loaded."""

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet.data import cifar10, synthetic
from resnet.data.arrays import Split
from resnet.device import Device
from resnet.errors import BenchmarkError
from resnet.files import sha256
from resnet.results import scores
from resnet.results.evaluation import score_variant
from resnet.results.metrics import ClassScore
from resnet.training.record import TrainingRecord, model_folder
from tests.support.checkout import ROOT
from tests.support.hostile import hostile_checkpoints, replace_checkpoint
from tests.support.results import CLASSES, history_text, make_parameters, make_run

IMAGES = 60
SEEDS = range(6)  # TensorFlow warns from the fifth network in a process on
L2 = 0.01
MEAN = np.zeros((32, 32, 3), np.float32)
MEAN_SHA256 = hashlib.sha256(MEAN.tobytes()).hexdigest()


@pytest.fixture
def test_split() -> Split:
    """Random images, of which the first half are cats."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(IMAGES, 32, 32, 3)).astype(np.float32)
    labels = (np.arange(IMAGES) >= IMAGES // 2).astype(np.int32)
    return Split(images, labels, MEAN, "cifar10", CLASSES, True, MEAN_SHA256)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, device: Device) -> Path:
    """A folder with a small trained network of several seeds in models/, to be copied."""
    import keras

    assert device
    root = tmp_path_factory.mktemp("evaluation")
    for seed in SEEDS:
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((32, 32, 3))
        features = keras.layers.GlobalAveragePooling2D()(inputs)
        layer = keras.layers.Dense(
            2, activation="softmax", kernel_regularizer=keras.regularizers.L2(L2)
        )
        folder = root / model_folder("model", seed)
        folder.mkdir(parents=True)
        keras.Model(inputs, layer(features)).save(folder / "last.keras")
        (folder / "history.csv").write_text(history_text(2))
        np.save(folder / "pixel_mean.npy", MEAN)
        parameters = make_parameters(changes={"epochs": 2})
        checkpoints = {"last.keras": sha256(folder / "last.keras")}
        run = make_run(
            seed=seed,
            parameters=parameters,
            checkpoints=checkpoints,
            pixel_mean_sha256=MEAN_SHA256,
        )
        write_record(folder, run.training)
    return root


@pytest.fixture
def trained(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(built, tmp_path, dirs_exist_ok=True))


def write_record(folder: Path, record: TrainingRecord, **changes: Any) -> None:
    content = {**record.model_dump(mode="json", by_alias=True), **changes}
    (folder / "training.json").write_text(json.dumps(content))


def test_scores_are_those_of_keras(
    trained: Path, test_split: Split, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras

    files = score_variant("model", (0, 1), test_split)
    for seed, run in enumerate(files.results.runs):
        model = keras.models.load_model(trained / model_folder("model", seed) / "last.keras")
        model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        loss, accuracy = model.evaluate(test_split.images, test_split.labels, verbose=0)
        assert run.evaluation.accuracy == pytest.approx(100 * accuracy, abs=1e-4)
        assert run.evaluation.loss == pytest.approx(loss, rel=1e-5)
        probabilities = model.predict(test_split.images, verbose=0)
        l2 = L2 * sum(float((kernel**2).sum()) for kernel in model.layers[-1].get_weights()[:1])
        assert run.evaluation.nll == pytest.approx(loss - l2, rel=1e-5)
        assert run.evaluation.ece == pytest.approx(
            scores.score(probabilities, test_split.labels).ece
        )
        predicted = probabilities.argmax(axis=1)
        correct = predicted == test_split.labels
        assert run.evaluation.errors == int((~correct).sum())
        np.testing.assert_array_equal(files.correct[seed], correct)
        assert run.evaluation.classes == {
            name: ClassScore(images=30, errors=int((~correct[test_split.labels == index]).sum()))
            for index, name in enumerate(CLASSES)
        }
    assert files.confusion.sum() == 2 * IMAGES
    assert files.confusion.trace() == files.correct.sum()
    assert files.confusion.sum(axis=1).tolist() == [IMAGES, IMAGES]  # 30 of each class, two seeds
    assert files.histories == {0: history_text(2), 1: history_text(2)}
    assert files.classes == CLASSES
    assert "model seed 1: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"schema": 2}, "schema is 2: another version of the benchmark wrote it"),
        ({"epochs": 3}, "history.csv: must have one complete line for each of 3 epochs"),
        ({"pixel_mean_sha256": "0" * 64}, "was trained on different data than data/arrays/test"),
        ({"classes": ["cat", "frog"]}, "was trained on different data than data/arrays/test"),
        ({"checkpoint": "best.keras"}, "best.keras: no such file; run `dvc checkout models"),
        ({"checkpoints": {}}, "last.keras: damaged, or from another training"),
    ],
)
def test_a_training_that_does_not_fit_is_refused(
    trained: Path, test_split: Split, changes: dict[str, Any], complaint: str
) -> None:
    folder = model_folder("model", 1)
    path = trained / folder / "training.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(BenchmarkError) as caught:
        score_variant("model", (0, 1), test_split)
    assert str(caught.value).startswith(str(folder))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda folder: (folder / "training.json").unlink(),
            "no trained model for this seed; run `dvc repro train@model-1`",
        ),
        (
            lambda folder: (folder / "training.json").write_text("{"),
            "training.json: not JSON: ",
        ),
        (
            lambda folder: (folder / "training.json").write_text('{"schema": 1}'),
            "identity: missing",
        ),
        (
            lambda folder: (folder / "last.keras").write_bytes(b"PK not a zip"),
            "last.keras: damaged, or from another training: its SHA-256 is not",
        ),
        (lambda folder: (folder / "history.csv").unlink(), "history.csv: no such file"),
    ],
)
def test_a_damaged_training_is_refused(
    trained: Path, test_split: Split, change: Callable[[Path], Any], complaint: str
) -> None:
    change(trained / model_folder("model", 1))
    with pytest.raises(BenchmarkError) as caught:
        score_variant("model", (0, 1), test_split)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_seeds_folder_is_refused(trained: Path, test_split: Split) -> None:
    assert trained
    (model_folder("model", 0) / "training.json").replace(model_folder("model", 1) / "training.json")
    with pytest.raises(BenchmarkError, match="seed1 contains model with seed 0; run `dvc repro"):
        score_variant("model", (1,), test_split)


SCORE_ALL = f"""\
import pickle
from pathlib import Path
from resnet.results.evaluation import score_variant
from scripts.verify import pretrained_mismatches

test = pickle.loads(Path("test.pickle").read_bytes())
files = score_variant("model", range({len(SEEDS)}), test)
for seed, row in enumerate(files.correct):
    list(pretrained_mismatches(Path("models", "model", f"seed{{seed}}"), row))
"""


@pytest.mark.usefixtures("trained")
def test_predictions_that_are_not_finite_are_refused(test_split: Split) -> None:
    test_split.images[0] = np.nan
    with pytest.raises(BenchmarkError, match=r"last\.keras: its predictions are not finite"):
        score_variant("model", [0], test_split)


def test_many_checkpoints_in_one_process_log_nothing(trained: Path, test_split: Split) -> None:
    """As evaluate and verify score them; TensorFlow takes it for one function that is retraced."""
    synthetic.write(cifar10.FOLDER, IMAGES, IMAGES, seed=0)
    (trained / "test.pickle").write_bytes(pickle.dumps(test_split))
    done = subprocess.run(
        [sys.executable, "-c", SCORE_ALL],
        cwd=trained,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"model seed {seed}" for seed in SEEDS]
    assert done.stderr == ""


def test_a_checkpoint_is_never_run_as_code(trained: Path, test_split: Split) -> None:
    """The same file runs code where Keras is told to trust it."""
    for hostile in hostile_checkpoints(trained):
        replace_checkpoint(model_folder("model", 1), hostile)
        with pytest.raises(BenchmarkError, match="not a complete Keras checkpoint: "):
            score_variant("model", (1,), test_split)
        assert not (trained / "harm").exists()
