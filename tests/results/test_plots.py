"""The pictures: what they show, and DVC's plots of it as SVG and as a page that needs no network."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest

from resnet.errors import BenchmarkError
from resnet.params import Network
from resnet.results import plots
from resnet.results.metrics import Metrics
from scripts.demo import copy_checkout, environment
from stages.report import read_published
from tests.results.test_review import git, write
from tests.stages.test_report import PUBLISHED, made, report
from tests.stages.test_report import write as write_metrics

NETWORKS = {
    "model": Network(version=1, n=3),
    "ResNet32v1": Network(version=1, n=5),
    "ResNet56v2": Network(version=2, n=6),
}


def metrics(**changed: dict[str, Any]) -> dict[str, Metrics]:
    return {
        name: Metrics.model_validate(made(NETWORKS[name], **changes))
        for name, changes in changed.items()
    }


def history(*accuracies: float, rate: float = 1e-3, **columns: list[float]) -> pd.DataFrame:
    epochs = range(len(accuracies))
    return pd.DataFrame(
        {
            "epoch": epochs,
            "learning_rate": rate,
            "loss": 0.5,
            "accuracy": accuracies,
            **columns,
            "seconds": 15.0,
        }
    )


def test_curves_are_the_mean_and_range_of_the_seeds_of_one_version() -> None:
    histories = {
        "model": [history(0.5, 0.8), history(0.6, 0.9)],
        "ResNet32v1": [history(0.4, 0.7, val_accuracy=[0.3, 0.6])],
        "ResNet56v2": [history(0.1)],
    }
    figures = metrics(
        model={"runs": 2}, ResNet32v1={"runs": 1, "data": "synthetic"}, ResNet56v2={"runs": 1}
    )
    drawn = plots.curves(1, NETWORKS, figures, histories)
    assert tuple(drawn.columns) == plots.CURVES
    assert drawn.to_numpy().tolist() == [
        ["ResNet20v1 (model)", "training, augmented", 0, 55.0, 50.0, 60.0],
        ["ResNet20v1 (model)", "training, augmented", 1, 85.0, 80.0, 90.0],
        ["ResNet32v1, synthetic", "training, augmented", 0, 40.0, 40.0, 40.0],
        ["ResNet32v1, synthetic", "training, augmented", 1, 70.0, 70.0, 70.0],
        ["ResNet32v1, synthetic", "held out", 0, 30.0, 30.0, 30.0],
        ["ResNet32v1, synthetic", "held out", 1, 60.0, 60.0, 60.0],
    ]
    assert plots.curves(2, NETWORKS, figures, histories)["variant"].tolist() == ["ResNet56v2"]
    assert plots.curves(2, NETWORKS, {}, {}).empty


def test_variants_with_the_same_rates_share_a_line() -> None:
    histories = {
        "model": [history(0.5, 0.8)] * 2,
        "ResNet32v1": [history(0.4, 0.7)],
        "ResNet56v2": [history(0.1, 0.2, rate=0.1)],
    }
    drawn = plots.rates(
        NETWORKS,
        metrics(model={"runs": 2}, ResNet32v1={"runs": 1}, ResNet56v2={"runs": 1}),
        histories,
    )
    assert drawn.to_numpy().tolist() == [
        ["ResNet20v1 (model), ResNet32v1", 0, 1e-3],
        ["ResNet20v1 (model), ResNet32v1", 1, 1e-3],
        ["ResNet56v2", 0, 0.1],
        ["ResNet56v2", 1, 0.1],
    ]


def test_seeds_whose_rates_differ_have_a_line_each() -> None:
    histories = {"model": [history(0.5, 0.8), history(0.5, 0.8, rate=0.1), history(0.5, 0.8)]}
    drawn = plots.rates(NETWORKS, metrics(model={}), histories)
    assert drawn["variants"].unique().tolist() == [
        "ResNet20v1 (model), seed 0 and 2",
        "ResNet20v1 (model), seed 1",
    ]
    assert not drawn.duplicated(["variants", "epoch"]).any()


@pytest.mark.parametrize(
    ("name", "network", "shown"),
    [
        ("model", Network(version=1, n=3), "ResNet20v1 (model)"),
        ("ResNet20v1-short", Network(version=1, n=3), "ResNet20v1-short"),
        ("ResNet164v2", Network(version=2, n=18, width="paper"), "ResNet164v2 (paper's width)"),
        ("model", Network(version=2, n=18, width="paper"), "ResNet164v2 (paper's width) (model)"),
    ],
)
def test_labels(name: str, network: Network, shown: str) -> None:
    assert plots.label(name, network, Metrics.model_validate(made(network))) == shown


def test_each_figure_stands_in_one_picture_and_every_published_one_beside_the_full_runs() -> None:
    figures = metrics(model={}, ResNet32v1={"epochs": 12}, ResNet56v2={"data": "synthetic"})
    drawn = plots.speed(NETWORKS, figures, read_published(PUBLISHED))
    assert drawn.iloc[0].to_dict() == {
        "network": "ResNet20v1 (model)",
        "origin": "this benchmark, recipe original",
        "accuracy": 91.5,
        "low": 91.29,
        "high": 91.71,
        "seconds_per_epoch": 15.26,
        "device": "NVIDIA H100 80GB HBM3",
    }
    published = drawn.iloc[1:]
    original = published[published["origin"] == plots.ORIGINAL]
    assert original[["network", "accuracy", "seconds_per_epoch"]].to_numpy().tolist() == [
        ["ResNet20v1", "92.16", "35"],
        ["ResNet32v1", "92.46", "50"],
        ["ResNet44v1", "92.50", "70"],
        ["ResNet56v1", "92.71", "90"],
        ["ResNet110v1", "92.65", "165"],
        ["ResNet56v2", "93.01", "100"],
        ["ResNet110v2", "93.15", "180"],
    ]
    papers = published[published["origin"] == plots.PAPER]
    assert dict(zip(papers["network"], papers["accuracy"], strict=True))["ResNet110v1"] == "93.39"
    assert len(papers) == 10
    assert papers["seconds_per_epoch"].isna().all()
    apart = plots.apart(NETWORKS, figures)
    assert apart[["variant", "group"]].to_numpy().tolist() == [
        ["ResNet32v1", "short: 12 of 200 epochs"],
        ["ResNet56v2, synthetic", "synthetic images, not CIFAR-10"],
    ]


def test_nothing_trained_is_files_with_a_header_alone(tmp_path: Path) -> None:
    report(NETWORKS, tmp_path)
    lines = {
        path.stem: path.read_text().splitlines() for path in (tmp_path / "plots" / "all").iterdir()
    }
    assert {name: len(found) for name, found in lines.items()} == {
        "v1": 1,
        "v2": 1,
        "rates": 1,
        "apart": 1,
        "speed": 18,
        "confusion": 1,
    }


ROW = "0,0.001,0.5,0.5,15.0\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: must be epoch,learning_rate,loss,accuracy,val_loss,val_accuracy,seconds"),
        (
            f"epoch,learning_rate,loss,accuracy,seconds\n{ROW}<<<<<<< HEAD\n",
            "line 3: must be epoch 1 and 4 numbers, is '<<<<<<< HEAD'",
        ),
        (
            f"epoch,learning_rate,loss,accuracy,seconds\n{ROW}",
            "must have a whole line for each of 2 epochs, has 1",
        ),
    ],
)
def test_a_broken_history_is_one_line_and_leaves_the_page(
    tmp_path: Path, text: str, said: str
) -> None:
    folder = tmp_path / "plots" / "history" / "model"
    folder.mkdir(parents=True)
    (folder / "seed0.csv").write_text(text)
    write_metrics(tmp_path / "runs", "model", made(NETWORKS["model"], 1, epochs=2))
    with pytest.raises(BenchmarkError) as caught:
        report(NETWORKS, tmp_path)
    assert str(caught.value).startswith(f"{folder / 'seed0.csv'}")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "history",
        "model",
        "model.json",
        "plots",
        "published.csv",
        "runs",
        "seed0.csv",
    ]


def test_the_confusion_is_that_of_the_first_variant_with_figures(tmp_path: Path) -> None:
    folder = tmp_path / "plots" / "confusion"
    folder.mkdir(parents=True)
    for name in ("ResNet32v1", "ResNet56v2"):
        write_metrics(tmp_path / "runs", name, made(NETWORKS[name]))
        (folder / f"{name}.csv").write_text(
            f"actual,predicted,images\ncat,cat,{len(name)}\ncat,dog,1\n"
        )
    report(NETWORKS, tmp_path)
    drawn = (tmp_path / "plots" / "all" / "confusion.csv").read_text()
    assert drawn == "variant,actual,predicted,images\nResNet32v1,cat,cat,10\nResNet32v1,cat,dog,1\n"
    (folder / "ResNet32v1.csv").write_text("actual,predicted,images\ncat,cat,5\ncat,dog,<<<\n")
    with pytest.raises(
        BenchmarkError, match=r"ResNet32v1\.csv, line 3: images is '<<<': must be a count"
    ):
        report(NETWORKS, tmp_path)


# --- under a real dvc


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with made results of two variants, on main and, others, in the workspace."""
    checkout = tmp_path_factory.mktemp("pictures") / "a checkout"
    copy_checkout(checkout, {"variants": ["model", "ResNet56v2"]})
    for branch, shift in (("main", 0.0), ("change", 0.05)):
        git(checkout, "checkout", "--quiet", "-b", branch)
        for name, network in (("model", "ResNet20v1"), ("ResNet56v2", "ResNet56v2")):
            write(
                checkout,
                name,
                1,
                [0.9 + shift, 0.91 + shift],
                network=network,
                epochs=3,
                recipe_epochs=3,
            )
            folder = checkout / "metrics" / "plots" / "history" / name
            folder.mkdir(parents=True, exist_ok=True)
            for seed in (0, 1):
                history(0.5 + shift, 0.6, 0.7).to_csv(folder / f"seed{seed}.csv", index=False)
            confusion = checkout / "metrics" / "plots" / "confusion" / f"{name}.csv"
            confusion.parent.mkdir(exist_ok=True)
            confusion.write_text(
                "actual,predicted,images\ncat,cat,90\ncat,dog,10\ndog,cat,5\ndog,dog,95\n"
            )
        command(checkout, "-m", "stages.report")
        git(checkout, "add", ".")
        git(checkout, "commit", "--quiet", "-m", branch)
    return checkout


