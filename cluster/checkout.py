"""What the driver takes from its checkout, and what it puts there: inputs, states and results."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml
from dvc.utils.serialize import modify_yaml

from cluster.events import State
from cluster.states import STATE
from resnet import params
from resnet.errors import BenchmarkError
from resnet.files import exclusive_lock, replaced, sha256
from resnet.params import Params
from resnet.training import pending, resume
from resnet.training.identity import training_parameters
from resnet.training.pending import Name
from resnet.training.record import model_folder
from resnet.training.run import BUSY
from scripts.repository import repository

LEASH = "cluster/leash.py"  # see worker.py
CODE = ("resnet/**/*.py", "stages/*.py", LEASH)  # also what is not among the deps, e.g. errors.py
ALWAYS = ("dvc.yaml", ".dvcignore")  # DVC's .dvcignore counts in the hash of a folder
TEMPORARY = Path(".dvc/tmp/cluster")
OBJECT = re.compile(r"files/md5/([0-9a-f]{2})/([0-9a-f]{30}(?:\.dir)?)")  # in DVC's cache
RUN = re.compile(r"runs/[0-9a-f]{2}/[0-9a-f]{64}/[0-9a-f]{64}")
DRIVER = "another driver, {holder}, trains from this checkout; wait for it, or end it with `kill`"


def hold(locks: ExitStack) -> None:
    """Keep other drivers out of this checkout; raises BenchmarkError where there is one."""
    locks.enter_context(exclusive_lock(TEMPORARY / "lock", DRIVER))


def hold_outputs(locks: ExitStack, names: Iterable[Name]) -> None:
    """Keep a `dvc repro` in this checkout from training the same, as one training keeps another.

    Raises BenchmarkError where such a training runs.
    """
    for name in names:
        folder = model_folder(*name)
        output = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        busy = BUSY.format(what=folder)
        locks.enter_context(exclusive_lock(resume.root() / "locks" / output, busy))


def stale() -> list[Name]:
    """The trainings that `dvc repro` would run, by DVC's own comparison."""
    with repository() as repo:
        return pending.pending(repo)


def listed() -> list[Name]:
    """The trainings that params.yaml lists."""
    with repository() as repo:
        return list(pending.trainings(repo))


def forget_lost() -> None:
    """Remove from dvc.lock the trainings whose output is lost and that have run again since.

    DVC would look for the output that dvc.lock records alone, not in its run cache, and train.
    """
    with repository() as repo:
        again = [
            name.stage
            for name, stage in pending.trainings(repo).items()
            if pending.is_recorded(stage)
            and not stage.outs_cached()
            and pending.in_run_cache(stage)
        ]
    if again:
        with modify_yaml("dvc.lock") as lock:
            for stage in again:
                del lock["stages"][stage]


