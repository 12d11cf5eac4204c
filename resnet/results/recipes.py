"""The recipes that the published results were trained with, and which of them a training used.

A recipe is recognized by its content, not by the name that params.yaml gives it: a training used
the published recipe that differs from its own in the fewest values. Only values that have an effect
count. For example, `augment.shift` has none where images are cropped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resnet.training.record import TrainingParameters
from resnet.variant import Augment, Drop, Recipe, Warmup

Value = str | int | float | bool | tuple[Drop, ...] | Warmup | None


@dataclass(frozen=True)
class PublishedRecipe:
    """A published recipe, with the augmentation and the preprocessing that belong to it."""

    recipe: Recipe
    augment: Augment
    subtract_pixel_mean: bool


@dataclass(frozen=True)
class Deviation:
    """A value that a training has and the published recipe has not."""

    key: str  # as params.yaml has it, without `recipes.<name>`
    value: Value  # None: there is none, e.g. no warm-up


@dataclass(frozen=True)
class Recognized:
    """The published recipe that is nearest to a training's, and what the training has different."""

    name: str
    published_epochs: int
    epochs: int
    differences: tuple[Deviation, ...]

    @property
    def exact(self) -> bool:
        return not self.differences

    @property
    def short(self) -> bool:
        """Whether the training has fewer epochs than the published recipe."""
        return self.epochs < self.published_epochs


NO_WARMUP = Warmup(epochs=0, factor=1.0, depth=0)
PUBLISHED: Mapping[str, PublishedRecipe] = {
    # The Keras example cifar10_resnet.py, with data_augmentation and subtract_pixel_mean on.
    "original": PublishedRecipe(
        Recipe(
            optimizer="adam",
            learning_rate=1e-3,
            momentum=0.0,
            drops=(
                Drop(epoch=81, factor=1e-1),
                Drop(epoch=121, factor=1e-2),
                Drop(epoch=161, factor=1e-3),
                Drop(epoch=181, factor=5e-4),
            ),
            plateau_factor=1.0,
            plateau_patience=5,
            plateau_min_rate=5e-7,
            batch_size=32,
            epochs=200,
            l2=1e-4,
            l2_on="convolutions",
            crop=0,
            warmup=NO_WARMUP,
        ),
        Augment(shift=0.1, order=0, flip=True),
        subtract_pixel_mean=True,
    ),
    # He et al. 2015, arXiv:1512.03385, section 4.2.
    "paper": PublishedRecipe(
        Recipe(
            optimizer="sgd",
            learning_rate=0.1,
            momentum=0.9,
            drops=(Drop(epoch=82, factor=0.1), Drop(epoch=123, factor=0.01)),
            plateau_factor=1.0,
            plateau_patience=5,
            plateau_min_rate=0.0,
            batch_size=128,
            epochs=164,
            l2=5e-5,
            l2_on="all",
            crop=4,
            warmup=Warmup(epochs=1, factor=0.1, depth=110),
        ),
        Augment(shift=0.1, order=0, flip=True),  # only the flip has an effect
        subtract_pixel_mean=True,
    ),
}


def recognize(parameters: TrainingParameters) -> Recognized:
    """The published recipe that differs in the fewest values; of equally near ones the first."""
    depth = parameters.network.depth
    own = _effective(parameters.recipe, parameters.augment, parameters.subtract_pixel_mean, depth)
    found = []
    for name, published in PUBLISHED.items():
        theirs = _effective(
            published.recipe, published.augment, published.subtract_pixel_mean, depth
        )
        differences = tuple(
            Deviation(key, value)
            for key, value in own.items()
            if key not in theirs or theirs[key] != value
        )
        epochs = published.recipe.epochs
        found.append(Recognized(name, epochs, parameters.recipe.epochs, differences))
    return min(found, key=lambda each: len(each.differences))


def _effective(
    recipe: Recipe, augment: Augment, subtract_pixel_mean: bool, depth: int
) -> dict[str, Value]:
    """The values that have an effect on the training of a network of that depth, by key."""
    values: dict[str, Any] = dict(recipe)
    if recipe.plateau_factor == 1:
        del values["plateau_patience"], values["plateau_min_rate"]
    if recipe.l2 == 0:
        del values["l2_on"]
    if not recipe.warmup.epochs or recipe.warmup.factor == 1 or depth < recipe.warmup.depth:
        values["warmup"] = None
    else:  # the depth has decided, and has no further effect
        values["warmup"] = recipe.warmup.model_copy(update={"depth": 0})
    if not recipe.crop:
        values["augment.shift"] = augment.shift
        if augment.shift:
            values["augment.order"] = augment.order
    values["augment.flip"] = augment.flip
    values["preprocess.subtract_pixel_mean"] = subtract_pixel_mean
    return values
