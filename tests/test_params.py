from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from resnet import params
from resnet.errors import BenchmarkError
from scripts.demo import set_params
from tests.conftest import ROOT

LISTED = [
    "model",
    "ResNet32v1",
    "ResNet44v1",
    "ResNet56v1",
    "ResNet110v1",
    "ResNet56v2",
    "ResNet110v2",
]


def test_defaults_are_the_originals() -> None:
    settings = params.load(ROOT / "params.yaml")
    assert [name for name in settings.variants if not name.endswith("-short")] == LISTED
    assert settings.seeds == (0, 1, 2)
    recipe = settings.variant("model").recipe
    assert (
        recipe.optimizer,
        recipe.learning_rate,
        recipe.batch_size,
        recipe.epochs,
        recipe.l2,
    ) == ("adam", 1e-3, 32, 200, 1e-4)
    assert [(drop.epoch, drop.factor) for drop in recipe.drops] == [
        (81, 1e-1),
        (121, 1e-2),
        (161, 1e-3),
        (181, 0.5e-3),
    ]
    assert recipe.plateau_factor == 1
    assert (settings.augment.shift, settings.augment.order, settings.augment.flip) == (0.1, 0, True)
    assert settings.train.holdout.fraction == 0
    assert settings.preprocess.subtract_pixel_mean


def test_every_buildable_network_of_the_original_has_a_section(raw: dict[str, Any]) -> None:
    raw["variants"] = [key for key in raw if key == "model" or key.startswith("ResNet")]
    names = {variant.network.name for variant in params.parse(raw).variants.values()}
    v1 = {f"ResNet{depth}v1" for depth in (20, 32, 44, 56, 110, 164)}
    assert names == v1 | {f"ResNet{depth}v2" for depth in (20, 56, 110, 164, 1001)}


def test_model_n_names_the_network(raw: dict[str, Any]) -> None:
    raw["model"]["n"] = 9
    assert params.parse(raw).variant("model").network.name == "ResNet56v1"


def test_section_overrides_its_own_recipe_alone(raw: dict[str, Any]) -> None:
    raw["model"].update(batch_size=64, epochs=3)
    settings = params.parse(raw)
    model, other = settings.variant("model"), settings.variant("ResNet32v1")
    assert (model.recipe.batch_size, model.recipe.epochs, model.recipe_epochs) == (64, 3, 200)
    assert (other.recipe.batch_size, other.recipe.epochs) == (32, 200)


def test_suffixed_section_trains_a_network_twice(raw: dict[str, Any]) -> None:
    raw["ResNet20v1-wide"] = {"version": 1, "n": 3, "batch_size": 128}
    raw["variants"].append("ResNet20v1-wide")
    assert params.parse(raw).variant("ResNet20v1-wide").network.name == "ResNet20v1"


def test_recipes_are_the_published_ones(raw: dict[str, Any]) -> None:
    """What makes a figure comparable is in the code, and params.yaml must start out with it."""
    for name in ("original", "paper"):
        raw["train"]["recipe"] = name
        variant = params.parse(raw).variant("ResNet110v1")
        assert variant.recipe == params.PUBLISHED_RECIPES[name]
        assert variant.recipe_name == name
    recipe = variant.recipe
    steps = 50_000 // recipe.batch_size
    assert (recipe.optimizer, recipe.learning_rate, recipe.momentum, recipe.batch_size) == (
        "sgd",
        0.1,
        0.9,
        128,
    )
    assert [drop.factor for drop in recipe.drops] == [0.1, 0.01]
    assert [steps * drop.epoch for drop in recipe.drops] == pytest.approx(
        [32_000, 48_000], rel=0.001
    )
    assert steps * recipe.epochs == pytest.approx(64_000, rel=0.001)
    assert steps * recipe.warmup.epochs == pytest.approx(400, rel=0.03)
    assert recipe.learning_rate * recipe.warmup.factor == pytest.approx(0.01)
    assert 2 * recipe.l2 == 1e-4


