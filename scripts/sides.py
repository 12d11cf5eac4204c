"""A side of a review: a commit, or the working tree.

A commit can be anyone's, so its files are data: they are read from git, nothing of it is run, and
what is too large, not a file or not plain YAML is not read. Files of the working tree are trusted.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import yaml

from resnet import params
from resnet.errors import BenchmarkError
from resnet.results.provenance import WORKSPACE
from resnet.results.store import METRICS, Reader, Store, read_workspace
from resnet.schema import single_line
from scripts.git import commit, fetch_objects, git

LARGEST, LARGEST_YAML = 5_000_000, 1_000_000  # bytes of a file; YAML takes a second per 50 kB
MOST_VARIANTS = 500
MOST_FILES = 100  # of code: each is read from git
MODULE = re.compile(r"(\w{1,50}/){1,5}\w{1,50}\.py", re.ASCII)
PIPELINE = Path("dvc.yaml")
REQUIRED = (PIPELINE, params.PATH)  # and dvc.lock, which a commit without results lacks
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

    @cached_property
    def settings(self) -> params.Params | str | None:
        """What params.yaml says, or why this checkout's code refuses it; None where it is missing.

        Also None where it cannot be read, which `broken` says.
        """
        try:
            text = self.reader(params.PATH)
        except BenchmarkError:
            return None
        if text is None or len(text) > LARGEST_YAML:
            return None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / params.PATH
            path.write_text(text, encoding="utf-8")
            try:
                return params.load(path)
            except BenchmarkError as error:
                return str(error).replace(str(path), str(params.PATH))

    @cached_property
    def listed(self) -> list[str]:
        """`variants` of params.yaml, in order; none where DVC cannot read the side."""
        values = self._yaml(params.PATH)
        names = values.get("variants") if isinstance(values, dict) else None
        return [str(name) for name in names] if isinstance(names, list) else []

    @cached_property
    def code(self) -> dict[str, str]:
        """The SHA-256 of each module that the train stage depends on, by path.

        Not of a path that is no module's: a file could name any path, and any number of them.
        """
        try:
            deps = self._yaml(PIPELINE)["stages"]["train"]["deps"]
        except (LookupError, TypeError):
            return {}
        names = [name for name in deps if isinstance(name, str) and MODULE.fullmatch(name)]
        texts = {name: self.reader(Path(name)) for name in names[:MOST_FILES]}
        return {
            name: hashlib.sha256(text.encode()).hexdigest()
            for name, text in texts.items()
            if text is not None
        }

    def _yaml(self, path: Path) -> Any:
        """The values of a YAML file; None where it is missing, or DVC cannot read the side."""
        if self.broken:
            return None
        try:
            return _load(self.reader(path) or "")
        except yaml.YAMLError:
            return None

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
    for path in REQUIRED:
        if path not in paths:
            yield f"{path}: no such file"
    for path in paths:
        if path.suffix == ".dvc" and path.parent.name != ".dvc":
            yield f"{path}: the pipeline has no .dvc files, which can name other repositories"
        if path.name in (PIPELINE.name, params.PATH.name, "dvc.lock"):
            try:
                text = side.reader(path) or ""
                problem = _yaml_problem(text)
                if not problem and path.name == PIPELINE.name and _names_values(text):
                    problem = f"names files of values beside {params.PATH}: must name none"
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
        _load(text)
    except (yaml.YAMLError, RecursionError) as error:
        return f"not YAML: {single_line(' '.join(str(error).split()))}"
    return None


def _load(text: str) -> Any:
    """The values of a YAML text; YAMLError also for what PyYAML fails at, e.g. 30 February."""
    try:
        return yaml.safe_load(text)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise yaml.YAMLError(f"{type(error).__name__}: {error}") from error


def _names_values(text: str) -> bool:
    """Whether a dvc.yaml has `vars`, or params of other files: DVC would read them as YAML."""
    try:
        pipeline = _load(text)
        mappings = list(_mappings(pipeline))
    except (yaml.YAMLError, RecursionError):
        return True
    return (isinstance(pipeline, dict) and "params" in pipeline) or any(
        "vars" in each or _of_another_file(each.get("params")) for each in mappings
    )


def _of_another_file(of_stage: Any) -> bool:
    """Whether a stage's params have a mapping with a file beside params.yaml."""
    return isinstance(of_stage, list) and any(
        isinstance(item, dict) and set(item) != {str(params.PATH)} for item in of_stage
    )


def _mappings(value: Any) -> Iterator[dict[Any, Any]]:
    """A YAML value's mappings, at any depth."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _mappings(part)
