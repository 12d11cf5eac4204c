"""The report stage: the page and the plots' data, from files as evaluate writes them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from resnet import params
from resnet.errors import BenchmarkError
from resnet.results.store import Store
from resnet.variant import Network
from scripts.checkout import copy_checkout, environment
from stages import report as report_stage
from tests.support.checkout import ROOT
from tests.support.results import (
    MODEL,
    PUBLISHED_CSV,
    make_results,
    report,
    table_rows,
    write_results,
)

LISTED = {"model": MODEL, "ResNet32v1": Network(version=1, n=5)}
THREE_SEEDS = "91.50 ± 0.21 (3 seeds)"


def test_page_and_terminal_agree_and_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    write_results(tmp_path, make_results())
    page = tmp_path / "README.md"
    text = report(LISTED, tmp_path)
    first = page.read_bytes()
    assert report(LISTED, tmp_path) == text
    assert page.read_bytes() == first
    lines = first.decode().splitlines()
    assert lines[0].startswith("# ")
    assert "rendered by `dvc repro report`" in lines[2]
    assert THREE_SEEDS in first.decode()
    assert THREE_SEEDS in text
    assert {path.name for path in tmp_path.iterdir()} == {
        "README.md",
        "pictures",
        "plots",
        "predictions",
        "provenance",
        "published.csv",
        "results.csv",
        "runs",
    }


def test_no_runs_folder_means_that_nothing_is_trained(tmp_path: Path) -> None:
    text = report(LISTED, tmp_path)
    assert text.count("No result with these networks and this recipe yet.") == 4


def test_tables_without_a_result_follow_the_others(tmp_path: Path) -> None:
    write_results(tmp_path, make_results("ResNet56v2", network=Network(version=2, n=6)))
    report(LISTED, tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    empty = ["ResNet v1", *(f"ResNet {each}, the paper's form and recipe" for each in ("v1", "v2"))]
    assert titles[0] == "ResNet v2"
    start = titles.index("ResNet v1")
    assert titles[start : start + 4] == [*empty, "Learning curves"]


def test_nothing_trained_gives_plots_with_only_a_header(tmp_path: Path) -> None:
    report(LISTED, tmp_path)
    lines = {
        path.stem: path.read_text().splitlines() for path in (tmp_path / "plots" / "all").iterdir()
    }
    assert {name: len(found) for name, found in lines.items()} == {
        "rates": 1,
        "not_comparable": 1,
        "speed": 15,  # the published results
        "confusion": 1,
    }


def test_published_results_need_no_time_and_there_need_be_none(tmp_path: Path) -> None:
    """`metrics/published.csv` is the one file there that is edited by hand."""
    write_results(tmp_path, make_results())
    header, first = PUBLISHED_CSV.read_text(encoding="utf-8").splitlines()[:2]
    assert ",1,35," in first
    for row in (first.replace(",1,35,", ",1,-,"), ""):
        (tmp_path / "published.csv").write_text(f"{header}\n{row}\n", encoding="utf-8")
        report_stage.report(LISTED, Store(tmp_path), lambda _name, _results: False)
        speed = (tmp_path / "plots" / "all" / "speed.csv").read_text(encoding="utf-8")
        assert ('ResNet20v1,"the original' in speed) == bool(row)
        page = (tmp_path / "README.md").read_text(encoding="utf-8")
        title = "ResNet v1" if row else "Further variants"
        found = table_rows(page, title)[0]
        assert THREE_SEEDS in found["Accuracy %"]
        assert found.get("Original, s/epoch, GTX 1080 Ti") == ("–" if row else None)


def test_results_of_variants_that_are_not_listed_are_shown_after_the_others(
    tmp_path: Path,
) -> None:
    for name in ("model", "ResNet44v1", "ResNet20v1-sgd"):
        network = Network(version=1, n=7 if name == "ResNet44v1" else 3)
        write_results(tmp_path, make_results(name, network=network))
    (tmp_path / "runs" / ".half.json").write_text("{")
    report(LISTED, tmp_path)
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    (further,) = table_rows(page, "Further variants")
    assert (further["Variant"], further["Accuracy %"]) == ("ResNet20v1-sgd", THREE_SEEDS)
    rows = {row["Model"]: row["Accuracy %"] for row in table_rows(page, "ResNet v1")}
    assert rows["ResNet44v1"] == rows["ResNet20v1 (model)"] == THREE_SEEDS


def test_stale_results_are_marked_and_shown_in_the_row_of_their_own_network(
    tmp_path: Path,
) -> None:
    write_results(tmp_path, make_results(network=Network(version=1, n=9)))
    write_results(tmp_path, make_results("ResNet32v1", network=Network(version=1, n=5)))
    report(LISTED, tmp_path, lambda name, _results: name == "model")
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    rows = {row["Model"]: row["Accuracy %"] for row in table_rows(page, "ResNet v1")}
    assert rows["ResNet56v1 (model)"] == f"{THREE_SEEDS} §"
    assert rows["ResNet32v1"] == THREE_SEEDS
    assert rows["ResNet20v1"] == "–"
    for title in ("ResNet v1", "Likelihood and calibration", "Accuracy by class, %"):
        assert "\n§ Stale: " in page.split(f"## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(
    "path", ["runs/model.json", "provenance/model.json", "plots/history/model/seed0.csv"]
)
def test_a_damaged_file_is_one_line_and_leaves_the_page(tmp_path: Path, path: str) -> None:
    write_results(tmp_path, make_results())
    text = (tmp_path / path).read_text(encoding="utf-8")
    (tmp_path / path).write_text(text[: len(text) * 2 // 3], encoding="utf-8")
    page = tmp_path / "README.md"
    page.write_text("as before")
    with pytest.raises(BenchmarkError) as caught:
        report(LISTED, tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / path}")
    assert "\n" not in str(caught.value)
    assert page.read_text() == "as before"
    assert not (tmp_path / "plots" / "all").exists()
    assert not (tmp_path / "pictures").exists()
    assert not (tmp_path / "results.csv").exists()


def test_the_page_shows_every_picture_and_no_other(tmp_path: Path) -> None:
    write_results(tmp_path, make_results())
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "of-a-variant-that-was-removed.svg").write_text("<svg/>")
    report(LISTED, tmp_path)
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[.*?\]\(pictures/(.*?)\)", page)
    assert sorted(shown) == sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert set(shown) == {
        "learning-curves-model.svg",
        "learning-rate.svg",
        "accuracy-and-time.svg",
        "confusion.svg",
    }


def test_the_stage_runs_as_a_command(tmp_path: Path) -> None:
    copy_checkout(tmp_path, {})
    network = params.load(ROOT / "params.yaml").variants["model"].network
    write_results(tmp_path / "metrics", make_results(network=network))
    done = subprocess.run(
        [sys.executable, "-m", "stages.report"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    expected = "written to metrics/README.md, with further scores, plots and notes"
    assert done.stdout.splitlines()[-1] == expected
    page = (tmp_path / "metrics" / "README.md").read_text(encoding="utf-8")
    assert f"{THREE_SEEDS} §" in page  # the record names other code
