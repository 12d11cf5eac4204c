"""The tables of results in README.md and the model card, and the artifacts in dvc.yaml."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from resnet.errors import BenchmarkError
from resnet.results import notes
from resnet.results.metrics import AllResults
from resnet.results.store import Store
from resnet.training.pending import Name
from resnet.variant import Network
from scripts import pages
from tests.support.checkout import ROOT
from tests.support.results import TEST_SET, make_results

PUBLISHED = Store(ROOT / "metrics").published_results()
PAPER = Network(version=1, n=3, form="paper")


def test_this_checkouts_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for path, text in pages.rendered().items():
        assert path.read_text(encoding="utf-8") == text, "run `make publish`"


def readme(found: AllResults) -> str:
    return pages.readme(found, PUBLISHED, "none in full")


def first_cells(table: str) -> list[str]:
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    return [line.split("|")[1].strip() for line in rows]


def test_full_trainings_come_first_and_say_what_published_results_they_agree_with() -> None:
    found = {
        "ResNet20v1-short": make_results("ResNet20v1-short", changes={"epochs": 12}),
        "model": make_results(accuracies=(91.9, 91.92, 91.88)),  # 0.25 more at the best epoch
        "ResNet20v1-paper": make_results(
            "ResNet20v1-paper", network=PAPER, recipe="paper", accuracy=94.0
        ),
    }
    text = readme(found)
    assert first_cells(text) == [
        "ResNet20v1 (model)",
        "ResNet20v1-paper, paper's form",
        "ResNet20v1-short",
    ]
    assert "none in full" not in text
    sentences = " ".join(text.partition("\n\n")[2].split())
    assert sentences == (
        "- ResNet20v1 (model): 92.15 ± 0.02 % at the best epoch on the test set agrees with the "
        "original's 92.16 %. "
        "- ResNet20v1-paper, paper's form: 94.00 ± 0.21 % at the last epoch differs from the "
        "paper's 91.25 %."
    )
    assert max(map(len, text.partition("\n\n")[2].splitlines())) <= 100


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        (
            (91.69, 91.9, 92.11),
            "92.15 ± 0.21 % at the best epoch on the test set does not differ significantly from "
            "the original's 92.16 %; 3 seeds cannot tell whether it agrees within 0.5 points.",
        ),
        (
            (89.75, 89.75, 89.75),
            "90.00 ± 0.00 % at the best epoch on the test set (beside the original's 92.16 %; "
            "equal accuracies do not show how seeds vary).",
        ),
        (
            (91.9,),
            "92.15 % at the best epoch on the test set (beside the original's 92.16 %; one seed "
            "does not show how seeds vary).",
        ),
    ],
)
def test_too_few_seeds(accuracies: tuple[float, ...], expected: str) -> None:
    text = readme({"model": make_results(accuracies=accuracies)})
    assert " ".join(text.split()).endswith(f"- ResNet20v1 (model): {expected}")


def test_without_a_full_training_it_is_said() -> None:
    short = {"ResNet20v1-short": make_results("ResNet20v1-short", changes={"epochs": 12})}
    assert readme(short).endswith("\n\nnone in full\n")


def test_a_full_training_that_is_not_listed_is_not_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    name = "ResNet20v1-short"
    monkeypatch.setattr(pages, "recorded", lambda: {Name(name, 0): {}})
    found = {name: Store().results(name)}
    monkeypatch.setattr(Store, "variants", lambda _: list(found))
    monkeypatch.setattr(Store, "results", lambda _, name: found.get(name))
    assert pages.NONE_IN_FULL in pages.rendered()[pages.README]
    found["ResNet44v1"] = make_results("ResNet44v1", network=Network(version=1, n=7))
    assert pages.IN_FULL_ELSEWHERE in pages.rendered()[pages.README]


def test_an_epoch_chosen_on_the_test_set_is_compared_and_marked() -> None:
    """It is then the checkpoints' own accuracy, also where nothing is watched."""
    results = make_results(accuracies=(92.1, 92.3, 92.2), holdout=TEST_SET, best_on_test=None)
    text = " ".join(readme({"model": results}).split())
    assert "| 92.20 ± 0.10 † |" in text
    assert notes.ON_TEST in text
    assert "(model): 92.20 ± 0.10 % at the best epoch on the test set agrees with" in text
    assert "92.20 ± 0.10 † |" in pages.card({"model": results})


def test_a_stale_result_is_marked() -> None:
    found = {"model": replace(make_results(), stale=True)}
    for text in (readme(found), pages.card(found)):
        assert "91.50 ± 0.21 §" in text
        assert notes.OUTDATED in text


ARTIFACTS = """\
stages: {}
artifacts:

  # ours
  ResNet8v1:  # short
    path: models/ResNet8v1
    type: model
# and the data
  images:
    path: data/images
  ResNet32v1:
    path: models/ResNet32v1

plots:
- curves  # of all
"""


def test_artifacts_are_those_of_the_variants_and_those_of_users() -> None:
    found = {"model": make_results(), "ResNet8v1": make_results("ResNet8v1", source="synthetic")}
    text = pages.pipeline(ARTIFACTS, found)
    values = yaml.safe_load(text)
    assert {name: each["path"] for name, each in values["artifacts"].items()} == {
        "ResNet8v1": "models/ResNet8v1",
        "images": "data/images",
        "model": "models/model",
    }
    assert values["plots"] == ["curves"]
    assert pages.pipeline(text, found) == text
    own = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    more = pages.pipeline(own, found)
    assert yaml.safe_load(more)["stages"] == yaml.safe_load(own)["stages"]
    comments = [line for line in own.splitlines() if line.startswith("#")]
    assert [line for line in more.splitlines() if line.startswith("#")] == comments


@pytest.mark.parametrize("path", [pages.README, pages.CARD])
def test_a_page_without_the_marks_is_one_line(path: Path) -> None:
    with pytest.raises(BenchmarkError, match=f"^{path}: must have <!-- results -->"):
        pages.with_table(path, "text\n", "table")