def command(checkout: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=checkout,
        env=environment(checkout),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def texts(path: Path) -> list[str]:
    """What is written in an SVG file."""
    return [
        element.text
        for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")
        if element.text
    ]


def test_svg_of_the_workspace_and_of_two_commits(drawn: Path) -> None:
    command(drawn, "-m", "scripts.plots")
    pages = {path.stem: texts(path) for path in (drawn / "metrics" / "pictures").iterdir()}
    assert set(pages) == {
        "learning-curves-v1",
        "learning-curves-v2",
        "learning-rate",
        "accuracy-and-time",
        "confusion",  # and no picture of short runs: there are none
    }
    assert "ResNet20v1 (model)" in pages["learning-curves-v1"]
    assert "ResNet56v2" not in pages["learning-curves-v1"]
    assert {
        "20v1 (model)",
        "56v2",
        "110v1",
        "this benchmark, recipe original",
        plots.ORIGINAL,
    } <= set(pages["accuracy-and-time"])
    assert {"cat", "dog", "90", "95"} <= set(pages["confusion"])
    command(drawn, "-m", "scripts.plots", "--out", "both", "main", "change")
    for path in (drawn / "both").iterdir():
        assert {"main", "change"} <= {text.split(": ")[0] for text in texts(path)}, path


def test_a_folder_with_anything_else_in_it_is_left_alone(drawn: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.plots", "--out", "tests"],
        cwd=drawn,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("plots: tests holds ")
    assert (drawn / "tests" / "conftest.py").exists()


def test_the_page_needs_no_network(drawn: Path) -> None:
    command(drawn, "-m", "dvc", "plots", "diff", "main", "change")
    page = (drawn / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    local, links, rest = re.split(r"<template.*?>(.*?)</template>", page, flags=re.DOTALL)
    assert (
        links.count("<script src=") == 3
    )  # DVC's own, which a browser loads only where the local file is missing
    assert re.findall(r'src="(.*?)"', local) == ["../.venv/vega.js"]
    assert "src=" not in rest
    specifications = [json.loads(text) for text in re.findall(r"var spec = (.*);\n", rest)]
    assert (
        len([each for each in specifications if each]) == 5
    )  # nothing of short runs: there are none
    command(drawn, "-m", "scripts.plots", "--scripts", ".venv/vega.js")
    scripts = (drawn / ".venv" / "vega.js").read_text(encoding="utf-8")
    assert all(f"window.{name}=" in scripts for name in ("vega", "vegaLite", "vegaEmbed"))
