"""What a change did to the results: two git revisions compared, as Markdown. `make review BASE=main`, or `python review.py BASE [REV]`

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

from resnet import metrics, review
from resnet.errors import BenchmarkError, run_stage
from resnet.review import Right, Side

WORKSPACE = "workspace"  # DVC's name for the files as they lie there, committed or not


def compare(base: str, rev: str) -> tuple[str, bool]:
    """The review of two revisions of the repository in the current folder, as Markdown, and whether anything became worse or unreadable.

    Raises BenchmarkError where there is no such revision, or DVC cannot read its pipeline.
    """
    for name in (base, rev):
        if name != WORKSPACE and _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}") is None:
            raise BenchmarkError(f"{name!r} is no commit of this repository; name a branch, a tag, a commit, or {WORKSPACE}")
    found, changed = _dvc_diff(base, rev)
    synthetic_changed = any(key.startswith("data.synthetic.") for key in changed)
    accuracies, seconds, unread, broken = [], [], [], False
    for path, values in found.items():
        variant, sides = Path(path).stem, []
        for name, which in ((base, "old"), (rev, "new")):
            trained = any(pair[which] is not None for pair in values.values())
            try:
                sides.append(_side(name, path) if trained else None)
            except BenchmarkError as error:  # an older file may lack what today's holds
                unread.append(f"{error}: {variant} is {review.INCOMPARABLE}")
                broken |= which == "new"
        match sides:
            case [Side() as before, Side() as after]:
                accuracies.append(review.accuracy_row(variant, before, after, synthetic_changed))
                seconds.append(review.seconds_row(variant, before, after, synthetic_changed))
            case [before, after] if before or after:
                accuracies.append(review.lone_row(variant, before, after))
    worse = any(row.verdict == review.WORSE for row in (*accuracies, *seconds))
    return review.markdown(base, rev, accuracies, seconds, changed, unread), worse or broken


def _dvc_diff(base: str, rev: str) -> tuple[dict[str, dict[str, Any]], dict[str, tuple[Any, Any]]]:
    """DVC's own diff: metrics file to key to old and new, changed or not, in the pipeline's order; changed parameters to old and new."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import SCMError

    try:
        with Repo(".") as repo:
            found = repo.metrics.diff(a_rev=base, b_rev=rev, all=True)
            parameters = repo.params.diff(base, rev)
            listed = [out.def_path for out in repo.index.metrics]
    except (DvcException, SCMError) as error:
        raise BenchmarkError(f"DVC: {' '.join(str(error).split())}") from error
    for name, errors in found.get("errors", {}).items():
        broken = errors.items() if isinstance(errors, Mapping) else [("dvc.yaml", errors)]
        for path, problem in broken:
            if not isinstance(problem, FileNotFoundError):  # a variant that is not trained there
                raise BenchmarkError(f"{name}: {path}: {' '.join(str(problem).split())}")
    in_order = sorted(found.get("diff", {}), key=lambda path: (listed.index(path) if path in listed else len(listed), path))
    changed = {
        key: (pair["old"], pair["new"])
        for path, pairs in parameters.get("diff", {}).items()
        if Path(path).name == "params.yaml"
        for key, pair in sorted(pairs.items())
    }
    return {path: found["diff"][path] for path in in_order}, changed


def _side(rev: str, path: str) -> Side:
    """A variant at a revision, from its metrics file, of which DVC's diff shows single figures alone, and its predictions."""
    try:
        parsed = metrics.parse(json.loads(_read(rev, path)), f"{rev}: {path}")
    except ValueError as error:
        raise BenchmarkError(f"{rev}: {path}: not JSON: {error}") from error
    digits = f"metrics/predictions/{Path(path).stem}.txt"
    right = _predictions(rev, digits)
    if [int(count) for count in (~right).sum(axis=1)] != [run.errors for run in parsed.runs] or right.shape[1] != parsed.images:
        raise BenchmarkError(f"{rev}: {digits} and {path} are not of the same runs")
    return Side(parsed, right)


def _predictions(rev: str, path: str) -> Right:
    """The digits of a predictions file as booleans (seeds, images)."""
    lines = _read(rev, path).split()
    if not lines or any(set(line) - {"0", "1"} or len(line) != len(lines[0]) for line in lines):
        raise BenchmarkError(f"{rev}: {path}: must hold lines of as many digits 0 and 1")
    return np.array([[digit == "1" for digit in line] for line in lines])


def _read(rev: str, path: str) -> str:
    """A text file at a revision; raises BenchmarkError where there is none."""
    if rev == WORKSPACE:
        text = Path(path).read_text(encoding="utf-8", errors="replace") if Path(path).is_file() else None
    else:
        text = _git("show", "--end-of-options", f"{rev}:./{path}")
    if text is None:
        raise BenchmarkError(f"{rev}: {path}: no such file")
    return text


def _git(*arguments: str) -> str | None:
    """What a git command prints; None where it fails."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError as error:
        raise BenchmarkError("git is not installed, or not on PATH") from error
    return done.stdout if done.returncode == 0 else None


def main(argv: Iterable[str]) -> None:
    parser = argparse.ArgumentParser(prog="review.py", description="What a change did to the results, as Markdown.")
    parser.add_argument("base", metavar="BASE", help="the commit to compare with")
    parser.add_argument("rev", metavar="REV", nargs="?", default=WORKSPACE, help="the commit to look at (default: %(default)s)")
    parser.add_argument("--fail-on", choices=["worse"], help="exit with status 1 where a verdict is this, or REV's results cannot be read")
    arguments = parser.parse_args(list(argv))
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    text, worse = compare(arguments.base, arguments.rev)
    print(text, end="")
    if arguments.fail_on and worse:
        raise SystemExit(1)


if __name__ == "__main__":
    run_stage("review", main)
