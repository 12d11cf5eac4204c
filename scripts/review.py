"""What a change did to the results: two git revisions compared, as Markdown. `make review BASE=main REV=branch`

Metrics and parameters come from DVC's own diff, the right-or-wrong digits from git: neither checkpoints nor a remote are needed.
"""

import argparse
import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from resnet.errors import BenchmarkError, run_stage
from resnet.results import metrics, provenance, review
from resnet.results.provenance import WORKSPACE
from resnet.results.review import Right, Side

FAIL_ON = ("worse", "doubtful")


def compare(base: str, rev: str) -> tuple[str, set[str]]:
    """The review of two revisions of the repository in the current folder, as Markdown, and which of FAIL_ON's words are true of it.

    Raises BenchmarkError where there is no such revision, or DVC cannot read REV's pipeline or figures.
    """
    commits = {name: _commit(name) for name in (base, rev)}
    changed, paths, doubts = _dvc_diff(commits, base, rev)
    synthetic_changed = any(key.startswith("data.synthetic.") for key in changed)
    accuracies, seconds, unread, broken = [], [], [], False
    for path in paths:
        variant, sides = Path(path).stem, []
        for name in (base, rev):
            try:
                sides.append(_side(commits[name], name, path))
            except BenchmarkError as error:  # an older file may lack what today's holds
                unread.append(f"{error}: {variant} is {review.INCOMPARABLE}")
                broken |= name == rev
        match sides:
            case [Side() as before, Side() as after]:
                accuracies.append(review.accuracy_row(variant, before, after, synthetic_changed))
                seconds.append(review.seconds_row(variant, before, after, synthetic_changed))
            case [before, after] if before or after:
                accuracies.append(review.lone_row(variant, before, after))
            case _:  # a side could not be read, which `unread` says
                pass
    worse = broken or any(row.verdict == review.WORSE for row in (*accuracies, *seconds))
    failures = {word for word, so in (("worse", worse), ("doubtful", bool(doubts[rev]))) if so}
    return review.markdown(base, rev, accuracies, seconds, changed, unread, doubts), failures


def _commit(name: str) -> str:
    """What DVC is to know a revision by: a commit's hash, since it takes two names of one commit for one."""
    if name == WORKSPACE:
        return name
    commit = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if commit is None:
        raise BenchmarkError(
            f"{name!r} is no commit of this repository; name a branch, a tag, a commit, or {WORKSPACE}"
        )
    return commit.strip()


def _dvc_diff(
    commits: Mapping[str, str], base: str, rev: str
) -> tuple[dict[str, tuple[Any, Any]], list[str], dict[str, list[str]]]:
    """DVC's own diff: changed parameters to old and new; the metrics files of either side, in the pipeline's order; and what speaks
    against each side's figures.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import SCMError

    try:
        with Repo(".") as repo:
            found = repo.metrics.diff(a_rev=commits[base], b_rev=commits[rev], all=True)
            parameters = repo.params.diff(commits[base], commits[rev])
            listed = [out.def_path for out in repo.index.metrics]
            doubts = {name: provenance.doubts(repo, commits[name]) for name in (base, rev)}
    except (DvcException, SCMError) as error:
        raise BenchmarkError(f"DVC: {' '.join(str(error).split())}") from error
    paths = set(found.get("diff", {}))
    for name in (rev, base):
        errors = found.get("errors", {}).get(commits[name], {})
        for path, problem in (
            errors.items() if isinstance(errors, Mapping) else [("dvc.yaml", errors)]
        ):
            if isinstance(problem, FileNotFoundError):  # a variant that is not trained there
                continue
            if name == rev or path == "dvc.yaml":
                raise BenchmarkError(f"{name}: {path}: {' '.join(str(problem).split())}")
            paths.add(
                path
            )  # compare says of it what is wrong; a broken BASE does not hide the rest
    in_order = sorted(
        paths, key=lambda path: (listed.index(path) if path in listed else len(listed), path)
    )
    changed = {
        key: (pair["old"], pair["new"])
        for path, pairs in parameters.get("diff", {}).items()
        if Path(path).name == "params.yaml"
        for key, pair in sorted(pairs.items())
    }
    return changed, in_order, doubts


def _side(commit: str, name: str, path: str) -> Side | None:
    """A variant at a revision, from its metrics file, of which DVC's diff shows single figures alone, and its predictions.

    None where there is no such file; raises BenchmarkError, with the revision's `name`, where the two cannot be read or do not agree.
    """
    text = _read(commit, path)
    if text is None:
        return None
    try:
        content = json.loads(text)
    except ValueError as error:
        raise BenchmarkError(f"{name}: {path}: not JSON: {error}") from error
    parsed = metrics.parse(content, f"{name}: {path}")
    digits = f"metrics/predictions/{Path(path).stem}.txt"
    answers = _read(commit, digits)
    if answers is None:
        raise BenchmarkError(f"{name}: {digits}: no such file")
    right = _predictions(answers, f"{name}: {digits}")
    same = [int(count) for count in (~right).sum(axis=1)] == [
        run.errors for run in parsed.runs
    ] and right.shape[1] == parsed.images
    if not same or not np.isclose(parsed.accuracy, 100 * right.mean(), rtol=0, atol=1e-6):
        raise BenchmarkError(f"{name}: {digits} and {path} are not of the same runs")
    return Side(parsed, right)


def _predictions(text: str, where: str) -> Right:
    """The digits of a predictions file as booleans (seeds, images)."""
    lines = text.split()
    if not lines or any(set(line) - {"0", "1"} or len(line) != len(lines[0]) for line in lines):
        raise BenchmarkError(f"{where}: must hold lines of as many digits 0 and 1")
    return np.array([[digit == "1" for digit in line] for line in lines])


def _read(commit: str, path: str) -> str | None:
    """A text file at a commit, or as it lies there; None where there is none."""
    if commit == WORKSPACE:
        return (
            Path(path).read_text(encoding="utf-8", errors="replace")
            if Path(path).is_file()
            else None
        )
    return _git("show", "--end-of-options", f"{commit}:./{path}")


def _git(*arguments: str) -> str | None:
    """What a git command prints; None where it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, errors="replace", check=False
        )
    except FileNotFoundError as error:
        raise BenchmarkError("git is not installed, or not on PATH") from error
    return done.stdout if done.returncode == 0 else None


def main(argv: Iterable[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.review",
        description="What a change did to the results, as Markdown.",
    )
    parser.add_argument("base", metavar="BASE", help="the commit to compare with")
    parser.add_argument(
        "rev",
        metavar="REV",
        nargs="?",
        default=WORKSPACE,
        help="the commit to look at (default: %(default)s)",
    )
    parser.add_argument(
        "--fail-on",
        action="append",
        default=[],
        choices=FAIL_ON,
        help="exit with status 1 where a verdict is worse or REV's results cannot be read; where REV's figures are doubtful",
    )
    arguments = parser.parse_args(list(argv))
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    text, failures = compare(arguments.base, arguments.rev)
    print(text, end="")
    if failures & set(arguments.fail_on):
        raise SystemExit(1)


if __name__ == "__main__":
    run_stage("review", main)
