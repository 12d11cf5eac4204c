"""Which published recipe a training used: recognized by content, and put into words."""

from typing import Any

import pytest
import yaml

from resnet.results import cells
from resnet.results.recipes import PUBLISHED, Deviation, recognize
from resnet.training.record import TrainingParameters
from resnet.variant import Augment, Drop, Network, Recipe, Warmup
from tests.support.checkout import ROOT
from tests.support.results import make_parameters

DEEP = Network(version=1, n=18)  # 110 layers
NO_WARMUP = Warmup(epochs=0, factor=1.0, depth=0)


def words(parameters: TrainingParameters) -> str:
    return cells.recipe(recognize(parameters))


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("network", [Network(version=1, n=3), DEEP])
def test_the_recipes_of_params_yaml_are_the_published_ones(name: str, network: Network) -> None:
    """tests/training/test_schedule.py compares the former with the original's lr_schedule."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    parameters = make_parameters(
        network,
        recipe=name,
        augment=Augment.model_validate(raw["augment"]),
        subtract_pixel_mean=raw["preprocess"]["subtract_pixel_mean"],
    )
    recipe = Recipe.model_validate(raw["recipes"][name])
    found = recognize(parameters.model_copy(update={"recipe": recipe}))
    assert (found.name, found.exact, found.short) == (name, True, False)


@pytest.mark.parametrize(
    ("recipe", "changes", "others", "expected"),
    [
        ("original", {"batch_size": 128}, {}, "original with batch_size 128"),
        (
            "original",
            {"drops": (Drop(epoch=8, factor=0.1), Drop(epoch=10, factor=0.01)), "epochs": 12},
            {},
            "original with drops 8: 0.1, 10: 0.01",
        ),
        ("original", {"drops": ()}, {}, "original with no drops"),
        ("original", {"learning_rate": 0.002}, {}, "original with learning_rate 0.002"),
        ("original", {}, {"subtract_pixel_mean": False}, "subtract_pixel_mean false"),
        (
            "original",
            {},
            {"augment": Augment(shift=0.1, order=1, flip=False)},
            "original with augment.order 1, augment.flip false",
        ),
        (
            "original",
            {"plateau_factor": 0.5, "plateau_patience": 7},
            {},
            "original with plateau_factor 0.5, plateau_patience 7, plateau_min_rate 5e-07",
        ),
        ("paper", {"momentum": 0.0}, {}, "paper with momentum 0"),
        (
            "paper",
            {"warmup": Warmup(epochs=2, factor=0.5, depth=0)},
            {},
            "paper with warmup 2: 0.5",
        ),
        (
            "paper",
            {"crop": 0},
            {},
            "paper with crop 0, augment.shift 0.1, augment.order 0",
        ),
    ],
)
def test_differences_are_spelled_out(
    recipe: str, changes: dict[str, Any], others: dict[str, Any], expected: str
) -> None:
    assert words(make_parameters(recipe=recipe, changes=changes, **others)).endswith(expected)


@pytest.mark.parametrize(
    ("recipe", "changes", "augment"),
    [
        ("original", {"plateau_patience": 9, "plateau_min_rate": 0.1}, None),
        ("original", {"warmup": Warmup(epochs=1, factor=0.1, depth=110)}, None),
        ("original", {"warmup": Warmup(epochs=5, factor=1.0, depth=0)}, None),
        ("paper", {"warmup": NO_WARMUP}, None),
        ("paper", {}, Augment(shift=0.3, order=1, flip=True)),  # a crop replaces the shift
    ],
)
def test_values_without_an_effect_do_not_count(
    recipe: str, changes: dict[str, Any], augment: Augment | None
) -> None:
    others: dict[str, Any] = {"augment": augment} if augment else {}
    assert recognize(make_parameters(recipe=recipe, changes=changes, **others)).exact


def test_the_order_has_no_effect_without_a_shift() -> None:
    found = recognize(make_parameters(augment=Augment(shift=0.0, order=1, flip=True)))
    assert found.differences == (Deviation("augment.shift", 0.0),)


def test_warmup_counts_for_deep_networks_only() -> None:
    changes = {"warmup": NO_WARMUP}
    assert words(make_parameters(DEEP, "paper", changes)) == "paper with no warmup"
    deep = {"warmup": Warmup(epochs=1, factor=0.1, depth=0)}
    assert recognize(make_parameters(DEEP, "paper", deep)).exact
    shallow = make_parameters(Network(version=1, n=3), "paper", deep)
    assert words(shallow) == "paper with warmup 1: 0.1"


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_fewer_epochs_are_a_short_run_of_the_same_recipe(recipe: str) -> None:
    found = recognize(make_parameters(recipe=recipe, changes={"epochs": 12}))
    assert (found.name, found.short, found.exact) == (recipe, True, False)
    assert found.differences == (Deviation("epochs", 12),)
    longer = recognize(make_parameters(recipe=recipe, changes={"epochs": 400}))
    assert (longer.short, longer.exact) == (False, False)


def test_the_nearest_recipe_is_the_one_with_the_fewest_differences() -> None:
    momentum = {"optimizer": "sgd", "momentum": 0.9}
    original = recognize(make_parameters(recipe="original", changes=momentum))
    assert original.name == "original"
    assert {difference.key for difference in original.differences} == {"optimizer", "momentum"}