def test_warmup_is_for_deep_networks(raw: dict[str, Any]) -> None:
    raw["train"]["recipe"] = "paper"
    variants = {
        name: variant for name, variant in params.parse(raw).variants.items() if name in LISTED
    }
    assert {name for name, variant in variants.items() if variant.recipe.warmup.epochs} == {
        "ResNet110v1",
        "ResNet110v2",
    }
    assert {variant.recipe_name for variant in variants.values()} == {"paper"}


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("model.batch_size", 64, "original with batch_size 64"),
        ("recipes.original.batch_size", 64, "original with batch_size 64"),
        ("model.epochs", 3, "original"),  # a short run of it
        ("recipes.original.epochs", 3, "original with epochs 3"),
        ("recipes.original.drops", [], "original with other drops"),
        ("augment.order", 1, "original with augment.order 1"),
        ("model.crop", 4, "original with crop 4"),
        (
            "preprocess.subtract_pixel_mean",
            False,
            "original with preprocess.subtract_pixel_mean False",
        ),
    ],
)
def test_a_recipe_is_named_with_what_differs(
    settings: Callable[..., params.Params], key: str, value: Any, name: str
) -> None:
    assert settings({key: value}).variant("model").recipe_name == name


def test_the_papers_width_is_another_network(raw: dict[str, Any]) -> None:
    raw["ResNet164v2"]["width"] = "paper"
    raw["variants"].append("ResNet164v2")
    assert params.parse(raw).variant("ResNet164v2").network.name == "ResNet164v2 (paper's width)"


