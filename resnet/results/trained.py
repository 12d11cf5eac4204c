"""A trained model in models/<variant>/seed<seed>/, checked before it is evaluated."""

from dataclasses import dataclass
from pathlib import Path

from resnet.data.arrays import Split
from resnet.errors import BenchmarkError
from resnet.files import sha256
from resnet.results.metrics import parse
from resnet.training import history
from resnet.training.record import HISTORY, RECORD, TrainingRecord, model_folder


@dataclass(frozen=True)
class Trained:
    """One seed's training: its record, its history as text, and the checkpoint to evaluate."""

    record: TrainingRecord
    history: str
    checkpoint: Path


def read(variant: str, seed: int, test: Split) -> Trained:
    """A training whose files are complete and which was trained on the same data as `test`.

    Raises BenchmarkError where that is not so.
    """
    folder = model_folder(variant, seed)
    record = read_record(variant, seed)
    identity = record.identity
    if (identity.variant, identity.seed) != (variant, seed):
        raise BenchmarkError(
            f"{folder} contains {identity.variant} with seed {identity.seed}; "
            f"run `dvc repro evaluate@{variant}`"
        )
    trained_on = (identity.parameters.source, record.pixel_mean_sha256, tuple(record.classes))
    if trained_on != (test.source, test.pixel_mean_sha256, test.classes):
        raise BenchmarkError(
            f"{folder} was trained on different data than data/arrays/test; run `dvc repro`"
        )
    text = history.read(folder / HISTORY, record.epochs)
    return Trained(record, text, _checkpoint(variant, seed, record))


def read_record(variant: str, seed: int) -> TrainingRecord:
    """The record of a training; raises BenchmarkError where it is missing or damaged."""
    folder = model_folder(variant, seed)
    path = folder / RECORD
    if not path.exists():
        raise BenchmarkError(
            f"{folder}: no trained model for this seed; run `dvc repro train@{variant}-{seed}`"
        )
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        return parse(TrainingRecord, text, str(path))
    except BenchmarkError as error:
        raise BenchmarkError(
            f"{error}; run `dvc checkout --force {model_folder(variant, seed)}`, or train this "
            f"seed again with `RETRAIN=1 dvc repro --force train@{variant}-{seed}`"
        ) from error


def _checkpoint(variant: str, seed: int, record: TrainingRecord) -> Path:
    """The checkpoint that the training chose, if it is the file that the training wrote."""
    folder = model_folder(variant, seed)
    path = folder / record.checkpoint
    if not path.exists():
        raise BenchmarkError(
            f"{path}: no such file; run `dvc checkout {folder}`, or train this seed again "
            f"with `RETRAIN=1 dvc repro --force train@{variant}-{seed}`"
        )
    if sha256(path) != record.checkpoints.get(path.name):
        raise BenchmarkError(
            f"{path}: damaged, or from another training: its SHA-256 is not the one in {RECORD}; "
            f"run `dvc checkout --force {folder}`"
        )
    return path
