"""The tables of likelihood, calibration and accuracy by class."""

import statistics
from pathlib import Path

import pytest

from resnet.results import score_tables
from resnet.results.metrics import Results
from resnet.results.notes import SCORES, SYNTHETIC
from resnet.variant import Network
from tests.support.results import make_results, report, table_rows, write_results

MODEL = make_results(accuracies=[91.5, 92.0, 90.0])
SYNTHETIC_RUN = make_results("ResNet32v1", seeds=1, source="synthetic")


@pytest.fixture
def page(tmp_path: Path) -> str:
    for each in (MODEL, SYNTHETIC_RUN):
        write_results(tmp_path, each)
    report({"model": MODEL.network, "ResNet32v1": Network(version=1, n=5)}, tmp_path)
    return (tmp_path / "README.md").read_text(encoding="utf-8")


def test_scores_have_their_spread_over_the_seeds(page: str) -> None:
    (row,) = table_rows(page, "Likelihood and calibration")
    assert row == {
        "Variant": "model",
        "Epochs": "200",
        "Accuracy %": "91.17 ± 1.04 (3 seeds)",
        "NLL": "0.3200 ± 0.0100",  # 0.31, 0.32 and 0.33
        "ECE %": "4.30 ± 0.10",
    }
    (row,) = table_rows(page, "Accuracy by class, %")
    spread = statistics.stdev([91.5, 92.0, 90.0])
    assert row == {"Variant": "model", "cat": f"91.2 ± {spread:.1f}", "dog": f"91.2 ± {spread:.1f}"}


def test_synthetic_images_have_tables_of_their_own(page: str) -> None:
    (row,) = table_rows(page, "Likelihood and calibration, synthetic data")
    assert (row["Variant"], row["NLL"], row["ECE %"]) == ("ResNet32v1", "0.3100", "4.20")
    section = page.split("## Likelihood and calibration, synthetic data\n")[1]
    assert section.split("|")[0].strip() == f"{SYNTHETIC} {SCORES}"
    (row,) = table_rows(page, "Accuracy by class, %, synthetic data")
    assert row == {"Variant": "ResNet32v1", "cat": "91.5", "dog": "91.5"}


def test_results_without_these_scores_have_a_dash() -> None:
    runs = tuple(
        run.model_copy(
            update={
                "evaluation": run.evaluation.model_copy(
                    update={"nll": None, "ece": None, "classes": None}
                )
            }
        )
        for run in MODEL.runs
    )
    old = Results(MODEL.metrics, runs)
    (table,) = score_tables.build({"model": old})
    assert (table.rows[0]["NLL"], table.rows[0]["ECE %"]) == ("–", "–")
    *_, by_class = score_tables.build({"model": old, "other": MODEL})
    assert by_class.cells == [["model", "–", "–"], ["other", "91.2 ± 1.0", "91.2 ± 1.0"]]
    assert score_tables.build({}) == []
