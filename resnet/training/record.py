"""training.json: what a training was, what determined it, and how it went.

It is written beside the checkpoints in models/<variant>/seed<seed>/ and is all that later readers
know of the training; evaluate copies it to metrics/, where it stays in git.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from resnet.device import Device
from resnet.params import Holdout
from resnet.schema import Count, Index, NotNegative, Percent, Schema, Sha256
from resnet.variant import Augment, Network, Recipe

MODELS = Path("models")
RECORD, HISTORY, PIXEL_MEAN = "training.json", "history.csv", "pixel_mean.npy"
LAST: Literal["last.keras"] = "last.keras"
BEST: Literal["best.keras"] = "best.keras"  # only where images are held out


class TrainingParameters(Schema):
    """All of params.yaml that can change a variant's weights, the seed apart."""

    network: Network
    recipe: Recipe
    augment: Augment
    precision: Literal["float32", "bfloat16"]
    holdout: Holdout
    watch: Literal["test", "none"]
    source: Literal["cifar10", "synthetic"]
    subtract_pixel_mean: bool


class Identity(Schema):
    """All that determines a result: equal identities give equal weights if deterministic."""

    variant: str
    seed: Index
    parameters: TrainingParameters
    code: dict[str, Sha256]  # the modules that the train stage depends on, by path
    data: list[Sha256]  # of the training arrays, then of the test arrays where training reads them
    device: Device
    versions: dict[str, str]
    environment: dict[str, str | None]  # variables that may change the last bits


class Change(Schema):
    """A part of the identity that differs between two of a training's starts."""

    key: str  # dotted, as in training.json
    before: str | None
    after: str | None


class Start(Schema):
    """A start of a training. After an interruption there are several."""

    epoch: Count  # the first that it trained, or one more than the last if only the output missed
    changes: list[Change]  # since the state that it resumed was saved


class BestOnTest(Schema):
    """The first epoch with the most correct test images. No decision depends on it."""

    epoch: Count
    accuracy: Percent


class TrainingRecord(Schema):
    """All of training.json. Epochs count from 1, times are in seconds, memory is in 10^6 bytes."""

    schema_version: Literal[1] = Field(1, alias="schema")
    identity: Identity
    parameter_count: Count
    epochs: Count
    checkpoint: Literal["last.keras", "best.keras"]  # the one that is evaluated
    checkpoint_epoch: Count
    best_on_test: BestOnTest | None  # None where the test images were not watched
    seconds_per_epoch: NotNegative  # the median, see Progress.seconds_per_epoch
    total_seconds: NotNegative  # of all starts, each up to the last epoch it saved
    compile_seconds: NotNegative
    checkpoint_seconds: NotNegative
    peak_memory_mb: Index
    starts: list[Start]
    classes: list[str]
    pixel_mean_sha256: Sha256  # of what was subtracted from every image
    checkpoints: dict[str, Sha256]  # by file name

    @property
    def exact(self) -> bool:
        """Whether the weights are those of an uninterrupted training.

        On a GPU that is not deterministic, no resumed training has them.
        """
        same_device = self.identity.device.deterministic or len(self.starts) <= 1
        return same_device and not any(start.changes for start in self.starts)


def model_folder(variant: str, seed: int) -> Path:
    """The folder of a training's results, an output of DVC's."""
    return MODELS / variant / f"seed{seed}"
