"""The GitHub workflows: their permissions, and their scripts on a hostile pull request."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.checkout import copy_checkout
from scripts.comment import MARKER
from tests.support.checkout import ROOT, commit, git, run
from tests.support.github import BOT, Comments, load, run_step, runner_environment
from tests.support.rendered import Rendered, rendered
from tests.support.results import make_device, make_results, write_results

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"- uses: actions/[a-z-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+")
NAME = "@octocat **x** <img src=x> [y](www.example.com) `z` \\| #1"
FOLDED = re.compile(r"<details><summary>[\w: ]+</summary>|</details>")


def steps(workflow: dict[Any, Any], *jobs: str) -> list[dict[str, Any]]:
    return [step for job in jobs or workflow["jobs"] for step in workflow["jobs"][job]["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_commands_contain_no_expression_and_actions_are_pinned(path: Path) -> None:
    workflow = load(path.stem)
    for step in steps(workflow):
        assert "${{" not in step.get("run", ""), (
            "a pull request could inject a command through an expression: use env"
        )
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
    lines = [line for line in path.read_text().splitlines() if "uses:" in line]
    assert [line for line in lines if not PINNED.fullmatch(line.strip())] == []
    assert len({line.strip() for line in lines}) == len({line.split("@")[0] for line in lines})
    assert all(job["timeout-minutes"] for job in workflow["jobs"].values())


def test_permissions_are_those_that_a_job_needs() -> None:
    assert load("check")["permissions"] == load("review")["permissions"] == {}
    jobs = {**load("check")["jobs"], **load("review")["jobs"]}
    write = {"actions": "read", "contents": "read", "pull-requests": "write"}
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "check": {"contents": "read"},
        "cluster": {"contents": "read"},
        "review": {"contents": "read"},
        "comment": write,
    }


def test_only_check_runs_a_pull_requests_code() -> None:
    on = True  # what YAML 1.1 reads for the key `on`
    assert load("check")[on].keys() == {"push", "pull_request"}
    assert load("review")[on].keys() == {"pull_request_target"}
    for step in steps(load("review")):
        if "checkout" in step.get("uses", ""):
            assert step["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
        assert not re.search(r"git (checkout|switch|merge |pull)", step.get("run", ""))


def test_one_review_of_a_pull_request_runs_at_a_time() -> None:
    assert load("review")["concurrency"] == {
        "group": "review-${{ github.event.pull_request.number }}",
        "cancel-in-progress": True,
    }


def test_no_check_of_a_push_is_cancelled_by_the_next_push() -> None:
    assert load("check")["concurrency"] == {
        "group": "check-${{ github.event_name == 'pull_request' && github.ref || github.sha }}",
        "cancel-in-progress": "${{ github.event_name == 'pull_request' }}",
    }


def test_checks_run_on_the_oldest_and_the_newest_python() -> None:
    matrix = load("check")["jobs"]["check"]["strategy"]["matrix"]
    assert matrix == {"python": ["3.11", "3.13"]}
    assert 'requires-python = ">=3.11,<3.14"' in (ROOT / "pyproject.toml").read_text()


def write(checkout: Path, name: str, draw: int, accuracy: float, **options: Any) -> None:
    results = make_results(name, accuracy=accuracy, images=1000, **options)
    write_results(checkout / "metrics", results, draw)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose main has results, and with a branch `attack` that forks from it earlier.

    The attack makes a result worse, breaks others, and replaces the code that judges it.
    """
    checkout = tmp_path_factory.mktemp("workflows") / "origin"
    names = ["model", "ResNet32v1", "ResNet44v1", "ResNet56v1", "ResNet110v1"]
    copy_checkout(checkout, {"variants": names})
    git(checkout, "checkout", "--quiet", "-b", "main")
    for draw, name in enumerate(names):
        write(checkout, name, draw, 90.0)
    commit(checkout, "merge base")
    git(checkout, "checkout", "--quiet", "-b", "attack")
    attack(checkout)
    git(checkout, "add", "--force", ".")
    git(checkout, "commit", "--quiet", "-m", "attack")
    git(checkout, "checkout", "--quiet", "main")
    write(checkout, "ResNet110v1", 9, 99.0)  # after the merge base, so not the attack's doing
    git(checkout, "commit", "--quiet", "--all", "-m", "main goes ahead")
    return checkout


def attack(checkout: Path) -> None:
    mark = f"import pathlib; pathlib.Path({str(checkout / 'run')!r}).touch()\nprint('all better')\n"
    for path in checkout.rglob("*.py"):
        path.write_text(mark)
    (checkout / "sitecustomize.py").write_text(mark)
    (checkout / "Makefile").write_text(f"review:\n\ttouch {checkout / 'run'}\n")
    (checkout / ".github/workflows/review.yml").write_text("on: pull_request_target\n")
    (checkout / ".dvc/config").write_text(f"[core]\n    site_cache_dir = {checkout / 'run'}\n")
    runs = checkout / "metrics/runs"
    write(checkout, "model", 7, 80.0, device=make_device(NAME))
    write(checkout, NAME, 8, 99.0)
    (runs / "ResNet32v1.json").write_text(" " * 50_000_000)
    (runs / "ResNet44v1.json").write_text(f'{{"schema": [1], "accuracy": "{NAME}"')
    (runs / "ResNet56v1.json").unlink()
    (runs / "ResNet56v1.json").symlink_to("/etc/passwd")
    edits: dict[str, dict[str, Any]] = {
        "params.yaml": {"preprocess": {NAME: NAME}},
        "dvc.yaml": {"stages": {"report": {"cmd": NAME, "deps": [NAME], "params": [NAME]}}},
    }
    for name, changes in edits.items():
        values = yaml.safe_load((checkout / name).read_text())
        for key, change in changes.items():
            values[key] |= change
        (checkout / name).write_text(yaml.safe_dump(values, sort_keys=False))


