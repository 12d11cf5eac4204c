"""The marks of results that are to be read with care, and the lines that explain them."""

from dataclasses import replace

import numpy as np

from resnet.results import notes, score_tables, tables
from resnet.results.published import Quoted
from resnet.results.review import Side, accuracy_row, one_sided_row
from resnet.results.review_page import Review, render
from resnet.training.record import Change, Start
from resnet.variant import Network
from tests.support.results import TEST_SET, make_parameters, make_results, make_run, results_of
from tests.support.tables import LISTED, THREE_SEEDS, build, cell


def test_an_epoch_chosen_on_the_test_set_is_marked_and_explained(published: list[Quoted]) -> None:
    for changes, title in (
        ({}, "ResNet v1"),
        ({"changes": {"epochs": 5}}, "Short runs"),
        ({"source": "synthetic"}, "Synthetic data"),
    ):
        built = build(published, LISTED, ResNet32v1={"holdout": TEST_SET, **changes})
        assert cell(built, title, "ResNet32v1", "Accuracy %") == f"{THREE_SEEDS} †"
        table = next(table for table in built if table.title == title)
        assert any(line.startswith("† The accuracy at the best epoch on") for line in table.below)
        watched = build(published, LISTED, ResNet32v1=changes)
        assert cell(watched, title, "ResNet32v1", notes.BEST) == "91.75 ± 0.21"
        assert cell(watched, title, "ResNet32v1", "Accuracy %") == THREE_SEEDS
        table = next(table for table in watched if table.title == title)
        assert any(line.startswith("† The accuracy at the best epoch on") for line in table.below)


def test_a_training_that_was_not_watched_or_changed_conditions_says_so(
    published: list[Quoted],
) -> None:
    change = Change(key="environment.OMP_NUM_THREADS", before="2", after=None)
    starts = [Start(epoch=1, changes=[]), Start(epoch=9, changes=[change])]
    parameters = make_parameters(Network(version=1, n=5))
    run = make_run("ResNet32v1", parameters=parameters, best_on_test=None, starts=starts)
    built = tables.build(LISTED, {"ResNet32v1": results_of([run])}, published)
    assert cell(built, "ResNet v1", "ResNet32v1", notes.BEST) == "–"
    assert cell(built, "ResNet v1", "ResNet32v1", "Accuracy %") == "91.50 (1 seed) ‡"
    (line,) = [line for line in built[0].below if line.startswith("‡")]
    assert "Resumed under other conditions" in line


def test_marks_and_their_lines_are_wherever_an_accuracy_is() -> None:
    """In the tables of scores, and on both sides of a review."""
    starts = [Start(epoch=1, changes=[]), Start(epoch=9, changes=[])]  # on a GPU
    results = make_results(holdout=TEST_SET, starts=starts)
    marks, lines = " † ‡", (notes.ON_TEST, notes.INEXACT)
    scores, by_class = score_tables.build({"model": results, "other": make_results()})
    assert [row["Accuracy %"] for row in scores.rows] == [THREE_SEEDS + marks, THREE_SEEDS]
    assert [row["Variant"] for row in by_class.rows] == ["model" + marks, "other"]
    assert scores.below == by_class.below == lines
    assert score_tables.build({"model": make_results()})[0].below == ()

    side = Side(results, np.ones((3, 10_000), bool))
    plain = replace(side, results=make_results(), correct=~side.correct)
    removed = one_sided_row("gone", side, None)
    assert removed.cells[1:3] == (THREE_SEEDS + marks, "–")
    row = accuracy_row("model", side, plain)
    assert row.cells[1:3] == (THREE_SEEDS + marks, THREE_SEEDS)
    page = render(Review("main", "change", accuracies=[row]))
    assert all(line in page.split("## Accuracy, %")[1] for line in lines)
    row = accuracy_row("model", plain, plain)
    assert not {*"†‡"} & {*render(Review("main", "change", accuracies=[row]))}
