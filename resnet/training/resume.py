"""The states of unfinished trainings on disk, from which a killed one resumes.

They are outside of DVC's graph, since DVC removes the outputs of a stage that fails. Below
$DVC_ROOT/.resume there is one folder per training, named after the fingerprint of its identity. It
contains identity.json and the states after the last two saved epochs, epoch<number>-<SHA-256>.npz.
When the training is done, result-<hash>, a copy of its output, replaces the states, until that
hash is found in dvc.lock: if dvc is killed before it records the stage, the next run restores it.
"""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from resnet.errors import BenchmarkError
from resnet.files import LEFT_BEHIND, replaced, sha256, sync, write_json
from resnet.schema import validate_json
from resnet.training.record import Identity

KEPT = 2  # states: if the last one is damaged, the one before it is used
IDENTITY = "identity.json"


class Saved(NamedTuple):
    """A state in the form in which it is saved."""

    epochs: int  # that are done
    arrays: Mapping[str, NDArray[Any]]
    notes: Mapping[str, Any]  # all that is not an array, as JSON has it


class Store:
    """The folder of one training."""

    def __init__(self, folder: Path):
        self.folder = folder

    def save(self, saved: Saved, identity: Identity) -> None:
        """Write a state, then remove all but the last two.

        Raises BenchmarkError where that fails; the earlier states are then untouched.
        """
        partial = self.folder / f".epoch{saved.epochs}.partial"
        notes = np.frombuffer(json.dumps(saved.notes).encode(), np.uint8)
        arrays: dict[str, Any] = {**saved.arrays, "notes": notes}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.identity() is None:  # else these states cannot be told from others
                write_json(self.folder / IDENTITY, identity.model_dump(mode="json"))
                sync(self.folder / IDENTITY)
            with partial.open("wb") as file:
                np.savez(file, **arrays)
            digest = sha256(partial)
            sync(partial)
            partial.rename(self.folder / f"epoch{saved.epochs}-{digest}.npz")
            sync(self.folder)
        except OSError as error:
            states = self._states()
            left = (
                f"the state after epoch {_epochs(states[-1])} is kept"
                if states
                else "no state is kept"
            )
            raise BenchmarkError(
                f"{self.folder}: {error.strerror or error}: "
                f"the state after epoch {saved.epochs} was not saved, {left}"
            ) from error
        finally:
            partial.unlink(missing_ok=True)
        for path in self._states()[:-KEPT]:
            path.unlink()

    def load(self) -> Saved | None:
        """The last state that is intact, or None; a damaged one is reported and removed."""
        for path in self.folder.glob(".*.partial"):
            path.unlink()
        for path in reversed(self._states()):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == path.stem.partition("-")[2]:
                with np.load(io.BytesIO(content), allow_pickle=False) as file:
                    arrays = {name: file[name] for name in file.files}
                return Saved(_epochs(path), arrays, json.loads(arrays.pop("notes").tobytes()))
            print(
                f"warning: {path}: damaged (its SHA-256 is not the one in its name), removed; "
                "an earlier state is used if there is one",
                flush=True,
            )
            path.unlink()
        return None

    @property
    def epochs(self) -> int:
        """How many epochs the last state on disk has; 0 where there is none."""
        states = self._states()
        return _epochs(states[-1]) if states else 0

    @property
    def has_result(self) -> bool:
        """Whether the training is done and DVC has not yet recorded its output."""
        return any(self.folder.glob("result-*"))

    def identity(self) -> Identity | None:
        """The identity of the training whose states these are; None where it cannot be read."""
        path = self.folder / IDENTITY
        try:
            return validate_json(Identity, path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError, BenchmarkError):
            return None

    def keep_result(self, result: Path) -> None:
        """Keep a copy of the training's output in place of its states."""
        for path in result.iterdir():
            sync(path)
        with replaced(self.folder / f"result-{dvc_hash(result)}") as partial:
            shutil.copytree(result, partial)
            for path in partial.iterdir():
                sync(path)
        sync(self.folder)
        for path in self._states():
            path.unlink()

    def restore_result(self, target: Path) -> bool:
        """Copy the kept result to `target`; returns whether there is one.

        A damaged one is reported and removed.
        """
        for path in self.folder.glob("result-*"):
            if dvc_hash(path) == path.name.removeprefix("result-"):
                with replaced(target) as partial:
                    shutil.copytree(path, partial)
                return True
            print(f"warning: {path}: damaged (its hash is not the one in its name), removed")
            shutil.rmtree(path)
        return False

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _states(self) -> list[Path]:
        return sorted(self.folder.glob("epoch*.npz"), key=_epochs)


def root() -> Path:
    """The folder of all trainings. DVC sets DVC_ROOT to the main checkout, also in its copies."""
    return Path(os.environ.get("DVC_ROOT", ".")) / ".resume"


def other_stores(
    folder: Path, own: Store, identity: Identity
) -> list[tuple[Store, Identity | None]]:
    """Stores below `folder` with states or a result of a variant and seed under another identity.

    The one with the most epochs is first, those with a result alone are last. The identity is None
    where it cannot be read, e.g. since another version of the benchmark wrote it.
    """
    found = []
    for path in folder.glob(f"{identity.variant}-seed{identity.seed}-*"):
        store = Store(path)
        if path == own.folder or not (store.epochs or store.has_result):
            continue
        other = store.identity()
        if not other or (other.variant, other.seed) == (identity.variant, identity.seed):
            found.append((store, other))
    return sorted(found, key=lambda pair: pair[0].epochs, reverse=True)


def forget_recorded(folder: Path, lock: Path) -> None:
    """Remove the trainings below `folder` whose results dvc.lock records; DVC has them.

    A dvc.lock that cannot be read records none.
    """
    try:
        stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"].values()
        outs = [out for stage in stages for out in stage.get("outs", [])]
        recorded = {out["md5"] for out in outs if "md5" in out}
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return
    for path in folder.glob("*/result-*"):
        if path.name.removeprefix("result-") in recorded:
            shutil.rmtree(path.parent, ignore_errors=True)


def dvc_hash(folder: Path) -> str:
    """The hash that dvc.lock has for an output folder of plain files.

    Files that systems leave behind do not count: .dvcignore names them.
    """
    files = [
        {"md5": hashlib.md5(path.read_bytes()).hexdigest(), "relpath": path.name}
        for path in folder.iterdir()
        if not LEFT_BEHIND.fullmatch(path.name)
    ]
    return files_hash(files)


def files_hash(files: Iterable[Mapping[str, str]]) -> str:
    """The hash that DVC gives a folder with these files, each with the keys md5 and relpath."""
    listed = json.dumps(sorted(files, key=lambda file: file["relpath"]), sort_keys=True)
    return hashlib.md5(listed.encode()).hexdigest() + ".dir"


def _epochs(path: Path) -> int:
    """The number in epoch<number>-<SHA-256>.npz."""
    number = path.stem.partition("-")[0].removeprefix("epoch")
    return int(number) if number.isdecimal() else 0
