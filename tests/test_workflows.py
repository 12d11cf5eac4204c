"""The workflows: what they may do, and that nothing from outside becomes a command."""

import re
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def load(name: str) -> dict[Any, Any]:
    return dict(yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")))


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_expression_in_a_command_and_actions_are_pinned(path: Any) -> None:
    workflow = load(path.stem)
    assert workflow["permissions"]
    for step in steps(workflow):
        assert "${{" not in step.get("run", ""), "an expression there can be made to end the command and begin another: use env"
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/none@v1"))
    assert all(job["timeout-minutes"] for job in workflow["jobs"].values())


def test_what_runs_a_pull_requests_code_may_only_read() -> None:
    for name in ("check", "review"):
        assert load(name)["permissions"] == {"contents": "read"}
        assert "pull_request_target" not in load(name)[True]  # `on` is true in YAML 1.1
        assert next(step for step in steps(load(name)) if "checkout" in step.get("uses", ""))["with"]["persist-credentials"] is False


def test_what_may_comment_runs_none_of_it() -> None:
    comment = load("comment")
    assert comment["permissions"] == {"actions": "read", "pull-requests": "write"}
    assert not any("uses" in step for step in steps(comment))
    assert not re.search(r"make |python|\.venv", "".join(step["run"] for step in steps(comment)))
    assert comment[True]["workflow_run"]["workflows"] == [load("review")["name"]]


def test_pre_commit_runs_what_make_check_runs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("\ncheck:")[1].split("\n\n")[0]
    tools = [line.strip().lstrip("@").split(" --check")[0].removesuffix(" .") for line in recipe.splitlines()[1:]]
    assert [hook["entry"].removeprefix(".venv/bin/").split(" --")[0] for hook in hooks] == tools
