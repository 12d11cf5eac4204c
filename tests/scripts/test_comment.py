"""The comment with a review: its length, and GitHub's errors. tests/test_workflows.py posts it."""

import pytest

from resnet.errors import BenchmarkError
from scripts import comment
from tests.support.github import BOT, Comments

HEAD = "a" * 40


def fold(size: int) -> str:
    return f"<details><summary>x</summary>\n\n{'x' * size}\n\n```mermaid\n\n```\n\n</details>"


def test_a_long_review_ends_at_a_block() -> None:
    assert comment.shortened("a\n\nb") == "a\n\nb"
    short, long = fold(10), fold(comment.LONGEST)
    text = comment.shortened(f"first\n\n{short}\n\n{long}\n\nlast")
    assert text == (
        f"first\n\n{short}\n\nThe rest is too long for a comment: the log has all of it."
    )
    inert = "- `<details>` in a code span"
    assert comment.shortened(f"{inert}\n\n{short}\n\n{long}").startswith(
        f"{inert}\n\n{short}\n\nThe"
    )
    many = comment.shortened("\n\n".join(["x" * 100] * 1000))
    assert comment.LONGEST - 200 < len(many) < comment.LONGEST + 100
    assert len(comment.body(many, "https://example.com/run", HEAD)) < 65_536


def test_only_a_comment_of_ours_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = (BOT, f"{comment.MARKER}\nold")
    with Comments(("person", ours[1]), (BOT, "other"), ours) as site:
        for name, value in site.environment.items():
            monkeypatch.setenv(name, value)
        assert comment.post(7, "new") == "page/2"
        assert site.requests == ["GET", "PATCH"]
        assert [each["body"] for each in site.comments] == [ours[1], "other", "new"]


def test_an_error_of_github_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with Comments() as site:
        for name, value in site.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(BenchmarkError) as caught:
            comment.post(7, "x" * 70_000)
        where = f"{site.url}/repos/our/project/issues/7/comments"
        assert str(caught.value) == f'POST {where}: 422: {{"message": "Validation Failed"}}'
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:1")
    with pytest.raises(
        BenchmarkError, match=r"^GET http://127\.0\.0\.1:1/repos/our/project/issues/7/"
    ):
        comment.post(7, "x")
