"""params.yaml as frozen, checked values. A stage loads it whole, before its own work, and hands on the values it needs."""

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator

from resnet import strict_yaml
from resnet.errors import BenchmarkError
from resnet.strict_yaml import line, shown

PATH = Path("params.yaml")

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1, lt=2**31)]
NotNegative = Annotated[float, Field(ge=0)]

T = TypeVar("T", bound=Hashable)
S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """A section of params.yaml: no key more, none less, no value of another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Synthetic(Section):
    train_images: Annotated[int, Field(ge=5, multiple_of=5)]
    test_images: Count
    seed: Annotated[int, Field(ge=0)]


class Data(Section):
    source: Literal["cifar10", "synthetic"]
    urls: Annotated[tuple[Annotated[str, Field(pattern=r"^https?://\S+$")], ...], Strict(False)]
    synthetic: Synthetic


class Preprocess(Section):
    subtract_pixel_mean: bool


class Augment(Section):
    shift: Annotated[float, Field(ge=0, lt=1)]
    order: Literal[0, 1]
    flip: bool


class Holdout(Section):
    split: Literal["train", "test"]
    fraction: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def _fits_split(self) -> Self:
        if self.split == "test" and self.fraction != 1:
            raise ValueError("fraction must be 1 with split test, the original's own way")
        if self.split == "train" and self.fraction == 1:
            raise ValueError(
                "fraction must be less than 1 with split train: no image would be left to train on"
            )
        return self


class Train(Section):
    recipe: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_-]+$")
    ]  # dvc.yaml has recipes.${train.recipe}, and tables show it
    precision: Literal["float32", "bfloat16"]
    holdout: Holdout


class Drop(Section):
    epoch: Annotated[int, Field(ge=0)]
    factor: Positive


class Warmup(Section):
    """The first epochs at `factor` times the rate, for networks at least that deep; 0 epochs are none."""

    epochs: Annotated[int, Field(ge=0)]
    factor: Annotated[float, Field(gt=0, le=1)]
    depth: Annotated[int, Field(ge=0)]


class Recipe(Section):
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
        epochs = [drop.epoch for drop in self.drops]
        if epochs != sorted(set(epochs)):
            raise ValueError(f"drops must name each epoch once, in order; they name {epochs}")
        if epochs and epochs[0] < self.warmup.epochs:
            raise ValueError(
                f"drops begin at epoch {epochs[0]}, before the {self.warmup.epochs} epochs of warmup end"
            )
        if self.optimizer == "adam" and self.momentum:
            raise ValueError(
                f"momentum is {self.momentum} but adam has none: set it to 0, or the optimizer to sgd"
            )
        return self


PUBLISHED_AUGMENT = Augment(shift=0.1, order=0, flip=True)
PUBLISHED_RECIPES = {  # those of the published figures, whatever params.yaml now holds under these names
    "original": Recipe(
        optimizer="adam",
        learning_rate=1e-3,
        momentum=0.0,
        drops=tuple(
            Drop(epoch=epoch, factor=factor)
            for epoch, factor in ((81, 1e-1), (121, 1e-2), (161, 1e-3), (181, 5e-4))
        ),
        plateau_factor=1.0,
        plateau_patience=5,
        plateau_min_rate=5e-7,
        batch_size=32,
        epochs=200,
        l2=1e-4,
        l2_on="convolutions",
        crop=0,
        warmup=Warmup(epochs=0, factor=1.0, depth=0),
    ),
    "paper": Recipe(
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
}


class Network(Section):
    """Version, n and width of a network; [a] is version 1, [b] version 2. The deepest that [a] trained has 1202 layers."""

    version: Literal[1, 2]
    n: Annotated[int, Field(ge=1, le=200)]
    width: Literal["original", "paper"] = "original"

    @model_validator(mode="after")
    def _has_width(self) -> Self:
        if self.version == 1 and self.width == "paper":
            raise ValueError(
                "width is 'paper', which version 2 alone has: in version 1 the original's widths are the paper's"
            )
        return self

    @property
    def depth(self) -> int:
        return (6 if self.version == 1 else 9) * self.n + 2

    @property
    def family(self) -> str:
        """The name without the width, as sections have it."""
        return f"ResNet{self.depth}v{self.version}"

    @property
    def name(self) -> str:
        return self.family if self.width == "original" else f"{self.family} (paper's width)"


@dataclass(frozen=True)
class Variant:
    """A network and the recipe it is trained by, the section's own overrides included."""

    network: Network
    recipe: Recipe
    recipe_name: str  # with what differs from the recipe of that name
    recipe_epochs: int  # what the recipe itself asks for: a variant with fewer is a short run


