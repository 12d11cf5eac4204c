"""Checkpoints with code, which runs where Keras is told to trust them."""

import json
import os
import subprocess
import sys
from pathlib import Path

from resnet.files import sha256
from resnet.training.record import LAST, RECORD
from tests.support.checkout import ROOT

MAKE_HOSTILE = """\
import json, os, sys, zipfile
from resnet import backend
backend.start()
import keras

def with_system_call(old, new):
    with zipfile.ZipFile(old) as read, zipfile.ZipFile(new, "w") as write:
        for name in read.namelist():
            data = read.read(name)
            if name == "config.json":
                config = json.loads(data)
                layers = config["config"]["layers"]
                layer = next(layer for layer in layers if layer["class_name"] == "Lambda")
                layer.update(module="os", class_name="system", config="touch harm")
                layer["registered_name"] = None
                data = json.dumps(config)
            write.writestr(name, data)

images = keras.Input((32, 32, 3))
attack = keras.layers.Lambda(lambda x: (open("harm", "w"), x[:, 0, 0, :])[1])
scores = keras.layers.Dense(2, activation="softmax")(attack(images))
keras.Model(images, scores).save("lambda.keras")
with_system_call("lambda.keras", "system.keras")
os.remove("harm")
keras.models.load_model("lambda.keras", compile=False, safe_mode=False)
assert os.path.exists("harm"), "the attack does nothing"
os.remove("harm")
"""


def hostile_checkpoints(folder: Path) -> list[Path]:
    """Write some that create the file `harm` in the current folder if they are trusted."""
    command = [sys.executable, "-c", MAKE_HOSTILE]
    subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    return [folder / "lambda.keras", folder / "system.keras"]


def replace_checkpoint(training: Path, checkpoint: Path) -> None:
    """Make a checkpoint the recorded one of a training's folder, so that it is loaded."""
    (training / LAST).write_bytes(checkpoint.read_bytes())
    record = json.loads((training / RECORD).read_text(encoding="utf-8"))
    record["checkpoints"] = {LAST: sha256(training / LAST)}
    (training / RECORD).write_text(json.dumps(record), encoding="utf-8")
