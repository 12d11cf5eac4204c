"""Which result is in which table, beside which published one, and what the page says about it."""

import random
from typing import Any

import pytest

from resnet.results import notes, tables
from resnet.results.published import Quoted
from resnet.results.store import Store
from resnet.variant import Network
from tests.support.checkout import ROOT
from tests.support.results import (
    HELD_OUT,
    LAST_EPOCH,
    TEST_SET,
    VERSIONS,
    make_device,
    make_parameters,
    make_run,
    results_of,
)
from tests.support.tables import LISTED, THREE_SEEDS, build, cell, rows

# The original's two tables, typed from them: n, its accuracy, its seconds per epoch, the paper's
# accuracy.
ORIGINAL = {
    "ResNet20v1": ("3", "92.16", "35", "91.25"),
    "ResNet32v1": ("5", "92.46", "50", "92.49"),
    "ResNet44v1": ("7", "92.50", "70", "92.83"),
    "ResNet56v1": ("9", "92.71", "90", "93.03"),
    "ResNet110v1": ("18", "92.65", "165", "93.39±.16"),
    "ResNet164v1": ("27", "-", "-", "94.07"),
    "ResNet1001v1": ("NA", "-", "-", "92.39"),
    "ResNet20v2": ("2", "-", "-", "-"),
    "ResNet32v2": ("NA", "NA", "NA", "NA"),
    "ResNet44v2": ("NA", "NA", "NA", "NA"),
    "ResNet56v2": ("6", "93.01", "100", "NA"),
    "ResNet110v2": ("12", "93.15", "180", "93.63"),
    "ResNet164v2": ("18", "-", "-", "94.54"),
    "ResNet1001v2": ("111", "-", "-", "95.08±.14"),
}
PAPERS = tuple(f"ResNet {version}, the paper's form and recipe" for version in ("v1", "v2"))


def test_the_published_results_are_the_originals(published: list[Quoted]) -> None:
    columns = ["n", "original_accuracy", "original_seconds_per_epoch", "paper_accuracy"]
    assert {
        row["network"]: tuple(row[column] for column in columns) for row in published
    } == ORIGINAL
    for row in published:
        assert row["network"].endswith(f"v{row['version']}")
        if row["n"] != "NA":
            network = Network.model_validate({"version": int(row["version"]), "n": int(row["n"])})
            assert network.name == row["network"]
    for each in Store(ROOT / "metrics").published_results():
        assert ("arXiv" in each.source) == (each.origin == "papers" or each.runs == 50)
        assert ("the original's table" in each.source) == (each.origin == "original")


def test_every_network_of_the_original_has_a_row_where_nothing_is_trained(
    published: list[Quoted],
) -> None:
    built = rows(build(published, LISTED))
    assert list(built) == ["ResNet v1", "ResNet v2", *PAPERS]
    both = built["ResNet v1"] + built["ResNet v2"]
    assert [row["Model"].split()[0] for row in both] == list(ORIGINAL)
    for row in both:
        n, accuracy, seconds, _ = ORIGINAL[row["Model"].split()[0]]
        assert row["n"] == n
        assert row["Accuracy %"] == row["Device"] == row["s/epoch"] == ("NA" if n == "NA" else "–")
        assert row["Original, 200 epochs, % [3–8]"] == accuracy.replace("-", "–")
        assert row["Original, s/epoch, GTX 1080 Ti"] == seconds.replace("-", "–")
    papers = [row for title in PAPERS for row in built[title]]
    accuracies = {
        row["Model"]: next(text for column, text in row.items() if column.startswith("Paper,"))
        for row in papers
    }
    assert {name: text.removesuffix(" [2]") for name, text in accuracies.items()} == {
        name: paper for name, (_, _, _, paper) in ORIGINAL.items() if paper not in ("-", "NA")
    }
    other_networks = {row["Model"] for row in papers if row["Accuracy %"] == "NA"}
    assert other_networks == {"ResNet1001v1", "ResNet164v1", "ResNet110v2"}


def test_model_is_in_the_row_of_its_network(published: list[Quoted]) -> None:
    assert rows(build(published, LISTED, model={}))["ResNet v1"][0] == {
        "Model": "ResNet20v1 (model)",
        "n": "3",
        "Accuracy %": THREE_SEEDS,
        notes.BEST: "91.75 ± 0.21",
        "Original, 200 epochs, % [3–8]": "92.16",
        "s/epoch": "15.3",
        "Original, s/epoch, GTX 1080 Ti": "35",
        "Device": "NVIDIA H100 80GB HBM3",
        "Parameters": "274,442",
    }


