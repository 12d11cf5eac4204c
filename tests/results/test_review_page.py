"""The page of a review: its first line, what is folded, and that no text of a side takes effect."""

from dataclasses import replace

import pandas as pd
import pytest

from resnet.results import curves
from resnet.results.review import Row
from resnet.results.review_page import MOST_ITEMS, Chart, Code, Review, counts, render
from tests.support.rendered import rendered

NAME = "@octocat **x** <img src=x> [y](www.example.com) ``z` \\| #1\n# x"


def row(verdict: str, variant: str = "model", remark: str = "") -> Row:
    return Row(variant, ("ResNet20v1", "90.00", "91.00", "+1.00"), verdict, remark)


def same(variant: str) -> Row:
    return replace(row("no difference seen", variant), unchanged=True)


def test_the_first_line_is_the_outcome() -> None:
    rows = [row("better"), *(same(f"ResNet{n}v1") for n in range(9)), row("no verdict")]
    assert counts(rows) == "1 better, 0 worse, 9 unchanged, 1 cannot tell"
    assert counts([*rows, row("added")]) == (
        "1 better, 0 worse, 9 unchanged, 1 cannot tell, 1 added"
    )
    review = Review("main", "change", accuracies=rows, seconds=[row("worse")])
    assert render(review).startswith(
        "**Accuracy: 1 better, 0 worse, 9 unchanged, 1 cannot tell.** "
        "Seconds per epoch: 0 better, 1 worse, 0 unchanged, 0 cannot tell.\n\n`main` → `change`\n"
    )
    review.broken = {"main": [], "change": ["dvc.yaml: no such file"]}
    review.unread = [("model", "change: x.json: not JSON")]
    review.stale = {"main": [], "change": ["`model`: x"]}
    assert render(review).startswith(
        "**The pipeline of `change` is broken. Results cannot be read: 1. "
        "Results of `change` are stale. Accuracy: 1 better, "
    )
    assert render(Review("a", "b")).startswith("**There are no results.**\n")


def test_what_did_not_change_is_folded() -> None:
    review = Review("main", "change", accuracies=[same("a"), row("worse", "b"), same("c")])
    review.codes = {"b": Code(("model.py",), ("step.py",)), "c": Code((), ("model.py", "step.py"))}
    text = render(review)
    shown, *folds = text.split("<details>")
    assert [name for name in ("`a`", "`b`", "`c`") if name in shown] == ["`b`"]
    assert folds[0].startswith("<summary>Unchanged: 2</summary>\n\n| Variant")
    assert "`a`" in folds[0]
    assert "`c`" in folds[0]
    assert "- `b`: `model.py`\n" in folds[0].split("</details>")[1]
    assert folds[1].startswith("<summary>Unchanged: 2</summary>\n\n`model.py`, `step.py`\n\n</")
    assert folds[2].startswith("<summary>How to read this page</summary>")


def test_code_that_was_not_recorded_is_not_called_unchanged() -> None:
    review = Review("main", "change", accuracies=[same("a")])
    assert "## Code of the trainings\n\nNot compared: no variant has " in render(review)
    review.codes = {"a": Code((), ("model.py",))}
    assert "## Code of the trainings\n\nNo file changed.\n" in render(review)


def test_no_text_of_a_side_takes_effect() -> None:
    review = Review(
        "a|b",
        "b",
        accuracies=[row("better", NAME), same(NAME)],
        codes={NAME: Code((NAME,), (NAME,))},
        charts=[Chart(NAME, "test", [1.0, 2.0], [2.0, 3.0])],
        unread=[(NAME, NAME)],
        broken={"b": [NAME]},
        refused=NAME,
        changed={NAME: (NAME, None), "b": ([NAME], 1)},
    )
    text = render(review)
    seen = rendered(text)
    assert seen.links == []
    assert all(line.startswith(("<details>", "</details>")) for line in seen.html)
    assert "octocat" not in " ".join(seen.text)
    assert sum("@octocat" in each for each in seen.code) == 13
    assert {len(cells) for cells in seen.rows} == {3, 6}
    assert seen.rows[0] == ["Variant", "Network", "a|b", "b", "Difference, points", "Verdict"]


def test_a_page_of_many_changes_is_short() -> None:
    many = [str(n) for n in range(1000)]
    review = Review(
        "a",
        "b",
        accuracies=[row("better", name) for name in many],
        changed={name: (name * 1000, None) for name in many},
        codes={"model": Code(tuple(many), ())},
        broken={"a": many},
        stale={"a": many},
        unread=[(name, name) for name in many],
    )
    text = render(review)
    assert len(text) < 60_000
    assert text.count("And 950 more.") == 2
    assert text.count("- and 950 more") == 3
    assert text.count(" and 950 more\n") == 4
    assert MOST_ITEMS == 50


def test_both_sides_curves_have_the_same_axes() -> None:
    histories = [pd.DataFrame({"test_accuracy": each}) for each in ([50, 60.5], [52, 61])]
    both = pd.DataFrame(columns=["epoch", "accuracy", "val_accuracy", "test_accuracy"])
    assert curves.column([*histories, both]) == "test_accuracy"
    assert curves.column([both, pd.DataFrame(columns=["epoch", "accuracy"])]) is None
    assert curves.mean_curve(histories, "test_accuracy") == [51.0, 60.75]
    assert curves.chart([51, 60.75], [49.5, 70]).splitlines()[-6:] == [
        "xychart-beta",
        'x-axis "epoch" 1 --> 2',
        'y-axis "accuracy, %" 49 --> 70',
        "line [51.00, 60.75]",
        "line [49.50, 70.00]",
        "```",
    ]
    assert "--> 51\n" in curves.chart([50, 50], [50, 50])  # an axis has a length


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_page_has_three_charts_at_most(count: int) -> None:
    charts = [Chart(f"ResNet{n}v1", "test", [1.0, 2.0], [2.0, 3.0]) for n in range(count)]
    text = render(Review("a", "b", charts=charts))
    assert text.count("```mermaid") == min(count, 3)
    assert ("2 more variants changed." in text) == (count == 5)
    assert "`ResNet0v1`. Accuracy on test images after each epoch, mean over the seeds; " in text
    assert "grey: `a`, blue: `b`.\n" in text
