"""Markdown as a real parser reads it."""

import pytest

from resnet.results.markdown import LONGEST, code, folded, table
from tests.support.rendered import rendered

TEXTS = [
    "",
    "x",
    "`",
    "``",
    "a`b``c",
    "`a`",
    "a|b",
    "a\\|b",
    "\\",
    "a\nb\tc",
    "<b>",
    "@a",
    "\u202ea\x00",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_code_span_contains_its_text_and_nothing_else_does(text: str) -> None:
    seen = rendered(f"before {code(text)} after")
    printable = "".join(char if char.isprintable() else " " for char in text)
    assert [each.strip() for each in seen.code] == [" ".join(printable.split())]
    assert seen.text == ["before ", " after"]
    assert seen.links == seen.html == []


@pytest.mark.parametrize("text", TEXTS)
def test_no_text_ends_a_cell(text: str) -> None:
    page = table(("a", "b"), [(code(text), "x"), (text, "x")], ("left", "left"))
    rows = rendered(page).rows
    assert [len(row) for row in rows] == [2, 2, 2]
    assert [row[1] for row in rows] == ["b", "x", "x"]


def test_a_long_text_is_cut() -> None:
    assert code("x" * (LONGEST + 1)) == f"`{'x' * (LONGEST - 1)}…`"


def test_what_is_folded_is_markdown() -> None:
    seen = rendered(folded("Unchanged: 1", "**a**", "", "`b`"))
    assert seen.html == ["<details><summary>Unchanged: 1</summary>", "</details>"]
    assert (seen.code, "".join(seen.text)) == (["b"], "a")