def test_model_is_in_another_networks_row_where_no_listed_section_is(
    published: list[Quoted],
) -> None:
    built = build(published, {"model": Network(version=1, n=9)}, model={})
    assert cell(built, "ResNet v1", "ResNet56v1 (model)", "Accuracy %") == THREE_SEEDS
    assert "Further variants" not in rows(built)


@pytest.mark.parametrize(
    "network",
    [Network(version=1, n=9), Network(version=1, n=4)],
    ids=["already listed", "not the original's"],
)
def test_model_is_a_further_variant_where_it_has_no_row(
    published: list[Quoted], network: Network
) -> None:
    networks = {**LISTED, "model": network}
    built = build(published, networks, model={"accuracy": 91.0}, ResNet56v1={"accuracy": 92.0})
    assert next(iter(rows(built))) == "Further variants"
    assert cell(built, "Further variants", "model", "Network") == network.name
    assert cell(built, "Further variants", "model", "Accuracy %") == "91.00 ± 0.21 (3 seeds)"
    assert cell(built, "ResNet v1", "ResNet56v1", "Accuracy %") == "92.00 ± 0.21 (3 seeds)"


V1, V2 = Network(version=1, n=5), Network(version=2, n=18)
PAPERS_V1, PAPERS_V2 = (net.model_copy(update={"form": "paper"}) for net in (V1, V2))
BASIC_BLOCKS = Network(version=2, n=12, form="paper")  # in the paper, unlike here
BOTTLENECKS = Network(version=1, n=27, form="paper")  # in the paper, unlike here


@pytest.mark.parametrize(
    ("name", "network", "recipe", "changes", "title", "model"),
    [
        ("ResNet32v1", V1, "original", {}, "ResNet v1", "ResNet32v1"),
        ("ResNet32v1", V1, "paper", {}, "Further variants", "ResNet32v1"),
        ("ResNet32v1", PAPERS_V1, "paper", {}, PAPERS[0], "ResNet32v1"),
        ("ResNet32v1", PAPERS_V1, "original", {}, "Further variants", "ResNet32v1"),
        ("ResNet32v1", V1, "original", {"batch_size": 128}, "Further variants", "ResNet32v1"),
        ("model", PAPERS_V1, "paper", {}, PAPERS[0], "ResNet32v1 (model)"),
        ("ResNet32v1-paper", PAPERS_V1, "paper", {}, PAPERS[0], "ResNet32v1 (ResNet32v1-paper)"),
        ("ResNet56v2", LISTED["ResNet56v2"], "paper", {}, "Further variants", "ResNet56v2"),
        ("ResNet164v2", V2, "original", {}, "ResNet v2", "ResNet164v2"),
        ("ResNet164v2", V2, "paper", {}, "Further variants", "ResNet164v2"),
        ("ResNet164v2", PAPERS_V2, "paper", {}, PAPERS[1], "ResNet164v2"),
        ("ResNet164v2", PAPERS_V2, "original", {}, "Further variants", "ResNet164v2"),
        ("ResNet110v2", BASIC_BLOCKS, "paper", {}, "Further variants", "ResNet110v2"),
        ("ResNet164v1", BOTTLENECKS, "paper", {}, "Further variants", "ResNet164v1"),
    ],
)
def test_a_result_is_beside_published_ones_of_its_network_and_recipe_only(
    published: list[Quoted],
    name: str,
    network: Network,
    recipe: str,
    changes: dict[str, Any],
    title: str,
    model: str,
) -> None:
    networks = {**LISTED, name: network}
    built = build(published, networks, **{name: {"recipe": recipe, "changes": changes}})
    found = {
        (where, next(iter(row.values())))
        for where, table in rows(built).items()
        for row in table
        if row["Accuracy %"].startswith("9")
    }
    assert found == {(title, model)}
    words = f"{recipe} with batch_size 128" if changes else recipe
    epochs = {"original": 200, "paper": 164}[recipe]
    line = next(table for table in built if table.title == title).below[0]
    assert f"recipe {words}; {epochs} epochs" in line


def test_sections_with_a_suffix_are_further_variants_trained_or_not(
    published: list[Quoted],
) -> None:
    networks = {
        **LISTED,
        "ResNet20v1-sgd": Network(version=1, n=3),
        "ResNet44v1-sgd": Network(version=1, n=7),
    }
    built = build(published, networks, **{"ResNet20v1-sgd": {}})
    assert cell(built, "Further variants", "ResNet20v1-sgd", "Accuracy %") == THREE_SEEDS
    assert cell(built, "Further variants", "ResNet44v1-sgd", "Accuracy %") == "–"
    assert cell(built, "ResNet v1", "ResNet44v1", "Accuracy %") == "–"