WRONG: list[tuple[str, Any, str]] = [
    ("model.nn", 3, "model.nn: unknown key; allowed: version, n, width, optimizer, "),
    ("model.n", 0, "model.n is 0: must be greater than or equal to 1"),
    ("model.n", 201, "model.n is 201: must be less than or equal to 200"),
    ("model.n", "3", "model.n is '3': must be a valid integer"),
    ("model.n", True, "model.n is True: must be a valid integer"),
    ("model.n", 2.5, "model.n is 2.5: must be a valid integer"),
    ("model.version", 3, "model.version is 3: must be 1 or 2"),
    ("model", None, "model is None: must be a section with keys"),
    ("model", {"version": 1}, "model.n: missing"),
    ("ResNet20v1", {"version": 1, "n": 5}, "ResNet20v1: its version 1 and n 5 make ResNet32v1"),
    ("ResNet32v1.version", 2, "ResNet32v1: its version 2 and n 5 make ResNet47v2"),
    ("model.width", "wide", "model.width is 'wide': must be 'original' or 'paper'"),
    ("model.width", "paper", "model: width is 'paper', which version 2 alone has"),
    ("model.learning_rate", -0.1, "model.learning_rate is -0.1: must be greater than 0"),
    ("model.learning_rate", float("nan"), "model.learning_rate is nan: must be a finite number"),
    (
        "recipes.original.learning_rate",
        0,
        "recipes.original.learning_rate is 0: must be greater than 0",
    ),
    (
        "recipes.original.batch_size",
        0,
        "recipes.original.batch_size is 0: must be greater than or equal to 1",
    ),
    (
        "recipes.original.epochs",
        2**31,
        "recipes.original.epochs is 2147483648: must be less than 2147483648",
    ),
    (
        "recipes.original.epoch",
        0,
        "recipes.original.epoch: unknown key; allowed: optimizer, learning_rate",
    ),
    (
        "recipes.original.optimizer",
        "lion",
        "recipes.original.optimizer is 'lion': must be 'adam' or 'sgd'",
    ),
    ("recipes.original.momentum", 0.9, "recipes.original: momentum is 0.9 but adam has none"),
    (
        "recipes.original.drops",
        [{"epoch": 9, "factor": 1.0}] * 2,
        "recipes.original: drops must name each epoch once, in order; they name [9, 9]",
    ),
    ("recipes.original.drops", [{"epoch": 9, "rate": 1.0}], "recipes.original.drops.0."),
    (
        "recipes.paper.l2_on",
        "kernels",
        "recipes.paper.l2_on is 'kernels': must be 'convolutions' or 'all'",
    ),
    ("recipes.paper.crop", -1, "recipes.paper.crop is -1: must be greater than or equal to 0"),
    ("recipes.paper.warmup.factor", 0, "recipes.paper.warmup.factor is 0: must be greater than 0"),
    (
        "recipes.paper.warmup.steps",
        400,
        "recipes.paper.warmup.steps: unknown key; allowed: epochs, factor, depth",
    ),
    (
        "recipes.paper.warmup.epochs",
        83,
        "recipes.paper: drops begin at epoch 82, before the 83 epochs of warmup end",
    ),
    ("recipes", [], "recipes is []: must be a section with keys"),
    ("variants", [], "variants is []: must be a list of names of sections, at least one"),
    ("variants", ["model", "model"], "variants is ['model', 'model']: names 'model' twice"),
    ("variants", ["ResNet26v1"], "variants names 'ResNet26v1': no such section; there are model, "),
    ("variants", "model", "variants is 'model': must be a list"),
    ("seeds", [0, 0], "seeds is [0, 0]: names 0 twice"),
    ("seeds", [-1], "seeds is [-1]: must hold whole numbers from 0"),
    ("seeds", [False], "seeds is [False]: must be a list of whole numbers"),
    ("tr\nian", {}, r"tr\nian: unknown section; allowed: "),
    ("trian", {}, "trian: unknown section; allowed: variants, seeds, data, "),
    ("data.source", "cifar", "data.source is 'cifar': must be 'cifar10' or 'synthetic'"),
    ("data.urls", ["ftp://a/b"], "data.urls.0 is 'ftp://a/b': "),
    (
        "data.synthetic.train_images",
        12,
        "data.synthetic.train_images is 12: must be a multiple of 5",
    ),
    (
        "data.synthetic.label",
        1,
        "data.synthetic.label: unknown key; allowed: train_images, test_images, seed",
    ),
    (
        "preprocess.subtract_pixel_mean",
        "yes",
        "preprocess.subtract_pixel_mean is 'yes': must be a valid boolean",
    ),
    ("augment.order", 2, "augment.order is 2: must be 0 or 1"),
    ("augment.shift", 1.0, "augment.shift is 1.0: must be less than 1"),
    ("train.precision", "float16", "train.precision is 'float16': must be 'float32' or 'bfloat16'"),
    ("train.recipe", "a\nb", r"train.recipe is 'a\nb': must match pattern '^[A-Za-z0-9_-]+$'"),
    ("train.recipe", "paper2", "train.recipe is 'paper2': must be one of recipes: keras, paper"),
    ("train.holdout.split", "test", "train.holdout: fraction must be 1 with split test"),
    ("train.holdout.fraction", 1, "train.holdout: fraction must be less than 1 with split train"),
    (
        "recipes.original.plateau_factor",
        0.3,
        "model: plateau_factor is 0.3 but train.holdout holds out no image",
    ),
]


@pytest.mark.parametrize(
    ("key", "value", "said"), WRONG, ids=[f"{key}={value}"[:60] for key, value, _ in WRONG]
)
def test_wrong_value_is_one_line_with_key_value_and_what_is_allowed(
    tmp_path: Path, key: str, value: Any, said: str
) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    set_params(path, {key: value})
    with pytest.raises(BenchmarkError) as caught:
        params.load(path)
    assert str(caught.value).startswith(f"{path}: {said}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", params.FIXED)
def test_missing_section(raw: dict[str, Any], key: str) -> None:
    del raw[key]
    with pytest.raises(BenchmarkError, match=f"^{key}: missing$"):
        params.parse(raw)


