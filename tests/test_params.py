"""params.yaml: its values, what a section overrides, and one line for all that is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from resnet import params, strict_yaml
from resnet.errors import BenchmarkError
from resnet.variant import Drop, Network, Warmup
from tests.support.checkout import ROOT

Settings = Callable[[dict[str, Any]], params.Params]


def test_defaults_are_the_originals(raw: dict[str, Any]) -> None:
    settings = params.parse(raw)
    model = settings.variant("model")
    recipe = model.recipe
    assert model.network.name == "ResNet20v1"
    assert (recipe.optimizer, recipe.learning_rate, recipe.batch_size) == ("adam", 1e-3, 32)
    assert (recipe.epochs, recipe.l2, recipe.l2_on) == (200, 1e-4, "convolutions")
    assert (recipe.crop, recipe.warmup.epochs, recipe.plateau_factor) == (0, 0, 1)
    assert (model.augment.shift, model.augment.order, model.augment.flip) == (0.1, 0, True)
    assert model.precision == "float32"
    assert settings.train.holdout.fraction == 0
    assert settings.preprocess.subtract_pixel_mean


def test_the_papers_recipe_is_that_of_section_4_2(raw: dict[str, Any]) -> None:
    raw["train"]["recipe"] = "paper"
    recipe = params.parse(raw).sections["ResNet110v1"].recipe
    steps = 50_000 // 128
    assert (recipe.optimizer, recipe.learning_rate, recipe.momentum) == ("sgd", 0.1, 0.9)
    assert (recipe.batch_size, recipe.crop) == (128, 4)
    assert [drop.factor for drop in recipe.drops] == [0.1, 0.01]
    iterations = [steps * drop.epoch for drop in recipe.drops]
    assert iterations == pytest.approx([32_000, 48_000], rel=0.001)
    assert steps * recipe.epochs == pytest.approx(64_000, rel=0.001)
    assert steps * recipe.warmup.epochs == pytest.approx(400, rel=0.03)
    assert recipe.learning_rate * recipe.warmup.factor == pytest.approx(0.01)
    assert recipe.warmup.depth == 110
    assert 2 * recipe.l2 == 1e-4  # the gradient of l2 w^2 is 2 l2 w


def test_there_is_a_section_for_every_network_of_the_original(raw: dict[str, Any]) -> None:
    names = {variant.network.name for variant in params.parse(raw).sections.values()}
    v1 = {f"ResNet{depth}v1" for depth in (20, 32, 44, 56, 110, 164)}
    assert names > v1 | {f"ResNet{depth}v2" for depth in (20, 56, 110, 164, 1001)}


def test_variants_are_the_listed_sections_in_order(raw: dict[str, Any]) -> None:
    raw["variants"] = ["ResNet56v2", "model"]
    settings = params.parse(raw)
    assert list(settings.variants) == ["ResNet56v2", "model"]
    assert settings.sections["ResNet56v2"] == settings.variant("ResNet56v2")
    assert set(settings.sections) > set(settings.variants)
    with pytest.raises(
        BenchmarkError,
        match=r"'ResNet32v1' is not among variants of params.yaml: ResNet56v2, model$",
    ):
        settings.variant("ResNet32v1")


def test_model_n_decides_the_network(settings: Settings) -> None:
    assert settings({"model.n": 9}).variant("model").network.name == "ResNet56v1"


def test_the_form_is_part_of_the_network(raw: dict[str, Any]) -> None:
    raw["ResNet164v2"]["form"] = "paper"
    network = params.parse(raw).sections["ResNet164v2"].network
    assert network == Network(version=2, n=18, form="paper")
    assert network.name == "ResNet164v2, paper's form"


def test_the_papers_section_has_the_papers_recipe(raw: dict[str, Any]) -> None:
    paper = params.parse(raw).sections["ResNet20v1-paper"]
    with_recipe = {**raw, "train": {**raw["train"], "recipe": "paper"}}
    assert paper.recipe == params.parse(with_recipe).sections["model"].recipe
    assert paper.network == Network(version=1, n=3, form="paper")
    plain = params.parse(raw).sections["ResNet29v2-plain"]
    assert plain.recipe == params.parse(raw).sections["model"].recipe
    assert (plain.augment.shift, plain.augment.flip) == (0, False)
    assert (plain.network.depth, plain.network.form) == (29, "original")


def test_a_suffix_makes_a_second_variant_of_a_network(raw: dict[str, Any]) -> None:
    raw["ResNet20v1-batch128"] = {"version": 1, "n": 3, "batch_size": 128}
    raw["variants"].append("ResNet20v1-batch128")
    assert params.parse(raw).variant("ResNet20v1-batch128").network.name == "ResNet20v1"


OVERRIDES: list[tuple[dict[str, Any], str, Any]] = [
    ({"batch_size": 64}, "recipe.batch_size", 64),
    ({"drops": [{"epoch": 3, "factor": 0.1}]}, "recipe.drops", (Drop(epoch=3, factor=0.1),)),
    ({"drops": []}, "recipe.drops", ()),
    (
        {"warmup": {"epochs": 2}},
        "recipe.warmup",
        Warmup(epochs=2, factor=1.0, depth=0),
    ),
    ({"optimizer": "sgd", "momentum": 0.9}, "recipe.momentum", 0.9),
    ({"augment": {"shift": 0}}, "augment.shift", 0),
    ({"augment": {"order": 1, "flip": False}}, "augment.flip", False),
    ({"precision": "bfloat16"}, "precision", "bfloat16"),
]


@pytest.mark.parametrize(("overrides", "key", "value"), OVERRIDES)
def test_a_section_overrides_for_its_own_variant_alone(
    raw: dict[str, Any], overrides: dict[str, Any], key: str, value: Any
) -> None:
    before = params.parse(raw)
    raw["model"].update(overrides)
    after = params.parse(raw)
    found: Any = after.variant("model")
    for part in key.split("."):
        found = getattr(found, part)
    assert found == value
    assert after.variant("model").network == before.variant("model").network
    changed = {name for name in after.sections if after.sections[name] != before.sections[name]}
    assert changed == {"model"}


def test_what_a_section_does_not_override_is_the_default(raw: dict[str, Any]) -> None:
    raw["model"].update({"augment": {"shift": 0}, "epochs": 3})
    raw["augment"]["order"] = 1
    raw["train"].update(precision="bfloat16", recipe="paper")
    model = params.parse(raw).variant("model")
    assert (model.augment.shift, model.augment.order, model.augment.flip) == (0, 1, True)
    assert model.precision == "bfloat16"
    assert (model.recipe.epochs, model.recipe.optimizer) == (3, "sgd")
    assert model.recipe.warmup == Warmup(epochs=1, factor=0.1, depth=110)


WRONG: list[tuple[str, Any, str]] = [
    ("model.batchsize", 3, "model.batchsize: unknown key; did you mean batch_size?"),
    ("model.q", 3, "model.q: unknown key; allowed: version, n, form, optimizer, learning_rate, "),
    ("model.n", 0, "model.n is 0: must be greater than or equal to 1"),
    ("model.n", 201, "model.n is 201: must be less than or equal to 200"),
    ("model.n", "3", "model.n is '3': must be a valid integer"),
    ("model.n", True, "model.n is True: must be a valid integer"),
    ("model.n", 2.5, "model.n is 2.5: must be a valid integer"),
    ("model.version", 3, "model.version is 3: must be 1 or 2"),
    ("model.version", True, "model.version is True: must be a valid integer"),
    ("model.version", 1.0, "model.version is 1.0: must be a valid integer"),
    ("model", None, "model is None: must be a mapping with the keys version, n, form"),
    ("model", {}, "model.version: missing; model.n: missing"),
    ("model", {"version": 1}, "model.n: missing"),
    ("ResNet20v1", {"version": 1, "n": 5}, "ResNet20v1: version 1 and n 5 are ResNet32v1: rename"),
    ("ResNet32v1.version", 2, "ResNet32v1: version 2 and n 5 are ResNet47v2: rename the section"),
    ("ResNet20v1-short.n", 4, "ResNet20v1-short: version 1 and n 4 are ResNet26v1: rename"),
    ("ResNet20V1", {}, "ResNet20V1: unknown key; allowed: variants, seeds, data, "),
    (
        "ResNet20v1-SHORT",
        {"version": 1, "n": 3},
        "ResNet20v1-short and ResNet20v1-SHORT differ only",
    ),
    ("model.form", "wide", "model.form is 'wide': must be 'original' or 'paper'"),
    ("train.watch", "train", "train.watch is 'train': must be 'test' or 'none'"),
    ("model.learning_rate", -0.1, "model.learning_rate is -0.1: must be greater than 0"),
    ("model.learning_rate", float("nan"), "model.learning_rate is nan: must be a finite number"),
    ("model.momentum", 0.9, "model: momentum is 0.9 but adam has none: set it to 0, or optimizer"),
    ("model.augment", {"shft": 0}, "model.augment.shft: unknown key; did you mean shift?"),
    ("model.augment", {"shift": 1}, "model.augment.shift is 1: must be less than 1"),
    ("model.augment", 1, "model.augment is 1: must be a mapping with the keys shift, order, flip"),
    ("model.precision", "float16", "model.precision is 'float16': must be 'float32' or 'bfloat16'"),
    ("model.warmup", {"epochs": 82}, "model: drops begin at epoch 81, within the 82 epochs of"),
    ("model.drops", [{"epoch": 9}], "model.drops.0.factor: missing"),
    ("recipes.original.learning_rate", 0, "recipes.original.learning_rate is 0: must be greater"),
    ("recipes.original.batch_size", 0, "recipes.original.batch_size is 0: must be greater than or"),
    ("recipes.original.epochs", 2**31, "recipes.original.epochs is 2147483648: must be less than"),
    ("recipes.original.epoch", 0, "recipes.original.epoch: unknown key; did you mean epochs?"),
    ("recipes.original.optimizer", "lion", "recipes.original.optimizer is 'lion': must be 'adam'"),
    ("recipes.original.momentum", 0.9, "recipes.original: momentum is 0.9 but adam has none"),
    (
        "recipes.original.drops",
        [{"epoch": 9, "factor": 1.0}, {"epoch": 9, "factor": 1.0}],
        "recipes.original: drops must name each epoch once, in order; they name [9, 9]",
    ),
    (
        "recipes.original.drops",
        [{"epoch": 9, "rate": 1.0}],
        "recipes.original.drops.0.rate: unknown key; allowed: epoch, factor",
    ),
    ("recipes.paper.l2_on", "kernels", "recipes.paper.l2_on is 'kernels': must be 'convolutions'"),
    ("recipes.paper.crop", -1, "recipes.paper.crop is -1: must be greater than or equal to 0"),
    ("recipes.paper.warmup.factor", 0, "recipes.paper.warmup.factor is 0: must be greater than 0"),
    (
        "recipes.paper.warmup.depht",
        4,
        "recipes.paper.warmup.depht: unknown key; did you mean depth",
    ),
    ("recipes.paper.warmup.epochs", 83, "recipes.paper: drops begin at epoch 82, within the 83"),
    ("recipes", [], "recipes is []: must be a mapping"),
    ("variants", [], "variants: must name at least one"),
    ("variants", ["model", "model"], "variants: names 'model' twice"),
    ("variants", ["ResNet26v1"], "variants names 'ResNet26v1': no such section; there are model, "),
    ("variants", "model", "variants is 'model': must be a list"),
    ("seeds", [0, 0], "seeds: names 0 twice"),
    ("seeds", [-1], "seeds.0 is -1: must be greater than or equal to 0"),
    ("seeds", [2**32], "seeds.0 is 4294967296: must be less than 4294967296"),
    ("seeds", [False], "seeds.0 is False: must be a valid integer"),
    ("tr\nian", {}, r"tr\nian: unknown key; did you mean train?"),
    ("modle", {}, "modle: unknown key; did you mean model?"),
    (
        "x",
        {},
        "x: unknown key; allowed: variants, seeds, data, preprocess, augment, train, recipes, ",
    ),
    ("data.source", "cifar", "data.source is 'cifar': must be 'cifar10' or 'synthetic'"),
    ("data.urls", ["ftp://a/b"], "data.urls.0 is 'ftp://a/b': must match pattern"),
    ("data.synthetic.train_images", 12, "data.synthetic.train_images is 12: must be a multiple of"),
    ("data.synthetic.seed", 2**32, "data.synthetic.seed is 4294967296: must be less than 4294967"),
    ("data.synthetic.sed", 1, "data.synthetic.sed: unknown key; did you mean seed?"),
    ("preprocess.subtract_pixel_mean", "yes", "preprocess.subtract_pixel_mean is 'yes': must be a"),
    ("augment.order", 2, "augment.order is 2: must be 0 or 1"),
    ("augment.order", False, "augment.order is False: must be a valid integer"),
    ("augment.shift", 1.0, "augment.shift is 1.0: must be less than 1"),
    ("train.precision", "float16", "train.precision is 'float16': must be 'float32' or 'bfloat16'"),
    ("train.recipe", "a\nb", r"train.recipe is 'a\nb': must match pattern '^[A-Za-z0-9_-]+$'"),
    ("train.recipe", "keras", "train.recipe is 'keras': must be one of recipes: original, paper"),
    ("train.holdout.split", "test", "train.holdout: fraction must be 1 with split test"),
    ("train.holdout.fraction", 1, "train.holdout: fraction must be less than 1 with split train"),
    (
        "recipes.original.plateau_factor",
        0.3,
        "recipes.original.plateau_factor is 0.3 but train.holdout holds out no image",
    ),
    ("model.plateau_factor", 0.3, "model.plateau_factor is 0.3 but train.holdout holds out no"),
]


@pytest.mark.parametrize(
    ("key", "value", "said"), WRONG, ids=[f"{key}={value}"[:60] for key, value, _ in WRONG]
)
def test_a_wrong_value_is_one_line_with_key_value_and_what_is_allowed(
    tmp_path: Path, settings: Settings, key: str, value: Any, said: str
) -> None:
    with pytest.raises(BenchmarkError) as caught:
        settings({key: value})
    text = str(caught.value).removeprefix(f"{tmp_path / 'params.yaml'}: ")
    assert text.startswith(said)
    assert text.isprintable()
    assert text.count(said) == 1  # a default that is wrong is named once, not for every section


def test_every_problem_is_named_at_once_unknown_keys_first(
    tmp_path: Path, settings: Settings
) -> None:
    changes: dict[str, Any] = {
        "seeds": [-1],
        "data.source": "cifar",
        "variants": ["model", "ResNet26v1"],
        "model.n": 0,
        "model.batchsize": 64,
        "model.augment": {"shift": 2},
        "ResNet32v1.n": 6,
        "train.recipe": "keras",
        "train.precison": "float32",
        "trian": {},
    }
    with pytest.raises(BenchmarkError) as caught:
        settings(changes)
    problems = str(caught.value).removeprefix(f"{tmp_path / 'params.yaml'}: ").split("; ")
    assert [problem.split(":")[0] for problem in problems if not problem.startswith("did ")] == [
        "trian",
        "train.precison",
        "model.batchsize",
        "seeds.0 is -1",
        "data.source is 'cifar'",
        "model.n is 0",
        "model.augment.shift is 2",
        "ResNet32v1",
        "variants names 'ResNet26v1'",
        "there are model, ResNet32v1, ResNet44v1, ResNet56v1, ResNet110v1, ResNet164v1, "
        "ResNet20v2, ResNet56v2, ResNet110v2, ResNet164v2, ResNet1001v2, ResNet20v1-paper, "
        "ResNet29v2-plain, ResNet20v1-short, ResNet20v2-short",
        "train.recipe is 'keras'",
    ]


@pytest.mark.parametrize("key", params.Sections.model_fields)
def test_a_missing_section(raw: dict[str, Any], key: str) -> None:
    del raw[key]
    with pytest.raises(BenchmarkError, match=f"^{key}: missing$"):
        params.parse(raw)


@pytest.mark.parametrize("raw", [None, ["a"], "a", 3])
def test_what_is_no_mapping_of_sections(raw: Any) -> None:
    with pytest.raises(BenchmarkError) as caught:
        params.parse(raw)
    assert str(caught.value) == f"must be a mapping of sections, is {raw!r}"


def test_a_plateau_needs_a_holdout(settings: Settings) -> None:
    changed = {"recipes.original.plateau_factor": 0.3, "train.holdout.fraction": 0.1}
    assert settings(changed).variant("model").recipe.plateau_factor == 0.3


def test_an_error_is_one_short_line(tmp_path: Path, raw: dict[str, Any]) -> None:
    path = tmp_path / "params.yaml"
    deep: Any = "x" * 900
    for _ in range(3):
        deep = [deep for _ in range(20)]
    many = {"b" * 100 + str(i): 1 for i in range(99)}
    for changes in ({"a\nb\x1b": 1}, {"seeds": deep}, {"a" * 100: 1}, {"recipes": many}, many):
        path.write_text(yaml.safe_dump({**raw, **changes}, width=10**6), encoding="utf-8")
        with pytest.raises(BenchmarkError) as caught:
            params.load(path)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) <= len(f"{path}: ") + 830


def test_a_number_with_an_exponent_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("learning_rate: 0.001", "learning_rate: 1e-3"), encoding="utf-8")
    assert params.load(path).variant("model").recipe.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("ResNet32v1.n=9", [("  n: 5", "  n: 9")]),
        ("recipes.original.epochs=3", [("    epochs: 200", "    epochs: 3")]),
        ("ResNet20v2-short.epochs=3", [("  epochs: 6", "  epochs: 3")]),
        ("train.recipe=paper", [("  recipe: original", "  recipe: paper")]),
        ("variants=[]", None),
        ("seeds=[]", None),
        ("data.urls=[]", None),
        ("recipes.paper.drops=[]", None),
        ("ResNet20v1-short.drops=[]", None),
        ("variants=[model]", None),
        ("seeds=[0]", None),
        ("data.urls=[https://example.org/a]", None),
        ("recipes.original.drops=[]", None),
        ("+ResNet32v1.batch_size=64", None),
        ("+ResNet32v1.augment={shift:0.0}", None),
    ],
)
def test_dvc_exp_run_changes_what_it_is_asked_to_and_loses_no_comment(
    tmp_path: Path, override: str, changed: list[tuple[str, str]] | None
) -> None:
    from dvc.utils.hydra import apply_overrides

    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    before = path.read_text(encoding="utf-8").splitlines()
    apply_overrides(path, [override])
    after = path.read_text(encoding="utf-8").splitlines()
    assert comments(after) == comments(before)
    assert set(strict_yaml.read(path)) == set(strict_yaml.read(ROOT / "params.yaml"))
    if changed is not None:
        pairs = zip(map(without_comment, before), map(without_comment, after), strict=True)
        assert [(old, new) for old, new in pairs if old != new] == changed


def comments(lines: list[str]) -> list[str]:
    return [line.partition("#")[2] for line in lines if "#" in line]


def without_comment(line: str) -> str:
    return line.partition("#")[0].rstrip()
