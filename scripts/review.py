"""What a change did to the results: two git revisions compared, as Markdown.

`make review BASE=main REV=branch`. Parameters and the list of results come from DVC's own diff, the
results themselves from git: neither checkpoints nor a DVC remote are needed.
"""

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.results import review, verdicts
from resnet.results.provenance import WORKSPACE, stale_results
from resnet.results.review import Row, Side
from resnet.results.store import Reader, Store, read_workspace
from scripts.git import commit, fetch_objects, git

FAIL_ON = ("worse", "stale")


@dataclass(frozen=True)
class Diff:
    """What DVC says of two revisions."""

    changed: dict[str, tuple[Any, Any]]  # keys of params.yaml to old and new value
    variants: list[str]  # those with results on either side, in the pipeline's order
    stale: dict[str, list[str]]  # the lines on each side's stale results


def compare(base: str, rev: str, margin: float = verdicts.MARGIN) -> tuple[str, set[str]]:
    """The review of two revisions of the repository in the current folder, as Markdown.

    Accuracies are equivalent if they differ by less than `margin` points. Returns also which of
    FAIL_ON's words apply. Raises BenchmarkError where there is no such revision, or DVC cannot read
    REV's pipeline or results.
    """
    commits = {name: _commit(name) for name in (base, rev)}
    diff = _diff(commits, base, rev)
    synthetic_changed = any(key.startswith("data.synthetic.") for key in diff.changed)
    stores = {name: Store(read=_reader(commits[name]), name=name) for name in (base, rev)}
    accuracies: list[Row] = []
    seconds: list[Row] = []
    unread: list[str] = []
    rev_is_broken = False
    for variant in diff.variants:
        sides = []
        for name in (base, rev):
            try:
                side = _side(stores[name], variant)
            except BenchmarkError as error:  # an older revision may have other files
                unread.append(f"{error}: {variant} is {review.NOT_COMPARABLE}")
                rev_is_broken |= name == rev
            else:
                sides.append(side)
                if side and not side.results.recorded:
                    diff.stale[name].append(
                        f"{variant}: its training did not record its code and data"
                    )
        match sides:
            case [Side() as before, Side() as after]:
                accuracies.append(
                    review.accuracy_row(variant, before, after, synthetic_changed, margin)
                )
                seconds.append(review.seconds_row(variant, before, after, synthetic_changed))
            case [before, after] if before or after:
                accuracies.append(review.one_sided_row(variant, before, after))
            case _:  # a side cannot be read, which `unread` says
                pass
    accuracies, seconds = review.with_verdicts(accuracies, seconds)
    page = review.page(base, rev, accuracies, seconds, diff.changed, unread, diff.stale)
    worse = rev_is_broken or _any_worse([*accuracies, *seconds])
    applies = {"worse": worse, "stale": bool(diff.stale[rev])}
    return page, {word for word in FAIL_ON if applies[word]}


def _any_worse(rows: Sequence[Row]) -> bool:
    return any(row.verdict == verdicts.WORSE for row in rows)


def _side(store: Store, variant: str) -> Side | None:
    """A variant at a revision; None where it has no results."""
    results = store.results(variant)
    return None if results is None else Side(results, store.correct(variant, results))


def _commit(name: str) -> str:
    """The commit's hash, which DVC needs: it confuses two names of one commit."""
    if name == WORKSPACE:
        return name
    found = commit(name, WORKSPACE)
    fetch_objects(found)
    return found


def _diff(commits: Mapping[str, str], base: str, rev: str) -> Diff:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import SCMError

    try:
        with Repo(".") as repo:
            metrics = repo.metrics.diff(a_rev=commits[base], b_rev=commits[rev], all=True)
            parameters = repo.params.diff(commits[base], commits[rev])
            listed = [out.def_path for out in repo.index.metrics]
            stale = {name: stale_results(repo, commits[name]) for name in (base, rev)}
    except (DvcException, SCMError) as error:
        raise BenchmarkError(f"DVC: {' '.join(str(error).split())}") from error
    found = set(metrics.get("diff", {}))
    for name in (rev, base):
        found |= _unreadable(metrics.get("errors", {}).get(commits[name], {}), name, name == rev)
    in_order = sorted(
        found, key=lambda path: (listed.index(path) if path in listed else len(listed), path)
    )
    changed = {
        key: (pair["old"], pair["new"])
        for path, pairs in parameters.get("diff", {}).items()
        if Path(path).name == "params.yaml"
        for key, pair in sorted(pairs.items())
    }
    return Diff(changed, [Path(path).stem for path in in_order], stale)


def _unreadable(errors: Any, name: str, is_rev: bool) -> set[str]:
    """The metrics files that DVC cannot read at a revision, apart from those that do not exist.

    An error in REV is raised. One in BASE is reported later, beside the rest of the review.
    """
    found = set()
    problems = errors.items() if isinstance(errors, Mapping) else [("dvc.yaml", errors)]
    for path, problem in problems:
        if isinstance(problem, FileNotFoundError):  # a variant that is not trained there
            continue
        if is_rev or path == "dvc.yaml":
            raise BenchmarkError(f"{name}: {path}: {' '.join(str(problem).split())}")
        found.add(path)
    return found


def _reader(revision: str) -> Reader:
    return read_workspace if revision == WORKSPACE else partial(_read_commit, revision)


def _read_commit(revision: str, path: Path) -> str | None:
    """The text of a file of a commit; None where it has no such file."""
    name = path.as_posix()
    if not git("ls-tree", "--name-only", revision, f"./{name}"):
        return None
    return git("show", "--end-of-options", f"{revision}:./{name}").decode(errors="replace")


def _margin(text: str) -> float:
    try:
        margin = float(text)
    except ValueError:
        margin = math.nan
    if not 0 < margin < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number of points above 0, e.g. 0.5")
    return margin


def main(arguments: argparse.Namespace) -> None:
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    text, applying = compare(arguments.base, arguments.rev, arguments.margin)
    print(text, end="")
    if applying & set(arguments.fail_on):
        raise SystemExit(1)


if __name__ == "__main__":
    command = command_parser("scripts.review", __doc__)
    command.add_argument("base", metavar="BASE", help="the commit to compare with")
    command.add_argument(
        "rev",
        metavar="REV",
        nargs="?",
        default=WORKSPACE,
        help="the commit to review (default: %(default)s)",
    )
    command.add_argument(
        "--margin",
        type=_margin,
        default=verdicts.MARGIN,
        metavar="POINTS",
        help="accuracies that differ by less than this are equivalent (default: %(default)s)",
    )
    command.add_argument(
        "--fail-on",
        action="append",
        default=[],
        choices=FAIL_ON,
        help="exit with status 1: worse, where a verdict is worse or REV's results cannot be read; "
        "stale, where results of REV are stale",
    )
    run_stage(main, command)
