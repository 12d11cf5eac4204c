"""DVC's plots as SVG files and as a page that needs no network, under a real dvc."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from resnet.results import plots
from resnet.variant import Network
from scripts.checkout import copy_checkout, environment
from tests.support.checkout import commit, git
from tests.support.connections import heard, listening
from tests.support.github import load
from tests.support.results import make_results, write_results

NETWORKS = {"model": Network(version=1, n=3), "ResNet56v2": Network(version=2, n=6)}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with results of two variants, on the branches `main` and `change`."""
    checkout = tmp_path_factory.mktemp("plots") / "a checkout"  # with a space
    copy_checkout(checkout, {"variants": list(NETWORKS)})
    for branch, accuracy in (("main", 90.0), ("change", 95.0)):
        git(checkout, "checkout", "--quiet", "-b", branch)
        for name, network in NETWORKS.items():
            results = make_results(name, network=network, seeds=2, accuracy=accuracy)
            write_results(checkout / "metrics", results)
        command(checkout, "-m", "stages.report")
        commit(checkout, branch)
    return checkout


def command(checkout: Path, *arguments: str, more: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=checkout,
        env={**environment(checkout), **(more or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def texts(path: Path) -> list[str]:
    """The texts in an SVG file."""
    found = ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")
    return [element.text for element in found if element.text]


INTERRUPTED = """
import queue, time
is_empty = queue.Queue.empty

def interrupted(self):
    found = is_empty(self)
    time.sleep(0.1 if found else 0)  # a writer continues meanwhile
    return found

queue.Queue.empty = interrupted
"""


def test_dvc_reads_the_files_of_commits_in_full(drawn: Path, tmp_path: Path) -> None:
    """As tests/scripts/test_repository.py does it; the dvc that draws is a process of its own."""
    sides, pages = ("main", "change"), []
    for name, code in (("undisturbed", ""), ("interrupted", INTERRUPTED)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
        options = ("--out", str(folder / "svg"), *sides)
        command(drawn, "-m", "scripts.plots", *options, more={"PYTHONPATH": str(folder)})
        pages.append({path.name: texts(path) for path in (folder / "svg").iterdir()})
    assert pages[0]
    assert pages[0] == pages[1]


def test_svg_of_the_workspace_and_of_two_commits(drawn: Path, tmp_path: Path) -> None:
    """Without a network."""
    for module in ("stages.report", "scripts.plots"):
        command(drawn, "-m", module, more=listening(tmp_path))
    assert {event.kind for event in heard(tmp_path)} == {"starts"}
    folder = drawn / "metrics" / "pictures"
    pages = {path.stem: texts(path) for path in folder.iterdir()}
    assert set(pages) == {
        "learning-curves-model",
        "learning-curves-ResNet56v2",
        "learning-rate",
        "accuracy-and-time",
        "confusion",  # and none of short runs: there are none
    }
    assert "ResNet20v1 (model)" in pages["learning-curves-model"]
    assert "held-out images" not in pages["learning-curves-model"]
    ours = "this benchmark, recipe original"
    expected = {"20v1 (model)", "56v2", "110v1", ours, plots.ORIGINAL}
    assert expected <= set(pages["accuracy-and-time"])
    assert {"cat", "dog", "5.0", "95.0"} <= set(pages["confusion"])


def test_the_review_of_a_pull_request_draws_both_sides(drawn: Path) -> None:
    """By the command of the workflow, in which a failure would not be seen."""
    git(drawn, "branch", "--force", "base", "main")
    steps = load("review")["jobs"]["review"]["steps"]
    (run,) = [step["run"] for step in steps if "scripts.plots" in step.get("run", "")]
    program, *arguments = run.split()
    assert program == ".venv/bin/python"
    command(drawn, *arguments)
    paths = list((drawn / "review" / "plots").iterdir())
    assert len(paths) == 5
    for path in paths:
        assert {"base", "change"} <= {text.split(": ")[0] for text in texts(path)}, path


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfea,b\n1,2\n", "metrics/plots/all/rates.csv: unable to read"),
        (b"other,columns\n1,2\n", "learning rate: Could not find provided field ('epoch')"),
    ],
)
def test_a_file_that_cannot_be_drawn_leaves_the_pictures(
    drawn: Path, tmp_path: Path, content: bytes, reason: str
) -> None:
    checkout = Path(shutil.copytree(drawn, tmp_path / "checkout", symlinks=True))
    command(checkout, "-m", "scripts.plots")
    folder = checkout / "dvc_plots" / "svg"
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert len(before) == 5
    (checkout / "metrics/plots/all/rates.csv").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "scripts.plots"],
        cwd=checkout,
        env=environment(checkout),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert reason in done.stderr
    assert done.stderr.startswith("plots: ")
    assert done.stderr.count("\n") == 1
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(("folder", "left"), [("figures", 2), ("dvc_plots/svg", 1)])
def test_no_file_of_the_users_is_removed(
    drawn: Path, tmp_path: Path, folder: str, left: int
) -> None:
    """From the folder of the plots, those that are no longer drawn are."""
    checkout = Path(shutil.copytree(drawn, tmp_path / "checkout", symlinks=True))
    (checkout / folder).mkdir(parents=True, exist_ok=True)
    for name in ("notes.txt", "by-hand.svg", "learning-rate.svg"):
        (checkout / folder / name).write_text("mine")
    printed = command(checkout, "-m", "scripts.plots", "--out", folder).split()
    assert len(printed) == 5
    found = {str(path.relative_to(checkout)): path for path in (checkout / folder).iterdir()}
    others = sorted(found.keys() - set(printed))
    assert others == [f"{folder}/{name}" for name in ("by-hand.svg", "notes.txt")][-left:]
    assert "learning rate" in " ".join(texts(found[f"{folder}/learning-rate.svg"]))


def test_the_pictures_are_what_dvc_shows(drawn: Path) -> None:
    """DVC's own specification of each plot, without what it adds to every row."""
    printed = json.loads(command(drawn, "-m", "dvc", "plots", "show", "--json"))
    assert "errors" not in printed
    shown = {name: plot[0]["content"] for name, plot in printed["data"].items() if plot}
    code = (
        "import csv, json; from pathlib import Path; from resnet.results import pictures\n"
        "paths = {path: None for path in Path('metrics/plots/all').rglob('*.csv')}\n"
        "rows = lambda path: list(csv.DictReader(path.open(newline='')))\n"
        "print(json.dumps({plot.name: pictures.specification(plot, rows(plot.path))"
        " for plot in pictures.plots(paths) if rows(plot.path)}))"
    )
    ours = json.loads(command(drawn, "-c", code))
    for specification in shown.values():
        for row in specification["data"]["values"]:
            for added in ("rev", "filename", "field"):
                del row[added]
    assert ours == shown


def test_the_page_needs_no_network(drawn: Path) -> None:
    command(drawn, "-m", "dvc", "plots", "diff", "main", "change")
    page = (drawn / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    local, links, rest = re.split(r"<template.*?>(.*?)</template>", page, flags=re.DOTALL)
    # DVC's own links, which a browser loads only where the local file is missing.
    assert links.count("<script src=") == 3
    assert re.findall(r'src="(.*?)"', local) == ["../.venv/vega.js"]
    assert "src=" not in rest
    specifications = [json.loads(text) for text in re.findall(r"var spec = (.*);\n", rest)]
    assert len([each for each in specifications if each]) == 5  # none of short runs
    command(drawn, "-m", "scripts.plots", "--scripts", ".venv/vega.js")
    scripts = (drawn / ".venv" / "vega.js").read_text(encoding="utf-8")
    assert all(f"window.{name}=" in scripts for name in ("vega", "vegaLite", "vegaEmbed"))
