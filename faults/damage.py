"""Ways to damage a checkout: functions of its folder, some of which undo the damage afterwards."""

import os
import random
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from faults import workspace
from faults.process import Running
from faults.workspace import TRAIN
from resnet.training.resume import Store
from scripts.checkout import set_params

FILLER = "filler"  # the file that fills a disk
LABELS = Path("data/arrays/train/labels.npy")
Change = Callable[[bytes], bytes]
Damage = Callable[[Path], AbstractContextManager[Any] | None]


class CannotMount(Exception):
    """This process may not mount file systems, or the system has no tmpfs."""


def nothing(_folder: Path) -> None:
    """No damage: the command or the environment is the bad input."""


def changed(path: Path | str, change: Change) -> Damage:
    """Change the bytes of a file; a missing file is empty."""

    def damage(folder: Path) -> None:
        content = (folder / path).read_bytes() if (folder / path).exists() else b""
        (folder / path).unlink(missing_ok=True)  # DVC leaves its outputs read-only
        (folder / path).write_bytes(change(content))

    return damage


def truncated(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


def random_bytes(content: bytes) -> bytes:
    return random.Random(0).randbytes(max(1000, len(content)))


def replaced_text(pattern: str, new: str) -> Change:
    """Replace the first match of a pattern."""

    def change(content: bytes) -> bytes:
        return re.sub(pattern, new, content.decode(), count=1, flags=re.MULTILINE).encode()

    return change


def parameters(changes: Mapping[str, Any]) -> Damage:
    """Set dotted keys of params.yaml."""
    return lambda folder: set_params(folder / "params.yaml", changes)


def archive(change: Change | None) -> Damage:
    """A file `archive`, or none, and parameters that ask for CIFAR-10."""

    def damage(folder: Path) -> None:
        set_params(folder / "params.yaml", {"data.source": "cifar10"})
        if change:
            (folder / "archive").write_bytes(change(b""))

    return damage


def removed(path: Path | str) -> Damage:
    """Remove a file or a folder."""

    def damage(folder: Path) -> None:
        if (folder / path).is_dir():
            shutil.rmtree(folder / path)
        else:
            (folder / path).unlink()

    return damage


def one_label_fewer(folder: Path) -> None:
    labels = np.load(folder / LABELS)
    (folder / LABELS).unlink()
    np.save(folder / LABELS, labels[:-1])


def states(*changes: Change) -> Damage:
    """Kill a training after its fourth epoch, then change its last states, the latest first."""

    def damage(folder: Path) -> None:
        run = Running(folder, TRAIN, workspace.env(folder))
        run.wait_for(lambda: run.epoch >= 4)
        run.kill()
        (training,) = workspace.trainings(folder)
        last = Store(training).epochs
        found = [path for n in (last, last - 1) for path in training.glob(f"epoch{n}-*.npz")]
        for path, change in zip(found, changes, strict=False):
            changed(path, change)(folder)

    return damage


def kept_result(folder: Path) -> None:
    """Truncate the kept copy of a result that DVC did not record."""
    workspace.finish(folder)
    shutil.rmtree(folder / "models")
    (path,) = (
        path
        for training in workspace.trainings(folder)
        for path in training.glob("result-*/last.keras")
    )
    changed(path, truncated)(folder)


@contextmanager
def second_process(folder: Path) -> Iterator[None]:
    """Another process trains the same; it is stopped meanwhile, so that it cannot end."""
    first = Running(folder, TRAIN, workspace.env(folder))
    try:
        first.wait_for(lambda: first.device_found)
        first.process.send_signal(signal.SIGSTOP)
        yield
    finally:
        first.kill()


def full_disk(path: str, spare: int) -> Damage:
    """Mount a tmpfs at `path`, with the files that were there and about `spare` bytes free."""

    @contextmanager
    def damage(folder: Path) -> Iterator[None]:
        place, copy = folder / path, folder.with_name("copy")
        place.mkdir(exist_ok=True)
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(place, copy)
        _mount("-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place))
        try:
            shutil.copytree(copy, place, dirs_exist_ok=True)
            disk = os.statvfs(place)
            with (place / FILLER).open("wb") as file:
                file.write(bytes(disk.f_bavail * disk.f_frsize - spare))
            yield
        finally:
            subprocess.run(["umount", str(place)], check=True)

    return damage


def read_only(path: str) -> Damage:
    """Mount the folder at `path` read-only; root ignores permission bits."""

    @contextmanager
    def damage(folder: Path) -> Iterator[None]:
        place = folder / path
        place.mkdir(exist_ok=True)
        _mount("--bind", str(place), str(place))
        try:
            _mount("-o", "remount,bind,ro", str(place))
            yield
        finally:
            subprocess.run(["umount", str(place)], check=True)

    return damage


def _mount(*arguments: str) -> None:
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotMount("needs the right to mount file systems") from error
