"""What a training has done, kept on disk so that a killed run loses nothing: outside of DVC's graph, whose outputs a failed stage loses.

Below $DVC_ROOT/.resume lies a folder a run, named after a fingerprint of all that determines its result. It holds the states after its
last two saved epochs, epoch<number>-<SHA-256>.npz; once the run is trained, only result-<hash>, a copy of what it gave DVC. That stays
until the hash is found in dvc.lock: a dvc that is killed before it records the stage gets the result back at once.
"""

import fcntl
import hashlib
import io
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from resnet.errors import BenchmarkError
from resnet.files import replaced, sha256

KEPT = 2  # states: where the last is damaged, the one before it is used


class Saved(NamedTuple):
    """A state as it lies on disk."""

    epochs: int  # that are done
    arrays: Mapping[str, NDArray[Any]]
    notes: Mapping[str, Any]  # all that is not an array, as JSON has it


class Store:
    """The folder of one run."""

    def __init__(self, folder: Path):
        self.folder = folder

    def save(self, saved: Saved) -> None:
        """Write a state beside the others, then drop all but the last two; raises BenchmarkError where that fails, the others untouched."""
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f".epoch{saved.epochs}.partial"
        notes = np.frombuffer(json.dumps(saved.notes).encode(), np.uint8)
        arrays: dict[str, Any] = {**saved.arrays, "notes": notes}
        try:
            with partial.open("wb") as file:
                np.savez(file, **arrays)
            digest = sha256(partial)
            _sync(partial)
            partial.rename(self.folder / f"epoch{saved.epochs}-{digest}.npz")
            _sync(self.folder)
        except OSError as error:
            kept = (
                f"that after epoch {_epochs(self._states()[-1])} is"
                if self._states()
                else "no earlier one is"
            )
            reason = error.strerror or error
            raise BenchmarkError(
                f"{self.folder}: {reason}: the state after epoch {saved.epochs} was not saved, {kept} there"
            ) from error
        finally:
            partial.unlink(missing_ok=True)
        for path in self._states()[:-KEPT]:
            path.unlink()

    def load(self) -> Saved | None:
        """The last state that is whole, or None; a damaged one is reported and removed."""
        for path in self.folder.glob(".*.partial"):
            path.unlink()
        for path in reversed(self._states()):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == path.stem.partition("-")[2]:
                with np.load(io.BytesIO(content), allow_pickle=False) as file:
                    arrays = {name: file[name] for name in file.files}
                return Saved(_epochs(path), arrays, json.loads(arrays.pop("notes").tobytes()))
            print(
                f"warning: {path}: damaged, its SHA-256 is not the one in its name: removed, an earlier state will do",
                flush=True,
            )
            path.unlink()
        return None

    def keep_result(self, result: Path) -> None:
        """Keep a copy of what the run gives DVC, in place of its states."""
        for path in result.iterdir():
            _sync(path)
        with replaced(self.folder / f"result-{dvc_hash(result)}") as partial:
            shutil.copytree(result, partial)
            for path in partial.iterdir():
                _sync(path)
        _sync(self.folder)
        for path in self._states():
            path.unlink()

    def give_result(self, target: Path) -> bool:
        """Put the result at `target` if the run has one; says whether. A damaged one is reported and removed."""
        for path in self.folder.glob("result-*"):
            if dvc_hash(path) == path.name.removeprefix("result-"):
                with replaced(target) as partial:
                    shutil.copytree(path, partial)
                return True
            print(
                f"warning: {path}: damaged, its hash is not the one in its name: removed",
                flush=True,
            )
            shutil.rmtree(path)
        return False

    def _states(self) -> list[Path]:
        return sorted(self.folder.glob("epoch*.npz"), key=_epochs)


def root() -> Path:
    """Where the runs' folders lie. DVC sets DVC_ROOT to the main checkout, in its temporary copies too."""
    return Path(os.environ.get("DVC_ROOT", ".")) / ".resume"


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Of all that determines a run's result."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def code(pipeline: Path, stage: str) -> dict[str, str]:
    """The SHA-256 of each module that a stage of that dvc.yaml depends on, by path."""
    try:
        deps = yaml.safe_load(pipeline.read_text(encoding="utf-8"))["stages"][stage]["deps"]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise BenchmarkError(
            f"{pipeline}: no deps of a stage {stage}: {' '.join(str(error).split())}"
        ) from error
    return {dep: sha256(pipeline.parent / dep) for dep in deps if dep.endswith(".py")}


def forget_recorded(folder: Path, lock: Path) -> None:
    """Remove the runs below `folder` whose results stand in that dvc.lock; DVC has them. One that cannot be read has none."""
    try:
        stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"].values()
        recorded = {out["md5"] for stage in stages for out in stage.get("outs", []) if "md5" in out}
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return
    for path in folder.glob("*/result-*"):
        if path.name.removeprefix("result-") in recorded:
            shutil.rmtree(path.parent, ignore_errors=True)


def dvc_hash(folder: Path) -> str:
    """The hash that dvc.lock gives an output folder of plain files: of a list of their names and hashes."""
    files = [
        {"md5": hashlib.md5(path.read_bytes()).hexdigest(), "relpath": path.name}
        for path in folder.iterdir()
    ]
    listed = json.dumps(sorted(files, key=lambda file: file["relpath"]), sort_keys=True)
    return hashlib.md5(listed.encode()).hexdigest() + ".dir"


@contextmanager
def alone(lock: Path, what: str) -> Iterator[None]:
    """Hold a lock that the operating system releases however this process ends.

    Raises BenchmarkError that names the process which holds it: the orphan of a killed dvc, say.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read() or "another process"
            hint = "wait for it, or end it with `kill`: it saves first"
            raise BenchmarkError(f"{what} is being trained already, by {holder}; {hint}") from error
        file.truncate(0)
        file.write(
            f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}"
        )
        file.flush()
        yield


def _epochs(path: Path) -> int:
    """The number in epoch<number>-<SHA-256>.npz."""
    number = path.stem.partition("-")[0].removeprefix("epoch")
    return int(number) if number.isdecimal() else 0


def _sync(path: Path) -> None:
    """Have the disk hold a file, or a folder's list of names, before anything relies on it: power fails too."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