def log(name: str) -> Path:
    """The file for all that a training, or Ray, prints."""
    path = TEMPORARY / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def inputs(stages: Iterable[Any]) -> dict[str, Path]:
    """The files that those stages of a dvc.repo.Repo need, by their path in a clone."""
    root = Path.cwd()
    found = [Path(name) for name in ALWAYS if Path(name).is_file()]
    found += [path for pattern in CODE for path in Path().glob(pattern)]
    deps = {dep.fs_path for stage in stages for dep in stage.deps if dep.protocol == "local"}
    for dep in map(Path, sorted(deps)):
        path = dep.relative_to(root)
        found += [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
    return {path.as_posix(): path for path in sorted(set(found)) if path != params.PATH}


def digest(files: Mapping[str, Path]) -> str:
    """A short hash of files and their names."""
    lines = [f"{name} {sha256(path)}" for name, path in files.items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def params_for(text: str, name: Name) -> str:
    """The text of a params.yaml that lists one training alone.

    DVC then reads one train stage rather than all. Neither the stage nor the identity of a training
    depends on what else is listed, so the run cache finds the result under the whole params.yaml.
    """
    values = yaml.safe_load(text)
    values |= {"variants": [name.variant], "seeds": [name.seed]}
    return yaml.safe_dump(values, sort_keys=False)


def states(name: Name) -> dict[str, bytes]:
    """The files below .resume/ of a training, saved under any conditions."""
    found = {}
    root = resume.root()
    for folder in root.glob(f"{name.variant}-seed{name.seed}-*"):
        for path in folder.rglob("*"):
            if path.is_file() and not path.relative_to(root).as_posix().count("/."):
                found[path.relative_to(root).as_posix()] = path.read_bytes()
    return found


def states_kind(settings: Params, name: Name) -> str | None:
    """The kind of node, as events.About has it, on which a training's states were saved.

    That of the most epochs; states with other parameters, which are not resumed, do not count.
    None where there are no others.
    """
    parameters, found = training_parameters(settings, name.variant), dict[int, str]()
    for folder in resume.root().glob(f"{name.variant}-seed{name.seed}-*"):
        store = resume.Store(folder)
        identity = store.identity() if store.epochs else None
        if identity and identity.parameters == parameters:
            device = identity.device
            kind = device.name if device.gpu else f"{device.name} {device.processor}"
            found[store.epochs] = kind
    return found[max(found)] if found else None


def save_state(name: Name, state: State) -> None:
    """Write a file that a training saved, and remove the states that it replaced."""
    folder = _folder(name, state.folder)
    if not STATE.fullmatch(state.name):
        raise BenchmarkError(f"{state.name!r} is not the name of a state")
    with replaced(folder / state.name) as partial:
        partial.write_bytes(state.content)
    for path in folder.glob("epoch*.npz"):
        if path.name not in state.kept:
            path.unlink()


def remove_states(name: Name, folder: str) -> None:
    """Remove a folder below .resume/."""
    shutil.rmtree(_folder(name, folder), ignore_errors=True)


def _folder(name: Name, folder: str) -> Path:
    """A folder below .resume/, which a node names; it must be one of this training."""
    if not re.fullmatch(rf"{re.escape(name.variant)}-seed{name.seed}-\w+", folder):
        raise BenchmarkError(f"{folder!r} is not a folder of {name}'s states")
    return resume.root() / folder


def add_to_cache(repo: Any, files: Mapping[str, bytes]) -> None:
    """Add what a run of DVC added to its cache to that of a dvc.repo.Repo, the run cache last.

    Raises BenchmarkError where a file is not the one that its name says; nothing is added then.
    """
    from dvc.fs import LocalFileSystem

    objects, runs = dict[str, bytes](), dict[Path, bytes]()
    for path, content in files.items():
        if RUN.fullmatch(path):
            runs[Path(path).relative_to("runs")] = content
        elif match := OBJECT.fullmatch(path):
            oid = "".join(match.groups())
            if hashlib.md5(content).hexdigest() != oid.removesuffix(".dir"):
                raise BenchmarkError(f"{path} came damaged: its MD5 is not its name")
            objects[oid] = content
    cache = Path(repo.cache.legacy.path)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".cluster-") as scratch:  # to rename from
        for oid, content in objects.items():
            Path(scratch, oid).write_bytes(content)
        paths = [str(Path(scratch, oid)) for oid in objects]
        repo.cache.local.add(paths, LocalFileSystem(), list(objects))
        for entry, content in runs.items():
            _add_run(Path(repo.stage_cache.cache_dir) / entry, content, Path(scratch))


def _add_run(path: Path, content: bytes, scratch: Path) -> None:
    """Add an entry to DVC's run cache. DVC fails where the folder of an entry is empty.

    So the folder is written elsewhere and renamed with the entry in it.
    """
    if path.parent.is_dir():
        with replaced(path) as partial:
            partial.write_bytes(content)
        return
    whole = scratch / path.parent.name
    whole.mkdir()
    (whole / path.name).write_bytes(content)
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    whole.rename(path.parent)


def environment(names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Of those variables, the ones that are set here, with their values, and the ones that are not.

    A training on a node has both as here: Ray sets OMP_NUM_THREADS, which a result depends on.
    """
    values = {name: os.environ[name] for name in names if name in os.environ}
    return values, [name for name in names if name not in values]
