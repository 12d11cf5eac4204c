"""A side of a review: a commit, or the working tree.

A commit can be anyone's, so its files are data: they are read from git, nothing of it is run, and
what is too large, not a file or not plain YAML is not read. Files of the working tree are trusted.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import yaml

from resnet import params
from resnet.errors import BenchmarkError
from resnet.results.provenance import WORKSPACE
from resnet.results.store import METRICS, Reader, Store, read_workspace
from resnet.schema import single_line
from scripts.git import commit, fetch_objects, git

LARGEST, LARGEST_YAML = 5_000_000, 1_000_000  # bytes of a file; YAML takes a second per 50 kB
MOST_VARIANTS = 500
PIPELINE = ("dvc.yaml", "params.yaml")  # and dvc.lock, which a commit without results lacks
SYMLINK = b"120000"


@dataclass
class Revision:
    """A side by the name it was given, and what is wrong with its pipeline."""

    name: str
    commit: str  # its hash, or WORKSPACE
    broken: list[str] = field(default_factory=list)  # why DVC cannot read it

    @property
    def store(self) -> Store:
        """The side's results; each error message begins with the side's name."""
        return Store(read=self.reader, name=self.name)

    @property
    def reader(self) -> Reader:
        if self.commit == WORKSPACE:
            return read_workspace
        return partial(read_commit, self.commit, self.name)

    def refused(self) -> str | None:
        """Why this checkout's code refuses params.yaml; None where it is valid, or missing."""
        try:
            text = self.reader(params.PATH)
        except BenchmarkError:
            return None  # which `broken` says
        if text is None or len(text) > LARGEST_YAML:
            return None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / params.PATH
            path.write_text(text, encoding="utf-8")
            try:
                params.load(path)
            except BenchmarkError as error:
                return str(error).replace(str(path), str(params.PATH))
        return None

    def listed(self) -> list[str]:
        """`variants` of params.yaml, in order; none where DVC cannot read the side."""
        if self.broken:
            return []
        try:
            values = yaml.safe_load(self.reader(params.PATH) or "")
        except yaml.YAMLError:
            return []
        names = values.get("variants") if isinstance(values, dict) else None
        return [str(name) for name in names] if isinstance(names, list) else []

    def variants(self) -> list[str]:
        """The variants that have a file of metrics, by name: at most MOST_VARIANTS."""
        if self.commit == WORKSPACE:
            return Store().variants()
        listed = git("ls-tree", "-z", "--name-only", self.commit, f"./{METRICS}/runs/")
        paths = [Path(os.fsdecode(name)) for name in listed.split(b"\0") if name]
        names = [path.stem for path in paths if path.suffix == ".json" and path.name[0] != "."]
        return sorted(names)[:MOST_VARIANTS]


def revision(name: str) -> Revision:
    """The side of that name; BenchmarkError where there is none."""
    if name == WORKSPACE:
        return Revision(name, name)
    found = commit(name, WORKSPACE)
    fetch_objects(found)
    side = Revision(name, found)
    side.broken += _unsafe(side)
    return side


def read_commit(revision: str, name: str, path: Path) -> str | None:
    """The text of a file of a commit; None where it has no such file.

    Raises BenchmarkError, which begins with the name of the side, where it is no file or too large.
    """
    entry = git("ls-tree", "-z", "--long", revision, f"./{path.as_posix()}")
    if not entry:
        return None
    mode, kind, blob, size = entry.split(b"\t")[0].split()
    if mode == SYMLINK or kind != b"blob":
        what = "a symbolic link" if mode == SYMLINK else "not a file"
        raise BenchmarkError(f"{name}: {path}: {what}: must be a file")
    if int(size) > LARGEST:
        raise BenchmarkError(
            f"{name}: {path}: {int(size) / 1e6:.1f} MB: must be at most {LARGEST / 1e6:.0f} MB"
        )
    return git("cat-file", "blob", blob.decode()).decode(errors="replace")


def _unsafe(side: Revision) -> Iterator[str]:
    """Why DVC must not read a commit: what it could follow out of the repository, or never end."""
    listed = git("ls-tree", "-r", "-z", "--name-only", side.commit).split(b"\0")
    paths = [Path(os.fsdecode(name)) for name in listed if name]
    for path in (Path(name) for name in PIPELINE):
        if path not in paths:
            yield f"{path}: no such file"
    for path in paths:
        if path.suffix == ".dvc" and path.parent.name != ".dvc":
            yield f"{path}: the pipeline has no .dvc files, which can name other repositories"
        if path.name in (*PIPELINE, "dvc.lock"):
            try:
                problem = _yaml_problem(side.reader(path) or "")
            except BenchmarkError as error:
                yield str(error).removeprefix(f"{side.name}: ")
            else:
                if problem:
                    yield f"{path}: {problem}"


def _yaml_problem(text: str) -> str | None:
    """Why a text is not YAML that DVC reads in bounded time: aliases make short texts endless."""
    if len(text) > LARGEST_YAML:
        return f"{len(text) / 1e6:.1f} MB: must be at most {LARGEST_YAML / 1e6:.0f} MB"
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                return f"contains the alias *{event.anchor}: write the value"
    except (yaml.YAMLError, RecursionError) as error:
        return f"not YAML: {single_line(' '.join(str(error).split()))}"
    return None
