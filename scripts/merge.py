"""Resolve a merge of two branches that each trained variants, without training.

Run it where `git merge` has stopped at conflicts. params.yaml, dvc.lock and metrics/same-bits.json
get what either branch added or changed; the tables, the plots and what pages.py renders are
rendered again. Where both branches changed the same variant or value, nothing is changed: you
decide.
"""

import argparse
import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from dvc.utils.serialize import dump_yaml, dumps_yaml, modify_yaml, parse_yaml_for_update
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from resnet import params
from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.files import write_json, write_text
from resnet.results import same_bits
from resnet.results.store import METRICS, PAGE, PICTURES, PLOTS, ROWS
from scripts import pages
from scripts.git import git

LOCK = Path("dvc.lock")
RENDERED = tuple(METRICS / path for path in (PAGE, ROWS, PLOTS, PICTURES))
PAGES = (pages.README, pages.CARD, pages.PIPELINE)
ARTIFACTS = re.compile(  # the entries, up to the next key or its comment
    r"(?<=^artifacts:\n)(?:(?:[ #].*)?\n)*?(?=\n*(?:^[^\s#]|\Z))", re.MULTILINE
)
VARIANTS = re.compile(r"^variants:.*\n(?:[- ].*\n)*", re.MULTILINE)  # the list in params.yaml
SHARED = ("data", "preprocess", "augment", "train", "recipes")  # sections of no one variant
MISSING = object()  # the value of a key that a side does not have


class Sides(NamedTuple):
    """A file's values at the merge base, on our branch and on theirs."""

    base: Mapping[str, Any]
    ours: Mapping[str, Any]
    theirs: Mapping[str, Any]


def unmerged() -> list[Path]:
    """The files in which git left conflicts."""
    names = git("diff", "--name-only", "--diff-filter=U", "-z").decode().split("\0")
    return [Path(name) for name in names if name]


def text_of(path: Path, side: int) -> str:
    """A conflicting file at the merge base (1), on our branch (2) or on theirs (3), or nothing."""
    listed = git("ls-files", "--unmerged", "--", str(path)).decode().splitlines()
    if not any(line.split("\t")[0].endswith(f" {side}") for line in listed):
        return ""
    return git("show", f":{side}:{path.as_posix()}").decode()


def sides_of(path: Path) -> Sides:
    """The values of a YAML or JSON file; raises BenchmarkError where a side is neither."""
    reader = YAML(typ="safe")
    try:
        return Sides(*(reader.load(io.StringIO(text_of(path, side))) or {} for side in (1, 2, 3)))
    except YAMLError as error:
        raise BenchmarkError(f"{path}: {' '.join(str(error).split())[:200]}") from error


def union(sides: Sides, path: Path, within: Collection[str] = ()) -> dict[str, Any]:
    """Every key, with the value of the side that changed it; BenchmarkError where both did.

    The keys `within` have mappings, which are merged in the same way.
    """
    merged, both = _union(sides, within)
    if both:
        raise BenchmarkError(
            f"{path}: both branches changed {', '.join(both)}: edit the file so that it has what "
            "you want, `git add` it, and run this again, or, if no other file has conflicts, "
            "`dvc repro --single-item report`; or `git merge --abort`"
        )
    return merged


