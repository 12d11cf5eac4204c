"""What a change did to the results: two sides compared, as Markdown.

`make review BASE=main REV=branch`. A side is a commit, a DVC experiment or the working tree.
Parameters come from DVC's own diff, the results themselves from git: neither checkpoints nor a DVC
remote are needed, and no code of a side is run.
"""

import argparse
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.params import Params
from resnet.results import curves, review, same_bits, stale, verdicts
from resnet.results.markdown import code
from resnet.results.provenance import WORKSPACE, stale_results
from resnet.results.review import Row, Side
from resnet.results.review_page import Chart, Review, differing_code, render
from scripts.repository import repository
from scripts.sides import Revision, revision

FAIL_ON = ("worse", "stale")


def compare(base: str, rev: str, margin: float = verdicts.MARGIN) -> tuple[str, set[str]]:
    """The review of two sides, from the repository in the current folder, as Markdown.

    Accuracies are equivalent if they differ by less than `margin` points. Returns also which of
    FAIL_ON's words apply, and `broken` where DVC cannot read the pipeline of `rev`. Raises
    BenchmarkError where there is no such side.
    """
    sides = (revision(base), revision(rev))
    found = Review(base, rev, stale={side.name: [] for side in sides})
    _read_pipelines(sides, found)
    found.refused = sides[1].settings if isinstance(sides[1].settings, str) else None
    unread_in_rev = False
    for variant in _variants(sides):
        pair = []
        for side in sides:
            try:
                results = _side(side, variant)
                said = found.stale[side.name]
                reasons = list(_stale(side, variant, results, said)) if results else []
            except BenchmarkError as error:  # an older revision may have other files
                found.unread.append((variant, str(error)))
                unread_in_rev |= side is sides[1]
            else:
                pair.append(results)
                found.stale[side.name] += reasons
        match pair:
            case [Side() as before, Side() as after]:
                row = review.accuracy_row(variant, before, after, margin)
                found.accuracies.append(row)
                found.seconds.append(review.seconds_row(variant, before, after))
                if before.results.recorded and after.results.recorded:
                    found.codes[variant] = differing_code(before.results, after.results)
                if not row.unchanged:
                    found.charts += _charts(sides, variant, before, after)
            case [before, after] if before or after:
                found.accuracies.append(review.one_sided_row(variant, before, after))
            case _:  # a side cannot be read, which `unread` says
                pass
    found.accuracies, found.seconds = review.with_verdicts(found.accuracies, found.seconds)
    applies = {
        "worse": unread_in_rev or _any_worse([*found.accuracies, *found.seconds]),
        "stale": bool(found.stale[rev]),
        "broken": bool(sides[1].broken),
    }
    return render(found), {word for word, does in applies.items() if does}


def _any_worse(rows: Sequence[Row]) -> bool:
    return any(row.verdict == verdicts.WORSE for row in rows)


def _side(side: Revision, variant: str) -> Side | None:
    """A variant's results on a side; None where it has none."""
    results = side.store.results(variant)
    if results is None:
        return None
    by_seed = sorted(range(len(results.runs)), key=lambda i: results.runs[i].seed)
    correct = side.store.correct(variant, results)[by_seed]
    return Side(results, correct, variant in side.listed)


def _stale(side: Revision, variant: str, of: Side, said: Sequence[str]) -> Iterator[str]:
    """Why results are stale by their own records, where DVC has not said that they are.

    The records are all there is of an unlisted variant. Of a listed one, dvc.lock may record a
    later training than the one whose results these are.
    """
    results, name = of.results, code(variant)
    if not results.recorded:
        yield f"{name}: its training did not record its code and data"
    elif not side.broken and not any(name in line.partition(": ")[0] for line in said):
        unlisted = "" if variant in side.listed else "not in `variants`, and "
        text, where = side.reader(same_bits.PATH), f"{side.name}: {same_bits.PATH}"
        known = same_bits.parse(text, where) if text else []
        records = [run.training for run in results.runs]
        if not all(
            same_bits.same_code(variant, record.identity.code, side.code, known)
            for record in records
        ):
            yield f"{name}: {unlisted}trained with other code"
        if isinstance(settings := side.settings, Params) and not all(
            stale.same_parameters(variant, record, settings) for record in records
        ):
            yield f"{name}: {unlisted}trained with other parameters"


def _variants(sides: Sequence[Revision]) -> list[str]:
    """The variants with results on either side: first those that the second side lists."""
    found = {name for side in sides for name in side.variants()}
    listed = sides[1].listed
    return [*(name for name in listed if name in found), *sorted(found - set(listed))]


def _read_pipelines(sides: Sequence[Revision], found: Review) -> None:
    """Let DVC compare the parameters, and find stale results, of sides that it can read."""
    with repository() as repo:
        for side in sides:
            if not side.broken:
                try:
                    found.stale[side.name] = stale_results(repo, side.commit)
                except Exception as error:  # whatever a damaged file makes DVC raise
                    side.broken.append(f"DVC: {' '.join(str(error).split())}")
        if not any(side.broken for side in sides):
            found.changed = _changed(repo, *(side.commit for side in sides))
    found.broken = {side.name: side.broken for side in sides}


def _changed(repo: Any, base: str, rev: str) -> dict[str, tuple[Any, Any]]:
    """The keys of params.yaml that differ, with the old and the new value."""
    return {
        key: (pair["old"], pair["new"])
        for path, pairs in repo.params.diff(base, rev).get("diff", {}).items()
        if Path(path).name == "params.yaml"
        for key, pair in sorted(pairs.items())
    }


def _charts(sides: Sequence[Revision], variant: str, *pair: Side) -> list[Chart]:
    """The learning curves of a variant, if both sides have them over equally many epochs."""
    epochs = {run.training.epochs for each in pair for run in each.results.runs}
    if len(epochs) > 1 or epochs == {1}:
        return []
    try:
        histories = [
            side.store.histories(variant, each.results)
            for side, each in zip(sides, pair, strict=True)
        ]
        column = curves.column([of for each in histories for of in each])
        if column is None or not all(histories):
            return []
        before, after = (curves.mean_curve(of, column) for of in histories)
    except (BenchmarkError, OSError, ValueError):  # damaged, or other lines to pandas than to us
        return []
    if not all(0 <= value <= 100 for value in [*before, *after]):  # neither is nan
        return []
    return [Chart(variant, curves.COLUMNS[column], before, after)]


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
    if applying & {*arguments.fail_on, "broken"}:
        raise SystemExit(1)


if __name__ == "__main__":
    command = command_parser("scripts.review", __doc__)
    command.add_argument("base", metavar="BASE", help="the commit or experiment to compare with")
    command.add_argument(
        "rev",
        metavar="REV",
        nargs="?",
        default=WORKSPACE,
        help="the commit or experiment to review (default: %(default)s)",
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
        "stale, where results of REV are stale. A pipeline that DVC cannot read always fails",
    )
    run_stage(main, command)
