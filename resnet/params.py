"""params.yaml as frozen, checked values.

A stage loads the whole file before its own work and passes on the values it needs.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, Strict, model_validator

from resnet import strict_yaml
from resnet.errors import BenchmarkError
from resnet.overrides import is_own, merged, value_at
from resnet.schema import Count, Problem, Schema, check, message, short_repr, unknown_key
from resnet.variant import Augment, Network, Precision, Recipe, Variant

PATH = Path("params.yaml")
SECTION = re.compile(r"model|(ResNet\d+v\d+)(-[A-Za-z0-9]+)?")  # the name of a variant's section

T = TypeVar("T", int, str)


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    """The values, at least one and none twice; else ValueError."""
    if not values:
        raise ValueError("must name at least one")
    for i, value in enumerate(values):
        if value in values[:i]:
            raise ValueError(f"names {value!r} twice")
    return values


Seed = Annotated[int, Field(ge=0, lt=2**32)]
Names = Annotated[tuple[str, ...], Strict(False), AfterValidator(_distinct)]
Seeds = Annotated[tuple[Seed, ...], Strict(False), AfterValidator(_distinct)]


class Synthetic(Schema):
    """The generated set that replaces CIFAR-10 where source is synthetic."""

    train_images: Annotated[int, Field(ge=5, multiple_of=5)]
    test_images: Count
    seed: Seed


class Data(Schema):
    """Where the images come from; `urls` are tried in order."""

    source: Literal["cifar10", "synthetic"]
    urls: Annotated[tuple[Annotated[str, Field(pattern=r"^https?://\S+$")], ...], Strict(False)]
    synthetic: Synthetic


class Preprocess(Schema):
    """What preprocess does to the pixels besides scaling them to [0, 1]."""

    subtract_pixel_mean: bool


class Holdout(Schema):
    """The images on which the best epoch is chosen: `fraction` of the images of `split`.

    A fraction of 0 holds out none; split test is the original's way, with all test images.
    """

    split: Literal["train", "test"]
    fraction: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def _fits_split(self) -> Self:
        if self.split == "test" and self.fraction != 1:
            raise ValueError("fraction must be 1 with split test, as in the original")
        if self.split == "train" and self.fraction == 1:
            raise ValueError(
                "fraction must be less than 1 with split train, to leave images to train on"
            )
        return self


class Train(Schema):
    """How variants are trained; a section may override the precision and keys of the recipe."""

    recipe: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]  # recipes.${...} in dvc.yaml
    precision: Precision
    holdout: Holdout
    watch: Literal["test", "none"]


class _Overridable(Recipe):
    """The keys that a variant's section may override, as they are written there."""

    augment: Augment
    precision: Precision


class Sections(Schema):
    """The sections of params.yaml that are required, beside those of the variants."""

    variants: Names
    seeds: Seeds
    data: Data
    preprocess: Preprocess
    augment: Augment
    train: Train
    recipes: dict[str, Recipe]


@dataclass(frozen=True)
class Params:
    """The whole of params.yaml."""

    variants: Mapping[str, Variant]  # the listed ones, in order
    sections: Mapping[str, Variant]  # of every section, listed or not
    seeds: tuple[int, ...]
    data: Data
    preprocess: Preprocess
    train: Train

    def variant(self, name: str) -> Variant:
        """The listed variant of that name; a BenchmarkError names the listed ones."""
        if name not in self.variants:
            listed = ", ".join(self.variants)
            raise BenchmarkError(f"{name!r} is not among variants of {PATH}: {listed}")
        return self.variants[name]


def load(path: Path = PATH) -> Params:
    """Read and check params.yaml; raises a BenchmarkError that names every problem in one line."""
    raw = strict_yaml.read(path)
    try:
        return parse(raw)
    except BenchmarkError as error:
        raise BenchmarkError(f"{path}: {error}") from error


