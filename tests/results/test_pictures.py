"""The plots of dvc.yaml: names, templates and files. tests/scripts/test_plots.py draws them."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from dvc.schema import COMPILED_MULTI_STAGE_SCHEMA as MULTI_STAGE_SCHEMA

from resnet.errors import BenchmarkError
from resnet.results import pictures
from resnet.results.pictures import Plot
from tests.support.checkout import ROOT
from tests.support.results import MODEL, make_results, report, write_results

ENTRY = {"template": "rates", "x": "epoch", "y": "rate", "title": "Rates"}
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("plot", "name"),
    [
        ("accuracy and time, short or synthetic", "accuracy-and-time-short-or-synthetic"),
        ("metrics/plots/all/learning-curves/model.csv", "learning-curves-model"),
        ("metrics/plots/all/learning-curves/ResNet20v1-sgd.csv", "learning-curves-ResNet20v1-sgd"),
    ],
)
def test_file_names(plot: str, name: str) -> None:
    assert pictures.file_name(plot) == name


def test_the_report_depends_on_every_template() -> None:
    used = {next(iter(plot.values()))["template"] for plot in PIPELINE["plots"]}
    there = {path.stem for path in (ROOT / ".dvc" / "plots").iterdir()}
    deps = {Path(dep).stem for dep in PIPELINE["stages"]["report"]["deps"] if ".dvc/" in dep}
    assert used == there == deps


def test_every_file_of_the_report_is_in_one_plot(tmp_path: Path) -> None:
    write_results(tmp_path, make_results())
    report({"model": MODEL}, tmp_path)
    root = tmp_path / "plots" / "all"
    paths = [Path("metrics/plots/all") / path.relative_to(root) for path in root.rglob("*.csv")]
    drawn = [plot.path for plot in pictures.plots(dict.fromkeys(paths))]
    assert sorted(drawn) == sorted(paths)


def test_the_pictures_in_git_are_those_of_dvc_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    """`dvc repro` draws them again where a number changes, but not for a title in dvc.yaml.

    Their texts are compared: where these are depends on the fonts of a system.
    """
    monkeypatch.chdir(ROOT)
    paths = sorted(Path("metrics/plots/all").rglob("*.csv"))
    drawn = pictures.draw({path: path.read_text(encoding="utf-8") for path in paths})
    there = {path.name: path.read_text("utf-8") for path in Path("metrics/pictures").iterdir()}
    assert {name: texts(svg) for name, svg in drawn.items()} == {
        name: texts(svg) for name, svg in there.items()
    }


def texts(svg: str) -> list[str]:
    found = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(each.itertext()) for each in found]


@pytest.mark.parametrize(
    ("plots", "problem"),
    [
        (None, "plots is None"),
        ([{"all": {"x": "epoch", "y": "rate", "title": "Rates"}}], "plot all: template: missing"),
        ([{"rates": {**ENTRY, "y": {"all/a.csv": ["rate"]}}}], "plot rates: y"),
        ([{"a": {**ENTRY, "y": {"all/a.csv": "rate", "all/b.csv": "rate"}}}], "plot a: y"),
    ],
)
def test_an_entry_of_dvc_yaml_that_cannot_be_drawn_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plots: Any, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {}, "plots": plots}))
    with pytest.raises(BenchmarkError, match=r"^dvc\.yaml: ") as caught:
        pictures.draw({Path("all/a.csv"): "", Path("all/b.csv"): ""})
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "own",
    [
        "own.csv",
        {"own.csv": None},
        {"own.csv": {"x": "epoch", "y": "loss", "x_label": "epochs"}},
        {"own": {"x": "epoch", "y": {"own.csv": ["loss", "accuracy"], "other.csv": "loss"}}},
        {"own": {"x": {"own.csv": "epoch"}, "y": {"own.csv": "loss"}}},
    ],
)
def test_a_users_own_plots_are_left_to_dvc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: Any
) -> None:
    pipeline = {"stages": {}, "plots": [own, {"rates": {**ENTRY, "y": {"all/a.csv": "rate"}}}]}
    MULTI_STAGE_SCHEMA(pipeline)
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text(yaml.safe_dump(pipeline))
    assert [plot.name for plot in pictures.plots({Path("all/a.csv"): ""})] == ["rates"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("plots:\n- rates: {x: epoch, x: step}\n", "line 2, '- rates: {x: epoch, x: step}': a key"),
        ("plots: [", "line 1, 'plots: [': while parsing a flow node"),
        ("a: \0", "unacceptable character"),
    ],
)
def test_a_dvc_yaml_that_is_not_yaml_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text(text)
    with pytest.raises(BenchmarkError, match=r"^dvc\.yaml: not YAML: ") as caught:
        pictures.draw({})
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"mark": ', '"marc": ', ".dvc/plots: plot rates: Vega-Lite to SVG conversion failed: "),
        ('"encoding"', "<<<<<<<", ".dvc/plots/rates.json: plot rates: not JSON: "),
    ],
)
def test_a_template_that_cannot_be_drawn_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".dvc", "plots").mkdir(parents=True)
    template = (ROOT / ".dvc" / "plots" / "rates.json").read_text(encoding="utf-8")
    assert old in template
    Path(".dvc", "plots", "rates.json").write_text(template.replace(old, new))
    entry = {**ENTRY, "y": {"rates.csv": "learning_rate"}}
    Path("dvc.yaml").write_text(yaml.safe_dump({"plots": [{"rates": entry}]}))
    with pytest.raises(BenchmarkError) as caught:
        pictures.draw({Path("rates.csv"): "variants,epoch,learning_rate\nmodel,1,0.1\n"})
    assert str(caught.value).startswith(problem)
    assert "\n" not in str(caught.value)


def test_a_column_that_is_missing_is_one_line() -> None:
    plot = Plot("learning rate", Path("x.csv"), "epoch", "rate", "rates", "Learning rate")
    with pytest.raises(BenchmarkError, match=r"^dvc\.yaml: plot learning rate: .*'rate'") as caught:
        pictures.specification(plot, [{"epoch": "1"}])
    assert "\n" not in str(caught.value)
