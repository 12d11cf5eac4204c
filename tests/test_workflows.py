"""The GitHub workflows: their permissions, and that no untrusted text becomes a command."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.checkout import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def load(name: str) -> dict[Any, Any]:
    path = ROOT / ".github" / "workflows" / f"{name}.yml"
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_commands_contain_no_expression_and_actions_are_pinned(path: Path) -> None:
    workflow = load(path.stem)
    assert workflow["permissions"]
    for step in steps(workflow):
        assert "${{" not in step.get("run", ""), (
            "a pull request could inject a command through an expression: use env"
        )
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/none@v1"))
    assert all(job["timeout-minutes"] for job in workflow["jobs"].values())


def test_workflows_that_run_a_pull_requests_code_may_only_read() -> None:
    for name in ("check", "review"):
        assert load(name)["permissions"] == {"contents": "read"}
        assert "pull_request_target" not in load(name)[True]  # `on` is true in YAML 1.1
        checkout = next(step for step in steps(load(name)) if "checkout" in step.get("uses", ""))
        assert checkout["with"]["persist-credentials"] is False


def test_the_workflow_that_may_comment_runs_none_of_that_code() -> None:
    workflow = load("comment")
    assert workflow["permissions"] == {
        "actions": "read",
        "contents": "read",
        "pull-requests": "write",
    }
    assert not any("uses" in step for step in steps(workflow))
    assert not re.search(r"make |python|\.venv", "".join(step["run"] for step in steps(workflow)))
    assert workflow[True]["workflow_run"]["workflows"] == [load("review")["name"]]


GH = """#!/bin/sh
case "$2" in
repos/our/fork/contents/metrics/pictures*) printf 'a.svg\\nb.svg\\n![x](y).svg\\nREADME.md\\n' ;;
repos/*/contents/metrics/pictures*) echo '{"message": "Not Found"}'; exit 1 ;;
esac
"""


def comment(tmp_path: Path, head: str) -> str:
    """Return the comment that the step writes, where only the fork has plots in git."""
    (step,) = [step for step in steps(load("comment")) if step["name"] == "Write the comment"]
    (tmp_path / "review").mkdir()
    (tmp_path / "review" / "review.md").write_text("# the review\n")
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    github = {
        "GH_REPO": "our/project",
        "HEAD_REPO": head,
        "BASE": "b" * 40,
        "HEAD": "a" * 40,
        "RUN_URL": "https://example.com/run",
    }
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_SERVER_URL": "https://example.com",
        **github,
    }
    subprocess.run(["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=environment, check=True)
    return (tmp_path / "comment.md").read_text(encoding="utf-8")


def test_the_comment_shows_the_plots_of_each_side(tmp_path: Path) -> None:
    text = comment(tmp_path, "our/fork")
    assert text.startswith("<!-- review -->\n# the review\n\n<details>")
    rows = [line for line in text.splitlines() if line.startswith("|")][2:]
    where = f"https://example.com/our/fork/blob/{'a' * 40}/metrics/pictures"
    assert rows == [f"| – | ![{name}]({where}/{name}.svg?raw=true) |" for name in "ab"]


def test_the_comment_without_plots(tmp_path: Path) -> None:
    text = comment(tmp_path, "our/other")
    assert "Plots</summary>" not in text
    assert text.endswith(
        f"[artifact `review`](https://example.com/run#artifacts), for commit {'a' * 40}.\n"
    )


def test_pre_commit_runs_what_make_check_runs() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = config["repos"][0]["hooks"]
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("\ncheck:")[1].split("\n\n")[0]
    tools = [
        line.strip().lstrip("@").split(" --check")[0].removesuffix(" .")
        for line in recipe.splitlines()[1:]
    ]
    assert [hook["entry"].removeprefix(".venv/bin/").split(" --")[0] for hook in hooks] == tools
