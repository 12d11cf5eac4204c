"""A training in the current folder, through the train stage, and what it leaves there."""

import argparse
from pathlib import Path

from resnet.schema import validate_json
from resnet.training.record import TrainingRecord
from stages import train as stage

OUTPUT = Path("models/model/seed0")


def train() -> None:
    stage.main(argparse.Namespace(variant="model", seed=0))


def record() -> TrainingRecord:
    path = OUTPUT / "training.json"
    return validate_json(TrainingRecord, path.read_text(encoding="utf-8"), str(path))


def stores() -> list[str]:
    """The contents of the folders of all trainings, without the hashes in their names."""
    found = Path(".resume").glob("model-*/*")
    return sorted(path.name.partition("-")[0] for path in found)