NO_PARAMS: list[tuple[str, str]] = [
    ("", "must hold sections, holds None"),
    ("- a\n", "must hold sections, holds ['a']"),
    ("a: [\n", "not YAML: "),
    ("seeds: 1\nseeds: 2\n", "not YAML: 'seeds' is given twice"),
    ("\x00", "not YAML: "),
    ("? [a]\n: b\n", "not YAML: "),
    ("[" * 5000, "not YAML: nested too deeply"),
    ('a: "\\U99999999"', "not YAML: "),
    ("a: !!int b", "not YAML: no value for its tag 'tag:yaml.org,2002:int'"),
    ("a: !!timestamp b", "not YAML: no value for its tag 'tag:yaml.org,2002:timestamp'"),
    (
        "a: !!python/object/apply:os.system [ls]",
        "not YAML: could not determine a constructor for the tag",
    ),
    ("a: " + "1" * 5000, "not YAML: a value of 5,000 characters, more than 1,000"),
    ("a" * 1001, "not YAML: a value of 1,001 characters, more than 1,000"),
]


@pytest.mark.parametrize(("text", "said"), NO_PARAMS, ids=[text[:20] for text, _ in NO_PARAMS])
def test_what_is_not_a_params_file(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(BenchmarkError) as caught:
        params.load(path)
    assert str(caught.value).startswith(f"{path}: {said}")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["2026-99-99", "010", "0x10", "1:30", "1_000", "yes", "=", "1e5x"])
def test_what_dvc_may_read_as_another_value_is_no_number(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(
        (ROOT / "params.yaml").read_text(encoding="utf-8").replace("n: 3", f"n: {text}"),
        encoding="utf-8",
    )
    with pytest.raises(BenchmarkError, match=f"model.n is '?{text}'?: must be a valid integer"):
        params.load(path)


def test_an_error_is_one_short_line(tmp_path: Path, raw: dict[str, Any]) -> None:
    path = tmp_path / "params.yaml"
    deep, many = [[["x" * 900] * 99] * 99] * 99, {"b" * 100 + str(i): 1 for i in range(9)}
    for changes in ({"a\nb\x1b": 1}, {"seeds": deep}, {"a" * 100: 1}, {"recipes": many}):
        path.write_text(yaml.safe_dump({**raw, **changes}), encoding="utf-8")
        with pytest.raises(BenchmarkError) as caught:
            params.load(path)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) <= len(f"{path}: ") + 510


def test_aliases_that_multiply_are_not_written_out(tmp_path: Path, raw: dict[str, Any]) -> None:
    levels = ["&a0 [x, x]", *(f"&a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60))]  # 2^60 values
    path = tmp_path / "params.yaml"
    path.write_text(
        yaml.safe_dump({**raw, "seeds": None}).replace(
            "seeds: null", f"seeds: [{', '.join(levels)}]"
        ),
        encoding="utf-8",
    )
    with pytest.raises(BenchmarkError, match=r"seeds is .*: must be a list of whole numbers"):
        params.load(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"no such file; run the stages from the root"):
        params.load(tmp_path / "params.yaml")
    with pytest.raises(BenchmarkError, match="Is a directory"):
        params.load(tmp_path)


def test_numbers_are_read_as_dvc_reads_them(tmp_path: Path) -> None:
    text = (
        (ROOT / "params.yaml")
        .read_text(encoding="utf-8")
        .replace("learning_rate: 0.001", "learning_rate: 1e-3")
    )
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    assert params.load(path).variant("model").recipe.learning_rate == 1e-3


def test_dvc_changes_the_one_line_that_is_asked_for(tmp_path: Path) -> None:
    """`dvc exp run -S` rewrites the file; what a review sees of it must be the change, and no comment may be lost."""
    from dvc.utils.hydra import apply_overrides

    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    before = path.read_text(encoding="utf-8").splitlines()
    apply_overrides(path, ["model.n=9", "recipes.original.epochs=3"])
    changed = [
        (old.split("#")[0].strip(), new)
        for old, new in zip(before, path.read_text(encoding="utf-8").splitlines(), strict=True)
        if old != new
    ]
    assert changed == [("n: 3", "  n: 9"), ("epochs: 200", "    epochs: 3    # the original's")]