def _union(sides: Sides, within: Collection[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """The merged values, and the names of those that both branches changed."""
    merged, both = dict[str, Any](), []
    for key in dict.fromkeys([*sides.ours, *sides.theirs]):
        base, ours, theirs = values = [side.get(key, MISSING) for side in sides]
        if key in within and all(isinstance(value, Mapping) for value in values):
            merged[key], inside = _union(Sides(*values))
            both += [f"{key}.{name}" for name in inside]
        elif ours not in (theirs, base) and theirs != base:
            both.append(key)
        elif (value := theirs if ours == base else ours) is not MISSING:
            merged[key] = value
    return merged, both


def merged_list(base: Sequence[Any], ours: Sequence[Any], theirs: Sequence[Any]) -> list[Any]:
    """What either side has, without what one of them removed."""
    removed = [value for value in base if value not in ours or value not in theirs]
    values = [*ours, *(value for value in theirs if value not in ours)]
    return [value for value in values if value not in removed]


def merged_params() -> dict[str, Any]:
    sides = sides_of(params.PATH)
    variants = merged_list(*(side.get("variants", []) for side in sides))
    return {
        **union(Sides(*({**side, "variants": []} for side in sides)), params.PATH, SHARED),
        "variants": variants,
    }


def merged_lock() -> dict[str, Any]:
    """The stages of both branches; report is left out, since it runs again."""
    sides = sides_of(LOCK)
    stages = Sides(
        *(
            {name: stage for name, stage in side.get("stages", {}).items() if name != "report"}
            for side in sides
        )
    )
    return {"schema": sides.ours.get("schema", "2.0"), "stages": union(stages, LOCK)}


def merged_same_bits() -> dict[str, Any]:
    sides = sides_of(same_bits.PATH)
    lists = [side.get("comparisons", []) for side in sides]
    return {**sides.ours, "comparisons": merged_list(*lists)}


def merged_text(path: Path, rendered: re.Pattern[str]) -> str:
    """A file as git merges it, apart from conflicts within what pages.py renders in it.

    Raises BenchmarkError where there are others.
    """
    part = rendered.search(text_of(path, 2))
    with tempfile.TemporaryDirectory() as folder:
        names = [Path(folder, name) for name in ("ours", "base", "theirs")]
        for name, side in zip(names, (2, 1, 3), strict=True):
            text = rendered.sub(lambda _: part[0] if part else "", text_of(path, side), count=1)
            name.write_text(text, encoding="utf-8")
        command = ["git", "merge-file", "--stdout", "--quiet", *map(str, names)]
        done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise BenchmarkError(
            f"{path}: both branches changed the same lines, also outside of what is rendered "
            "there; resolve these first and `git add` it"
        )
    return done.stdout.decode()


def merged_pipeline() -> str:
    """dvc.yaml with the artifacts of both branches."""
    values = parse_yaml_for_update(merged_text(pages.PIPELINE, ARTIFACTS), pages.PIPELINE)
    sides = (side.get("artifacts") or {} for side in sides_of(pages.PIPELINE))
    values["artifacts"] = union(Sides(*sides), pages.PIPELINE)
    return str(dumps_yaml(values))


def resolve(conflicts: Sequence[Path]) -> None:
    """Write what can be merged; raises BenchmarkError before anything is written.

    What is rendered is removed, to be rendered again.
    """
    mergers: dict[Path, Callable[[], Any]] = {
        params.PATH: merged_params,
        LOCK: merged_lock,
        same_bits.PATH: merged_same_bits,
        pages.PIPELINE: merged_pipeline,
        **{path: partial(merged_text, path, pages.TABLE) for path in (pages.README, pages.CARD)},
    }
    rendered = [path for path in conflicts if any(path.is_relative_to(each) for each in RENDERED)]
    other = [str(path) for path in conflicts if path not in mergers and path not in rendered]
    if other:
        raise BenchmarkError(
            f"{', '.join(other)}: not merged by this command; resolve the conflicts and `git add`"
        )
    merged = {path: mergers[path]() for path in conflicts if path in mergers}
    for path, value in merged.items():
        if path == params.PATH:
            _write_params(value)
        elif path == LOCK:
            dump_yaml(str(path), value)
        elif isinstance(value, str):
            write_text(path, value)
        else:
            write_json(path, value)
    for path in rendered:
        path.unlink(missing_ok=True)


def _write_params(merged: Mapping[str, Any]) -> None:
    """Write params.yaml with the comments of both branches.

    Where both edited the same lines, e.g. since each added a section there, only the comments of
    our branch are kept, and those of their own sections.
    """
    theirs = YAML().load(io.StringIO(text_of(params.PATH, 3))) or {}
    try:
        text = merged_text(params.PATH, VARIANTS)
        YAML().load(text)  # which refuses a section that each branch added at another place
    except (BenchmarkError, YAMLError):
        text = text_of(params.PATH, 2)
        print(f"{params.PATH}: check the comments: both branches edited the same lines")
    write_text(params.PATH, text)
    with modify_yaml(str(params.PATH)) as values:
        _update(values, merged, theirs)


def _update(values: Any, merged: Mapping[str, Any], theirs: Any) -> None:
    """Make values of our branch, with their comments, those that are merged."""
    for key in [key for key in values if key not in merged]:
        del values[key]
    for key, value in merged.items():
        ours, other = values.get(key, MISSING), theirs.get(key)
        if other == value != ours:
            values[key] = other  # with its comments
        elif isinstance(ours, Mapping) and isinstance(value, Mapping):
            _update(ours, value, other if isinstance(other, Mapping) else {})
        elif ours != value:
            values[key] = value


def main(_arguments: argparse.Namespace) -> None:
    """Resolve the conflicts, and render what follows from the merged results."""
    conflicts = unmerged()
    if not conflicts:
        raise BenchmarkError(
            "no file has conflicts; run this where `git merge` has stopped at some"
        )
    resolve(conflicts)
    params.load()
    command = ["dvc", "repro", "--single-item", "report"]
    if subprocess.run([sys.executable, "-m", *command], check=False).returncode:
        raise BenchmarkError(f"{' '.join(command)} failed; nothing was staged")
    try:
        pages.update()
    except BenchmarkError as error:  # e.g. of a fork whose README.md has no results
        print(f"the pages are as git merged them: {error}")
    changed = git("diff", "--name-only", "-z").decode().split("\0")
    shown = [str(path) for path in PAGES if str(path) in changed]
    git("add", "--", *map(str, (*conflicts, METRICS, LOCK)), *shown)
    print("merged without training; look at `git diff --staged`, then `git commit`")


if __name__ == "__main__":
    run_stage(main, command_parser("scripts.merge", __doc__))