@dataclass(frozen=True)
class Params:
    """The whole of params.yaml; `variants` holds the listed ones, in order."""

    variants: Mapping[str, Variant]
    seeds: tuple[int, ...]
    data: Data
    preprocess: Preprocess
    augment: Augment
    train: Train

    def variant(self, name: str) -> Variant:
        """The listed variant of that name, or a BenchmarkError that names the listed ones."""
        if name not in self.variants:
            raise BenchmarkError(
                f"{name!r} is not among variants of {PATH}: {', '.join(self.variants)}"
            )
        return self.variants[name]


FIXED = (
    "variants",
    "seeds",
    "data",
    "preprocess",
    "augment",
    "train",
    "recipes",
)  # every other section is a variant's
VARIANT_NAME = re.compile(r"model|(ResNet\d+v\d+)(-[A-Za-z0-9]+)?")


def load(path: Path = PATH) -> Params:
    """Read and check all of params.yaml; raises BenchmarkError with the key, its value and what is allowed."""
    raw = strict_yaml.read(path)
    try:
        return parse(raw)
    except BenchmarkError as error:
        raise BenchmarkError(f"{path}: {line(str(error))}") from error


def parse(raw: Any) -> Params:
    """Check what params.yaml holds; raises BenchmarkError with the key, its value and what is allowed."""
    if not isinstance(raw, dict):
        raise BenchmarkError(f"must hold sections, holds {shown(raw)}")
    for key in FIXED:
        if key not in raw:
            raise BenchmarkError(f"{key}: missing")
    for key in raw:
        if key not in FIXED and not (isinstance(key, str) and VARIANT_NAME.fullmatch(key)):
            allowed = ", ".join(FIXED)
            raise BenchmarkError(
                f"{key}: unknown section; allowed: {allowed}, model, and ResNet<depth>v<version>, with -<suffix> or without"
            )

    train = _check(Train, raw["train"], "train")
    recipes = _mapping(raw["recipes"], "recipes")
    if train.recipe not in recipes:
        raise BenchmarkError(
            f"train.recipe is {train.recipe!r}: must be one of recipes: {', '.join(map(str, recipes))}"
        )
    for name, recipe in recipes.items():
        _check(Recipe, recipe, f"recipes.{name}")
    augment = _check(Augment, raw["augment"], "augment")
    preprocess = _check(Preprocess, raw["preprocess"], "preprocess")
    networks = {
        key: _variant(key, raw[key], recipes, train, augment, preprocess)
        for key in raw
        if key not in FIXED
    }

    names = _distinct(raw["variants"], str, "variants", "names of sections")
    for name in names:
        if name not in networks:
            raise BenchmarkError(
                f"variants names {name!r}: no such section; there are {', '.join(networks)}"
            )
    seeds = _distinct(raw["seeds"], int, "seeds", "whole numbers from 0 to 4294967295")
    if not all(0 <= seed < 2**32 for seed in seeds):
        raise BenchmarkError(
            f"seeds is {shown(raw['seeds'])}: must hold whole numbers from 0 to 4294967295"
        )
    return Params(
        variants={name: networks[name] for name in names},
        seeds=seeds,
        data=_check(Data, raw["data"], "data"),
        preprocess=preprocess,
        augment=augment,
        train=train,
    )


