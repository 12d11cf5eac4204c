"""The plots of dvc.yaml: names, templates and files. tests/scripts/test_plots.py draws them."""

from pathlib import Path

import pytest
import yaml

from resnet.errors import BenchmarkError
from resnet.results import pictures
from resnet.results.pictures import Plot
from tests.support.checkout import ROOT
from tests.support.results import MODEL, make_results, report, write_results

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


def test_a_column_that_is_missing_is_one_line() -> None:
    plot = Plot("learning rate", Path("x.csv"), "epoch", "rate", "rates", "Learning rate")
    with pytest.raises(BenchmarkError, match=r"^dvc\.yaml: plot learning rate: .*'rate'") as caught:
        pictures.specification(plot, [{"epoch": "1"}])
    assert "\n" not in str(caught.value)