SHORT = {"changes": {"epochs": 12}}


def test_short_runs_have_a_table_with_their_epochs(published: list[Quoted]) -> None:
    built = build(published, LISTED, model=SHORT, ResNet32v1={})
    assert cell(built, "Short runs", "model", "Epochs") == "12 of 200"
    assert cell(built, "ResNet v1", "ResNet20v1", "Accuracy %") == "–"
    assert cell(built, "ResNet v1", "ResNet32v1", "Accuracy %") == THREE_SEEDS


def test_a_short_section_leaves_its_row_to_a_full_model(published: list[Quoted]) -> None:
    networks = {"model": LISTED["model"], "ResNet20v1": LISTED["model"]}
    built = build(published, networks, model={"accuracy": 91.0}, ResNet20v1=SHORT)
    assert cell(built, "ResNet v1", "ResNet20v1 (model)", "Accuracy %") == "91.00 ± 0.21 (3 seeds)"
    assert cell(built, "Short runs", "ResNet20v1", "Epochs") == "12 of 200"


@pytest.mark.parametrize("recipe", ["original", "paper"])
def test_more_epochs_than_the_recipe_are_another_recipe(
    published: list[Quoted], recipe: str
) -> None:
    changes = {"recipe": recipe, "changes": {"epochs": 400}}
    built = build(published, LISTED, ResNet32v1=changes)
    assert cell(built, "Further variants", "ResNet32v1", "Accuracy %") == THREE_SEEDS
    assert f"recipe {recipe}; 400 epochs" in built[0].below[0]
    others = [
        row for title, table in rows(built).items() if title != built[0].title for row in table
    ]
    assert not any("91.50" in text for row in others for text in row.values())


def test_seeds_trained_on_two_backends_name_both(published: list[Quoted]) -> None:
    jax = {"keras": "3.15.1", "jax": "0.10.2"}
    runs = [
        make_run(seed=0, device=make_device(float32_products="tf32"), versions=VERSIONS),
        make_run(seed=1, device=make_device("TPU", backend="jax"), versions=jax),
    ]
    built = tables.build(LISTED, {"model": results_of(runs)}, published)
    (line,) = [line for line in built[0].below if line.startswith("All")]
    libraries = "TensorFlow 2.21.0 and JAX 0.10.2, Keras 3.15.1"
    assert line.endswith(f"{libraries}; float32 (TF32 and float32 products).")
    device = cell(built, "ResNet v1", "ResNet20v1 (model)", "Device")
    assert device == "NVIDIA H100 80GB HBM3 and TPU"


def test_seeds_trained_on_two_devices_have_a_time_for_each(published: list[Quoted]) -> None:
    devices = [make_device("EPYC", gpu=False), make_device("Xeon", gpu=False)]
    runs = [
        make_run(seed=seed, device=devices[seed % 2], seconds=seconds)
        for seed, seconds in enumerate([45.0, 99.0, 47.0, 101.0])
    ]
    built = tables.build(LISTED, {"model": results_of(runs)}, published)
    row = ("ResNet v1", "ResNet20v1 (model)")
    assert cell(built, *row, "Device") == "EPYC and Xeon"
    assert cell(built, *row, "s/epoch") == "46.0 and 100"  # not 73.0, which neither took


def test_synthetic_results_have_a_table_with_a_warning(published: list[Quoted]) -> None:
    built = build(
        published, LISTED, model={"source": "synthetic", "changes": {"epochs": 3}}, ResNet32v1={}
    )
    assert cell(built, "Synthetic data", "model", "Epochs") == "3 of 200"
    columns = rows(built)["Synthetic data"][0]
    assert not any(column.startswith(("Original", "Paper")) for column in columns)
    assert cell(built, "ResNet v1", "ResNet20v1", "Accuracy %") == "–"
    page, plain = tables.page(built), tables.plain(built)
    assert "**Not CIFAR-10**" in page.split("## Synthetic data")[1].splitlines()[2]
    assert "Not CIFAR-10" in plain.split("Synthetic data\n")[1].splitlines()[0]


