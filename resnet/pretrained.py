"""Trained networks for raw images: `load("model", seed=0)`.

No stage imports this module.
"""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resnet.errors import BenchmarkError
from resnet.files import sha256
from resnet.schema import validate_json
from resnet.training.record import PIXEL_MEAN, RECORD, TrainingRecord, model_folder

if TYPE_CHECKING:
    import keras

NOT_RECORDED = f"{{path}}: missing, damaged, or from another training than the {RECORD} beside it"


def load(variant: str | Path, seed: int = 0) -> "keras.Model":
    """A trained network that takes raw images, uint8 (n, 32, 32, 3) RGB; it returns (n, 10).

    `variant` is the name of one, or the path of a folder like models/model/seed0. The model is a
    plain one of Keras': stock layers only, the preprocessing included, so `save` writes a file that
    loads without this project, in this version of Keras or a newer one. Class i is line i of
    `classes` in training.json. Raises BenchmarkError where there are no weights, or where a file is
    not the one that training.json records.
    """
    named = isinstance(variant, str) and "/" not in variant
    folder = model_folder(str(variant), seed) if named else Path(variant)
    path = folder / RECORD
    if not path.is_file():
        stage = f"train@{variant}-{seed}" if named else "train"
        raise BenchmarkError(
            f"{folder}: no trained weights; `dvc pull {stage}` pulls those in git, "
            f"`dvc repro {stage}` trains"
        )
    text = path.read_text(encoding="utf-8", errors="replace")
    record = validate_json(TrainingRecord, text, str(path))
    checkpoint, mean = folder / record.checkpoint, _pixel_mean(folder / PIXEL_MEAN, record)
    if not checkpoint.is_file() or sha256(checkpoint) != record.checkpoints.get(checkpoint.name):
        raise BenchmarkError(NOT_RECORDED.format(path=checkpoint))
    import keras  # takes seconds
    from keras import layers

    network = keras.saving.load_model(checkpoint, compile=False)
    images = keras.Input(network.input_shape[1:], dtype="uint8")
    x = layers.Rescaling(1 / 255, dtype="float32")(images)
    subtract = layers.Normalization((1, 2, 3), mean, np.ones_like(mean), dtype="float32")
    x = subtract(x)
    return keras.Model(images, network(x), name=folder.parent.name)


def _pixel_mean(path: Path, record: TrainingRecord) -> NDArray[np.float32]:
    with suppress(Exception):  # of any kind, since NumPy reads the header as Python code
        mean: NDArray[np.float32] = np.load(path)
        if hashlib.sha256(mean.tobytes()).hexdigest() == record.pixel_mean_sha256:
            return mean
    raise BenchmarkError(NOT_RECORDED.format(path=path))