def _variant(
    key: str,
    raw: Any,
    recipes: Mapping[str, Any],
    train: Train,
    augment: Augment,
    preprocess: Preprocess,
) -> Variant:
    """A section such as `model`: version, n, width, and any keys of the recipe in use, flat beside them."""
    own, recipe = _mapping(raw, key), recipes[train.recipe]
    known = (*Network.model_fields, *Recipe.model_fields)
    for name in own:
        if name not in known:
            raise BenchmarkError(f"{key}.{name}: unknown key; allowed: {', '.join(known)}")
    network = _check(
        Network, {name: own[name] for name in own if name in Network.model_fields}, key
    )
    overrides = {name: own[name] for name in own if name in Recipe.model_fields}
    merged = _check(Recipe, {**recipe, **overrides}, key)
    named = VARIANT_NAME.fullmatch(key)
    if key != "model" and named and named[1] != network.family:
        raise BenchmarkError(
            f"{key}: its version {network.version} and n {network.n} make {network.family}; name it so, or mend them"
        )
    if merged.plateau_factor < 1 and not train.holdout.fraction:
        raise BenchmarkError(
            f"{key}: plateau_factor is {merged.plateau_factor} but train.holdout holds out no image for the plateau to watch; "
            "set train.holdout.fraction above 0, or plateau_factor to 1"
        )
    name = _recipe_name(
        train.recipe, merged, _check(Recipe, recipe, f"recipes.{train.recipe}"), augment, preprocess
    )
    if network.depth < merged.warmup.depth:
        merged = merged.model_copy(update={"warmup": Warmup(epochs=0, factor=1.0, depth=0)})
    return Variant(network, merged, name, recipe["epochs"])


def _recipe_name(
    name: str, merged: Recipe, stated: Recipe, augment: Augment, preprocess: Preprocess
) -> str:
    """The recipe's name with all that differs from what was published under it, so that no figure goes by a name that is not its own.

    `merged` is what a variant is trained by, `stated` what params.yaml has under that name; a variant's own epochs make a short run
    and no other recipe.
    """
    published = PUBLISHED_RECIPES.get(name, stated)
    recipe = merged.model_copy(update={"epochs": stated.epochs})
    found = [(key, value) for key, value in recipe if value != getattr(published, key)]
    found += [
        (f"augment.{key}", value)
        for key, value in augment
        if value != getattr(PUBLISHED_AUGMENT, key)
        and not (recipe.crop and key != "flip")  # which take no part in a crop
    ]
    found += [(f"preprocess.{key}", value) for key, value in preprocess if not value]
    said = [
        f"{key} {value}" if isinstance(value, str | int | float) else f"other {key}"
        for key, value in found
    ]
    return f"{name} with {', '.join(said)}" if said else name


def _mapping(raw: Any, where: str) -> dict[str, Any]:
    if not isinstance(raw, dict) or not raw:
        raise BenchmarkError(f"{where} is {shown(raw)}: must be a section with keys")
    return raw


def _distinct(raw: Any, kind: type[T], where: str, what: str) -> tuple[T, ...]:
    """A list of values of one type, at least one, none twice."""
    if not isinstance(raw, list) or not raw or any(type(value) is not kind for value in raw):
        raise BenchmarkError(f"{where} is {shown(raw)}: must be a list of {what}, at least one")
    doubled = [value for i, value in enumerate(raw) if value in raw[:i]]
    if doubled:
        raise BenchmarkError(f"{where} is {shown(raw)}: names {doubled[0]!r} twice")
    return tuple(raw)


def _check(section: type[S], raw: Any, where: str) -> S:
    """Validate one section; the first thing wrong becomes one line that starts with its key."""
    try:
        return section.model_validate(_mapping(raw, where))
    except ValidationError as error:
        first = error.errors()[0]
    key = ".".join([where, *map(str, first["loc"])])
    if first["type"] == "extra_forbidden":
        owner = _section_at(section, first["loc"][:-1])
        raise BenchmarkError(f"{key}: unknown key; allowed: {', '.join(owner.model_fields)}")
    if first["type"] == "missing":
        raise BenchmarkError(f"{key}: missing")
    if first["type"] == "value_error":  # a check over several keys, which its text names
        raise BenchmarkError(f"{key}: {first['ctx']['error']}")
    must = re.sub("^(Input|String) should", "must", first["msg"])
    raise BenchmarkError(f"{key} is {shown(first['input'])}: {must}")


def _section_at(section: type[Section], loc: tuple[int | str, ...]) -> type[Section]:
    """The section that a validation error's location lies in."""
    for step in loc:
        if isinstance(step, str):
            annotation = section.model_fields[step].annotation
            inner = [annotation, *get_args(annotation)]
            section = next(
                kind for kind in inner if isinstance(kind, type) and issubclass(kind, Section)
            )
    return section