def test_each_of_many_results_is_once_in_the_right_table_with_its_number_of_seeds(
    published: list[Quoted],
) -> None:
    networks = {
        **LISTED,
        "ResNet20v1-sgd": Network(version=1, n=3),
        "ResNet110v1": Network(version=1, n=18),
        "ResNet1001v2": Network(version=2, n=111),
    }
    for trial in range(15):
        draw = random.Random(trial)
        networks["model"] = Network(version=draw.choice((1, 2)), n=draw.choice((2, 3, 4)))
        changed = {
            name: {
                "accuracy": 50 + number + trial / 100,  # no two are equal
                "seeds": draw.choice((1, 3)),
                "source": draw.choice(("cifar10", "synthetic")),
                "changes": {"epochs": draw.choice((5, 200))},
                "holdout": draw.choice((LAST_EPOCH, TEST_SET, HELD_OUT)),
                "precision": draw.choice(("float32", "bfloat16")),
            }
            for number, name in enumerate(networks)
            if draw.random() < 0.8
        }
        built = build(published, networks, **changed)
        found = {
            (title, row["Accuracy %"])
            for title, table in rows(built).items()
            for row in table
            if row["Accuracy %"] not in ("–", "NA")
        }
        expected = set()
        for name, changes in changed.items():
            spread = " (1 seed)" if changes["seeds"] == 1 else " ± 0.21 (3 seeds)"
            text = f"{changes['accuracy']:.2f}{spread}"
            title = f"ResNet v{networks[name].version}"
            if networks[name].name not in ORIGINAL or name.endswith("-sgd"):
                title = "Further variants"
            if changes["changes"] == {"epochs": 5}:
                title = "Short runs"
            if changes["source"] == "synthetic":
                title = "Synthetic data"
            expected.add((title, text + (" †" if changes["holdout"] == TEST_SET else "")))
            assert tables.plain(built).count(text) == 1
        assert found == expected
        assert max(map(len, tables.plain(built).splitlines())) <= 140


def test_what_rows_share_is_one_line_and_what_they_do_not_is_a_column(
    published: list[Quoted],
) -> None:
    alike = build(published, LISTED, model={}, ResNet32v1={})[0]
    libraries = "TensorFlow 2.21.0, Keras 3.15.1"
    assert alike.below == (
        "All measured rows: recipe original; 200 epochs; no hold-out (last epoch); "
        f"{libraries}; float32.",
        notes.ON_TEST,
    )
    assert "Setup" not in alike.columns
    built = build(
        published, LISTED, model={}, ResNet32v1={"precision": "bfloat16", "holdout": HELD_OUT}
    )
    assert f"All measured rows: recipe original; 200 epochs; {libraries}." in built[0].below
    setups = [
        cell(built, "ResNet v1", name, "Setup") for name in ("ResNet20v1 (model)", "ResNet32v1")
    ]
    assert setups == [
        "no hold-out (last epoch); float32",
        "best epoch on a held-out 0.1 of the training set; bfloat16",
    ]


def test_every_note_is_referred_to_and_every_mark_has_a_note(published: list[Quoted]) -> None:
    page = tables.page(build(published, LISTED))
    body, numbered = page.split("## Notes")
    reading = body.split("## ")[0]
    assert all(f"{mark}: " in reading or f"{mark}, " in reading for mark in ("†", "–", "NA"))
    assert all(mark in body for mark in ("[1]", "[2]", "[3–8]", "[9]"))
    assert numbered.count("\n") - 2 == 9 == len(notes.NOTES)
    marked = {
        row["Model"]
        for table in rows(build(published, LISTED)).values()
        for row in table
        if any("[2]" in text for text in row.values())
    }
    assert marked == {"ResNet110v1", "ResNet164v1", "ResNet110v2", "ResNet1001v2"}


def test_a_device_name_cannot_break_the_table(published: list[Quoted]) -> None:
    built = build(published, LISTED, model={"device": make_device("A | B\nC")})
    assert "| A \\| B C |" in tables.page(built).replace("  ", "")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4567, "0.46"), (9.876, "9.88"), (15.26, "15.3"), (1234.5, "1234")]
)
def test_seconds_have_three_digits_or_all_before_the_point(
    published: list[Quoted], seconds: float, text: str
) -> None:
    built = build(published, LISTED, ResNet32v1={"seconds": seconds})
    assert cell(built, "ResNet v1", "ResNet32v1", "s/epoch") == text


def test_the_number_of_parameters_is_that_of_the_results(published: list[Quoted]) -> None:
    run = make_run("ResNet32v1", parameters=make_parameters(V1), parameter_count=470218)
    built = tables.build(LISTED, {"ResNet32v1": results_of([run])}, published)
    assert cell(built, "ResNet v1", "ResNet32v1", "Parameters") == "470,218"
