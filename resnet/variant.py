"""A variant: a network, and the recipe, augmentation and precision it is trained with."""

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, Strict, model_validator

from resnet.schema import EXACT_INT, Count, Index, NotNegative, Positive, Schema

Precision = Literal["float32", "bfloat16"]


class Network(Schema):
    """A network's version, n and form, from which its depth follows.

    Version 1 is He et al. 2015, with at most the 1202 layers of its section 4.2; version 2 is
    He et al. 2016. The form is that of the original or that of the papers.
    """

    version: Annotated[Literal[1, 2], EXACT_INT]
    n: Annotated[int, Field(ge=1, le=200)]
    form: Literal["original", "paper"] = "original"

    @property
    def depth(self) -> int:
        return (6 if self.version == 1 else 9) * self.n + 2

    @property
    def family(self) -> str:
        """The name without the form, with which a section's name begins."""
        return f"ResNet{self.depth}v{self.version}"

    @property
    def name(self) -> str:
        return self.family if self.form == "original" else f"{self.family}, paper's form"


class Augment(Schema):
    """Random shifts by up to `shift` of the size, interpolated with `order`, and random flips."""

    shift: Annotated[float, Field(ge=0, lt=1)]
    order: Annotated[Literal[0, 1], EXACT_INT]
    flip: bool


class Drop(Schema):
    """From `epoch` on, counted from 0, the rate is learning_rate times `factor`."""

    epoch: Index
    factor: Positive


class Warmup(Schema):
    """In networks of at least `depth` layers, the first `epochs` have `factor` times the rate."""

    epochs: Index
    factor: Annotated[float, Field(gt=0, le=1)]
    depth: Index


class Recipe(Schema):
    """How a network is trained; params.yaml explains each key."""

    optimizer: Literal["adam", "sgd"]
    learning_rate: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)]
    drops: Annotated[tuple[Drop, ...], Strict(False)]
    plateau_factor: Annotated[float, Field(gt=0, le=1)]
    plateau_patience: Count
    plateau_min_rate: NotNegative
    batch_size: Count
    epochs: Count
    l2: NotNegative
    l2_on: Literal["convolutions", "all"]
    crop: Annotated[int, Field(ge=0, le=32)]
    warmup: Warmup

    @model_validator(mode="after")
    def _keys_agree(self) -> Self:
        epochs, wrong = [drop.epoch for drop in self.drops], []
        if epochs != sorted(set(epochs)):
            wrong.append(f"drops must name each epoch once, in order; they name {epochs}")
        if epochs and min(epochs) < self.warmup.epochs:
            warmup = f"the {self.warmup.epochs} epochs of warmup"
            wrong.append(f"drops begin at epoch {min(epochs)}, within {warmup}")
        if self.optimizer == "adam" and self.momentum:
            momentum = f"momentum is {self.momentum} but adam has none"
            wrong.append(f"{momentum}: set it to 0, or optimizer to sgd")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


@dataclass(frozen=True)
class Variant:
    """A network and all that it is trained with, the overrides of its section included."""

    network: Network
    recipe: Recipe
    augment: Augment
    precision: Precision
