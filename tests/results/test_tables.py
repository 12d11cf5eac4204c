import random
from typing import Any

import pandas as pd
import pytest

from resnet.params import Network
from resnet.results import tables
from resnet.results.metrics import Metrics
from resnet.results.tables import Table
from stages.report import read_published
from tests.stages.test_report import PUBLISHED, made

# The original's two tables, typed from them: n, its accuracy, its seconds an epoch, the paper's accuracy.
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
PAPERS = ("ResNet v1, the paper's recipe", "ResNet v2, the paper's width and recipe")
LISTED = {
    "model": Network(version=1, n=3),
    "ResNet32v1": Network(version=1, n=5),
    "ResNet56v1": Network(version=1, n=9),
    "ResNet56v2": Network(version=2, n=6),
}


def parsed(page: str) -> dict[str, list[dict[str, str]]]:
    """The Markdown tables of a page, read back: title to rows, each row column to cell."""
    found: dict[str, list[dict[str, str]]] = {}
    for section in page.split("\n## ")[1:]:
        lines = [line for line in section.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
        if cells:
            found[section.splitlines()[0]] = [
                dict(zip(cells[0], row, strict=True)) for row in cells[2:]
            ]
    return found


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    return read_published(PUBLISHED)


def build(
    published: pd.DataFrame, networks: dict[str, Network], **changed: dict[str, Any]
) -> list[Table]:
    """The tables where the variants in `changed` have metrics, with these changes; `model` and names as keys."""
    metrics = {
        name: Metrics.model_validate(made(networks[name], **changes))
        for name, changes in changed.items()
    }
    return tables.build(networks, metrics, published)


def rows(built: list[Table]) -> dict[str, list[dict[str, str]]]:
    return parsed(tables.markdown(built, ""))


def cell(built: list[Table], title: str, key: str, column: str) -> str:
    return next(row[column] for row in rows(built)[title] if key in list(row.values())[:2])


def test_published_figures_are_the_originals(published: pd.DataFrame) -> None:
    columns = ["n", "original_accuracy", "original_seconds_per_epoch", "paper_accuracy"]
    assert {
        row["network"]: tuple(row[column] for column in columns)
        for row in published.to_dict("records")
    } == ORIGINAL
    for row in published.to_dict("records"):
        assert row["network"].endswith(f"v{row['version']}")
        if row["n"] != "NA":
            network = Network.model_validate({"version": int(row["version"]), "n": int(row["n"])})
            assert network.name == row["network"]
        assert ("arXiv" in row["source"]) == (row["paper_accuracy"] not in ("-", "NA"))
        assert ("original: its table" in row["source"]) == (
            row["original_accuracy"] not in ("-", "NA")
        )


def test_every_network_of_the_original_has_its_row_where_nothing_is_trained(
    published: pd.DataFrame,
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
    figures = {
        row["Model"]: next(text for column, text in row.items() if column.startswith("Paper,"))
        for row in papers
    }
    assert {name: figure.removesuffix(" [2]") for name, figure in figures.items()} == {
        name: paper for name, (_, _, _, paper) in ORIGINAL.items() if paper not in ("-", "NA")
    }
    assert {row["Model"] for row in papers if row["Accuracy %"] == "NA"} == {
        "ResNet1001v1",
        "ResNet164v1",
        "ResNet110v2",
    }


def test_model_fills_its_networks_row(published: pd.DataFrame) -> None:
    built = build(published, LISTED, model={})
    assert rows(built)["ResNet v1"][0] == {
        "Model": "ResNet20v1 (model)",
        "n": "3",
        "Accuracy %": "91.50 ± 0.21 (n=3)",
        "Original, 200 epochs, % [3–8]": "92.16",
        "s/epoch": "15.3",
        "Original, s/epoch, GTX 1080 Ti": "35",
        "Device": "NVIDIA H100 80GB HBM3",
        "Parameters": "274,442",
    }


def test_model_fills_another_networks_row_where_no_listed_section_does(
    published: pd.DataFrame,
) -> None:
    built = build(published, {"model": Network(version=1, n=9)}, model={})
    assert cell(built, "ResNet v1", "ResNet56v1 (model)", "Accuracy %") == "91.50 ± 0.21 (n=3)"
    assert "Further variants" not in rows(built)


@pytest.mark.parametrize(
    "network",
    [Network(version=1, n=9), Network(version=1, n=4)],
    ids=["already listed", "not the original's"],
)
def test_model_stands_above_where_it_has_no_row_of_its_own(
    published: pd.DataFrame, network: Network
) -> None:
    built = build(
        published,
        {**LISTED, "model": network},
        model={"accuracy": 91.0},
        ResNet56v1={"accuracy": 92.0},
    )
    assert next(iter(rows(built))) == "Further variants"
    assert cell(built, "Further variants", "model", "Network") == network.name
    assert cell(built, "Further variants", "model", "Accuracy %") == "91.00 ± 0.21 (n=3)"
    assert cell(built, "ResNet v1", "ResNet56v1", "Accuracy %") == "92.00 ± 0.21 (n=3)"


@pytest.mark.parametrize(
    ("name", "network", "recipe", "title", "model"),
    [
        ("ResNet32v1", LISTED["ResNet32v1"], "original", "ResNet v1", "ResNet32v1"),
        ("ResNet32v1", LISTED["ResNet32v1"], "paper", PAPERS[0], "ResNet32v1"),
        (
            "ResNet32v1",
            LISTED["ResNet32v1"],
            "original with batch_size 128",
            "Further variants",
            "ResNet32v1",
        ),
        ("model", LISTED["model"], "paper", PAPERS[0], "ResNet20v1 (model)"),
        (
            "ResNet32v1-paper",
            LISTED["ResNet32v1"],
            "paper",
            PAPERS[0],
            "ResNet32v1 (ResNet32v1-paper)",
        ),
        ("ResNet56v2", LISTED["ResNet56v2"], "paper", "Further variants", "ResNet56v2"),
        ("ResNet164v2", Network(version=2, n=18), "original", "ResNet v2", "ResNet164v2"),
        ("ResNet164v2", Network(version=2, n=18), "paper", "Further variants", "ResNet164v2"),
        ("ResNet164v2", Network(version=2, n=18, width="paper"), "paper", PAPERS[1], "ResNet164v2"),
        (
            "ResNet164v2",
            Network(version=2, n=18, width="paper"),
            "original",
            "Further variants",
            "ResNet164v2",
        ),
        (
            "ResNet110v2",
            Network(version=2, n=12, width="paper"),
            "paper",
            "Further variants",
            "ResNet110v2",
        ),
        ("ResNet164v1", Network(version=1, n=27), "paper", "Further variants", "ResNet164v1"),
    ],
)
def test_a_figure_stands_beside_its_network_and_recipe_alone(
    published: pd.DataFrame, name: str, network: Network, recipe: str, title: str, model: str
) -> None:
    networks = {**LISTED, name: network}
    built = build(published, networks, **{name: {"recipe": recipe}})
    found = {
        (where, next(iter(row.values())))
        for where, table in rows(built).items()
        for row in table
        if row["Accuracy %"].startswith("9")
    }
    assert found == {(title, model)}
    assert (
        f"recipe {recipe}, 200 epochs"
        in next(table for table in built if table.title == title).below[0]
    )


def test_suffixed_sections_stand_above_trained_or_not(published: pd.DataFrame) -> None:
    networks = {
        **LISTED,
        "ResNet20v1-sgd": Network(version=1, n=3),
        "ResNet44v1-sgd": Network(version=1, n=7),
    }
    built = build(published, networks, **{"ResNet20v1-sgd": {}})
    assert cell(built, "Further variants", "ResNet20v1-sgd", "Accuracy %") == "91.50 ± 0.21 (n=3)"
    assert cell(built, "Further variants", "ResNet44v1-sgd", "Accuracy %") == "–"
    assert cell(built, "ResNet v1", "ResNet44v1", "Accuracy %") == "–"


def test_short_runs_stand_apart_with_their_epochs(published: pd.DataFrame) -> None:
    built = build(published, LISTED, model={"epochs": 12}, ResNet32v1={})
    assert cell(built, "Short runs", "model", "Epochs") == "12 of 200"
    assert cell(built, "ResNet v1", "ResNet20v1", "Accuracy %") == "–"
    assert cell(built, "ResNet v1", "ResNet32v1", "Accuracy %") == "91.50 ± 0.21 (n=3)"


def test_a_short_section_leaves_its_row_to_a_full_model(published: pd.DataFrame) -> None:
    networks = {"model": LISTED["model"], "ResNet20v1": LISTED["model"]}
    built = build(published, networks, model={"accuracy": 91.0}, ResNet20v1={"epochs": 12})
    assert cell(built, "ResNet v1", "ResNet20v1 (model)", "Accuracy %") == "91.00 ± 0.21 (n=3)"
    assert cell(built, "Short runs", "ResNet20v1", "Epochs") == "12 of 200"


@pytest.mark.parametrize(("recipe", "epochs"), [("original", 200), ("paper", 164)])
def test_longer_than_the_recipe_is_another_recipe(
    published: pd.DataFrame, recipe: str, epochs: int
) -> None:
    built = build(
        published, LISTED, ResNet32v1={"recipe": recipe, "recipe_epochs": epochs, "epochs": 400}
    )
    assert cell(built, "Further variants", "ResNet32v1", "Accuracy %") == "91.50 ± 0.21 (n=3)"
    assert f"recipe {recipe}, 400 epochs" in built[0].below[0]
    assert not any(
        "91.50" in cell
        for title, table in rows(built).items()
        if title != "Further variants"
        for row in table
        for cell in row.values()
    )


def test_seeds_trained_in_two_places_say_both(published: pd.DataFrame) -> None:
    versions = {"keras": "3.15.1", "tensorflow": "2.21.0", "jax": "0.10.2"}
    built = build(
        published,
        LISTED,
        model={
            "backend": "tensorflow and jax",
            "float32_products": "tf32 and float32",
            "versions": versions,
        },
    )
    (line,) = [line for line in built[0].below if line.startswith("All")]
    assert line.endswith(
        "tensorflow 2.21.0 and jax 0.10.2, Keras 3.15.1, float32 (TF32 and float32 products)."
    )


def test_synthetic_figures_stand_apart_under_a_banner(published: pd.DataFrame) -> None:
    built = build(published, LISTED, model={"data": "synthetic", "epochs": 3}, ResNet32v1={})
    assert cell(built, "Synthetic data", "model", "Epochs") == "3 of 200"
    assert not any(
        column.startswith(("Original", "Paper")) for column in rows(built)["Synthetic data"][0]
    )
    assert cell(built, "ResNet v1", "ResNet20v1", "Accuracy %") == "–"
    assert (
        "**Not CIFAR-10**"
        in tables.markdown(built, "").split("## Synthetic data")[1].splitlines()[2]
    )
    assert "Not CIFAR-10" in tables.plain(built, "").split("Synthetic data\n")[1].splitlines()[0]


def test_mixed_inputs_each_figure_once_in_the_right_table_with_its_n(
    published: pd.DataFrame,
) -> None:
    networks = {
        **LISTED,
        "ResNet20v1-sgd": Network(version=1, n=3),
        "ResNet110v1": Network(version=1, n=18),
        "ResNet1001v2": Network(version=2, n=111),
    }
    for trial in range(30):
        draw = random.Random(trial)
        networks["model"] = Network(version=draw.choice((1, 2)), n=draw.choice((2, 3, 4, 9)))
        changed = {
            name: {
                "accuracy": 50
                + number
                + trial / 100,  # no two alike, so that each can be found again
                "runs": draw.choice((1, 3)),
                "data": draw.choice(("cifar10", "synthetic")),
                "epochs": draw.choice((5, 200)),
                "holdout": draw.choice(("none", "test", "train 0.1")),
                "precision": draw.choice(("float32", "bfloat16")),
            }
            for number, name in enumerate(networks)
            if draw.random() < 0.8
        }
        built = build(published, networks, **changed)
        found = [
            (title, row["Accuracy %"])
            for title, table in rows(built).items()
            for row in table
            if row["Accuracy %"] not in ("–", "NA")
        ]
        expected = set()
        for name, changes in changed.items():
            figure = f"{changes['accuracy']:.2f}" + (
                " (n=1)" if changes["runs"] == 1 else " ± 0.21 (n=3)"
            )
            title = (
                "Synthetic data"
                if changes["data"] == "synthetic"
                else "Short runs"
                if changes["epochs"] == 5
                else f"v{networks[name].version}"
            )
            expected.add((title, figure + (" †" if changes["holdout"] == "test" else "")))
            assert tables.plain(built, "").count(figure) == 1
        suffixed = {(title.removeprefix("ResNet "), figure) for title, figure in found}
        above = {figure for title, figure in found if title == "Further variants"}
        assert {figure for _, figure in found} == {figure for _, figure in expected}
        assert len(found) == len(changed)
        assert {pair for pair in suffixed if pair[1] not in above} == {
            pair for pair in expected if pair[1] not in above
        }
        assert all(title.startswith("v") for title, figure in expected if figure in above)
        assert max(map(len, tables.plain(built, "").splitlines())) <= 140


def test_the_test_set_as_hold_out_is_marked_at_the_figure_and_explained(
    published: pd.DataFrame,
) -> None:
    for changes, title in (
        ({}, "ResNet v1"),
        ({"epochs": 5}, "Short runs"),
        ({"data": "synthetic"}, "Synthetic data"),
    ):
        built = build(published, LISTED, ResNet32v1={"holdout": "test", **changes})
        assert cell(built, title, "ResNet32v1", "Accuracy %") == "91.50 ± 0.21 (n=3) †"
        table = next(table for table in built if table.title == title)
        assert any(
            line.startswith("† The best epoch was chosen on the test set") for line in table.below
        )


def test_what_rows_share_is_one_line_and_what_they_do_not_a_column(published: pd.DataFrame) -> None:
    alike = build(published, LISTED, model={}, ResNet32v1={})[0]
    assert (
        "All measured rows: recipe original, 200 epochs, no hold-out (last epoch), tensorflow 2.21.0, Keras 3.15.1, float32."
        in alike.below
    )
    assert "Setup" not in alike.frame
    built = build(
        published, LISTED, model={}, ResNet32v1={"precision": "bfloat16", "holdout": "train 0.1"}
    )
    assert (
        "All measured rows: recipe original, 200 epochs, tensorflow 2.21.0, Keras 3.15.1."
        in built[0].below
    )
    assert (
        cell(built, "ResNet v1", "ResNet20v1 (model)", "Setup")
        == "no hold-out (last epoch), float32"
    )
    assert (
        cell(built, "ResNet v1", "ResNet32v1", "Setup")
        == "best epoch on a held-out 0.1 of the training set, bfloat16"
    )


def test_every_note_is_referred_to_and_every_mark_has_a_note(published: pd.DataFrame) -> None:
    page = tables.markdown(build(published, LISTED), "")
    body, notes = page.split("## Notes")
    assert all(mark in body for mark in ("[1]", "[2]", "[3–8]", "[9]"))
    assert notes.count("\n") - 2 == 9 == len(tables.NOTES)
    marked = {
        row["Model"]
        for table in rows(build(published, LISTED)).values()
        for row in table
        if any("[2]" in text for text in row.values())
    }
    assert marked == {"ResNet110v1", "ResNet164v1", "ResNet110v2", "ResNet1001v2"}


def test_a_device_name_cannot_break_the_table(published: pd.DataFrame) -> None:
    built = build(published, LISTED, model={"device": "A | B\nC"})
    assert "| A \\| B C |" in tables.markdown(built, "").replace("  ", "")


def test_seconds_have_three_digits_or_all_before_the_point(published: pd.DataFrame) -> None:
    for seconds, text in ((0.4567, "0.46"), (9.876, "9.88"), (15.26, "15.3"), (1234.5, "1234")):
        assert (
            cell(
                build(published, LISTED, ResNet32v1={"seconds_per_epoch": seconds}),
                "ResNet v1",
                "ResNet32v1",
                "s/epoch",
            )
            == text
        )