@pytest.fixture
def runner(origin: Path, tmp_path: Path) -> Path:
    """A runner's checkout of main, with an environment as `make .venv/.installed-run` leaves it."""
    checkout = tmp_path / "runner"
    run(tmp_path, "git", "clone", "--quiet", str(origin), str(checkout))
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (python.parent / "pip").symlink_to(python)
    (checkout / ".venv" / ".installed-run").touch()
    return checkout


def first_job() -> list[dict[str, Any]]:
    """The steps that install, fetch both sides, review and draw."""
    return [step for step in steps(load("review"), "review") if "run" in step]


def review(origin: Path, runner: Path, branch: str, fail_on: str = "") -> tuple[int, str]:
    """Fetch both sides and review; returns the exit status of the review, and the page."""
    head = run(origin, "git", "rev-parse", branch).strip()
    env = runner_environment(runner.parent, HEAD=head, GH_TOKEN="", FAIL_ON=fail_on)
    _install, fetch, compare, _draw = first_job()
    assert run_step(fetch, runner, env)[0] == 0
    status, printed = run_step({**compare, "env": {}}, runner, env)
    page = (runner / "review" / "review.md").read_text()
    assert printed.startswith(page)
    assert page == (runner.parent / "summary.md").read_text()
    assert not (origin / "run").exists(), "code of the pull request was run"
    return status, page


def assert_nothing_takes_effect(page: str) -> Rendered:
    """Whether a page's only HTML is that which folds it, and the attack's text is code alone."""
    seen = rendered(page)
    assert [line for line in seen.html if not FOLDED.fullmatch(line) and line != MARKER] == []
    outside = " ".join(seen.text)
    assert not re.search(r"octocat|@|example\.com|all better|src=|#1", outside)
    assert any(NAME in text for text in seen.code)
    return seen


def test_a_hostile_pull_request_is_judged_by_the_code_of_the_base(
    origin: Path, runner: Path
) -> None:
    status, page = review(origin, runner, "attack", fail_on="worse")
    assert status == 2  # make's, where a command fails
    run_step(first_job()[-1], runner, runner_environment(runner.parent))  # may fail
    assert not (origin / "run").exists(), "code of the pull request was run"
    assert "all better" not in page
    seen = assert_nothing_takes_effect(page)
    assert seen.links == []
    accuracies = seen.rows[: [row[-2:-1] for row in seen.rows].index(["Difference, s"])]
    verdicts = {row[0]: row[-1] for row in accuracies}
    assert verdicts["model"] == "worse"
    assert verdicts[NAME.replace("|", " |")] == "added"
    assert verdicts["ResNet110v1"].startswith("no difference seen (the same")  # the merge base
    errors = "\n".join(seen.code)
    assert "metrics/runs/ResNet32v1.json: 50.0 MB: must be at most 5 MB" in errors
    assert "metrics/runs/ResNet44v1.json: not JSON: " in errors
    assert "metrics/runs/ResNet56v1.json: a symbolic link: must be a file" in errors
    assert "root:" not in page


def test_a_comment_is_posted_and_then_updated(origin: Path, runner: Path, tmp_path: Path) -> None:
    status, page = review(origin, runner, "attack")
    assert status == 0
    (tmp_path / "artifact").mkdir()
    (runner / "review" / "review.md").rename(tmp_path / "artifact" / "review.md")
    asked = "run download 5 --name review --dir review"
    programs = {
        "gh": f'test "$*" = "{asked}" && cp -r "{tmp_path}/artifact" review',
        "python3": f'exec "{sys.executable}" -S "$@"',  # without packages
    }
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    run(runner, "rm", "-r", "review")
    download, comment = [step for step in steps(load("review"), "comment") if "run" in step]
    others = [*[("person", f"{MARKER} {i}") for i in range(149)], (BOT, "of another workflow")]
    with Comments(*others) as site:
        env = {**runner_environment(tmp_path), **site.environment, "GH_TOKEN": "secret"}
        env |= {"RUN": "5", "NUMBER": "7", "HEAD": "a" * 40}
        assert run_step(download, runner, env) == (0, "")
        assert run_step(comment, runner, env) == (0, "page/150\n")
        text = site.comments[150]["body"]
        assert text.startswith(f"{MARKER}\n{page.strip()}\n\n")
        seen = assert_nothing_takes_effect(text)
        assert seen.links == ["https://example.com/run"]
        run(runner, "rm", "-r", "review")
        assert run_step(comment, runner, env) == (0, "page/150\n")  # the review failed
        assert len(site.comments) == 151
        assert [(each["user"]["login"], each["body"]) for each in site.comments[:150]] == others
        assert "The review ended without a result." in site.comments[150]["body"]
        assert site.tokens == {"Bearer secret"}


def test_pre_commit_runs_what_make_check_runs() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = config["repos"][0]["hooks"]
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("\ncheck:")[1].split("\n\n")[0]
    tools = [
        line.strip().lstrip("@").split(" --check")[0].removesuffix(" .")
        for line in recipe.splitlines()[1:]
    ]
    assert [hook["entry"].removeprefix(".venv/bin/").split(" --")[0] for hook in hooks] == tools