def parse(raw: Any) -> Params:
    """Check the values of params.yaml; raises a BenchmarkError that names every problem."""
    if not isinstance(raw, dict):
        raise BenchmarkError(f"must be a mapping of sections, is {short_repr(raw)}")
    required = {key: raw[key] for key in raw if key in Sections.model_fields}
    networks = {key: raw[key] for key in raw if isinstance(key, str) and SECTION.fullmatch(key)}
    known = [*Sections.model_fields, "model", "ResNet<depth>v<version>[-<suffix>]"]
    found = [
        unknown_key(str(key), known) for key in raw if key not in required and key not in networks
    ]
    values, problems = check(Sections, required)
    found += problems
    sections: dict[str, Variant] = {}
    for name, section in networks.items():
        variant, problems = _resolve(name, section, raw)
        found += problems
        if variant:
            sections[name] = variant
    found += _contradictions(raw, networks, sections)
    if found or not values:
        raise BenchmarkError(message(found))
    return Params(
        variants={name: sections[name] for name in values.variants},
        sections=sections,
        seeds=values.seeds,
        data=values.data,
        preprocess=values.preprocess,
        train=values.train,
    )


def _resolve(name: str, section: Any, raw: Any) -> tuple[Variant | None, list[Problem]]:
    """The variant of a section, whose keys are those of a network and any that it overrides."""
    if not isinstance(section, dict):
        return None, check(Network, section, name)[1]
    known = [*Network.model_fields, *_Overridable.model_fields]
    found = [unknown_key(str(key), known, name) for key in section if key not in known]
    network, problems = check(Network, _picked(section, Network), name)
    found += problems
    if network and name != "model" and name.split("-")[0] != network.family:
        text = f"version {network.version} and n {network.n} are {network.family}"
        found.append(Problem((), f"{name}: {text}: rename the section or change them"))

    recipe = value_at(raw, "recipes", value_at(raw, "train", "recipe"))
    recipe = recipe if isinstance(recipe, dict) else {}
    defaults = {
        "augment": value_at(raw, "augment"),
        "precision": value_at(raw, "train", "precision"),
    }
    overrides = _picked(section, _Overridable)
    values, problems = check(_Overridable, merged({**recipe, **defaults}, overrides), name)
    recipe_is_valid = check(Recipe, recipe)[0] is not None
    found += [  # a problem of a default is named once, where the default is
        problem
        for problem in problems
        if (is_own(problem.location, overrides) if problem.location else recipe_is_valid)
    ]
    if found or not network or not values:
        return None, found
    trained_by = Recipe.model_validate({key: getattr(values, key) for key in Recipe.model_fields})
    return Variant(network, trained_by, values.augment, values.precision), []


def _contradictions(
    raw: Mapping[Any, Any], networks: Mapping[str, Any], sections: Mapping[str, Variant]
) -> Iterator[Problem]:
    """The problems between sections; those whose values are wrong themselves are left out."""
    listed, recipe, recipes = (
        raw.get("variants"),
        value_at(raw, "train", "recipe"),
        raw.get("recipes"),
    )
    for name in listed if isinstance(listed, list) else []:
        if isinstance(name, str) and name not in networks:
            known = ", ".join(networks)
            yield Problem((), f"variants names {name!r}: no such section; there are {known}")
    if isinstance(recipe, str) and isinstance(recipes, dict) and recipe not in recipes:
        known = ", ".join(map(str, recipes))
        yield Problem((), f"train.recipe is {recipe!r}: must be one of recipes: {known}")
    for name, other in pairwise(sorted(networks, key=str.lower)):
        if name.lower() == other.lower():
            text = "differ only in case: on some file systems their folders are one"
            yield Problem((), f"{name} and {other} {text}")
    if value_at(raw, "train", "holdout", "fraction") != 0:
        return
    for name, variant in sections.items():
        if variant.recipe.plateau_factor < 1:
            where = name if "plateau_factor" in networks[name] else f"recipes.{recipe}"
            yield Problem(
                (),
                f"{where}.plateau_factor is {variant.recipe.plateau_factor} but train.holdout "
                "holds out no image for the plateau to watch: set train.holdout.fraction above 0, "
                "or plateau_factor to 1",
            )


def _picked(section: Mapping[Any, Any], schema: type[Schema]) -> dict[str, Any]:
    """The keys of a section that are a schema's, with their values."""
    return {key: section[key] for key in section if key in schema.model_fields}
