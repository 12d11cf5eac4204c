"""What runs on a node: one training after another, each as `dvc repro` in a clone without git.

The driver sends this package to the nodes by value, so a node needs the packages of the lock, but
no checkout. This module therefore imports nothing else of the project.

Below TMPDIR, resnet-cluster-<user>/<hash>/ has the inputs, which the first worker of a node writes,
and one clone per training, hard-linked to them. Each worker holds a shared lock on that folder. The
last one removes it; a worker that starts removes those that no process holds any more.
"""

import contextlib
import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Container, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from cluster.events import (
    About,
    Event,
    Failed,
    Inputs,
    Job,
    Killed,
    Line,
    Stopped,
    Trained,
)
from cluster.states import States

POLL_SECONDS = 0.5
COMPLETE = "complete"  # a file in the folder of a node that has all inputs
KIND = "from resnet import device; print(device.cpu_name(), device.cpu_processor())"
LEASH = "inputs/cluster/leash.py"  # in the folder of a node
CONFIG = "[core]\n    no_scm = true\n    analytics = false\n[cache]\n    dir = cache\n"
# what a stage says where another node may do better
NODE_FAULTS = ("No space left on device", "Read-only file system", "finds no GPU")
KILLED = re.compile(r"exited with (-9|137)\b")  # DVC says so of a training; below, dvc itself


class Worker:
    """Runs trainings on a node, one at a time."""

    def __init__(self, inputs: Inputs):
        self._inputs = inputs
        self._stopping = False
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: Any = None
        self._folder = Path()

    def prepare(self, names: Sequence[str], gpu: bool) -> About | Failed:
        """Write the inputs, if no other worker of this node has; returns what the node is."""
        try:
            self._folder = self._take_folder()
            self._write_inputs()
        except OSError as error:
            return Failed(f"{error.filename or self._folder}: {error.strerror or error}", True)
        kind = gpu_name() if gpu else ""
        if not kind:
            done = subprocess.run(
                [sys.executable, "-c", KIND], cwd=self._folder / "inputs", capture_output=True
            )
            kind = done.stdout.decode(errors="replace").strip()
        return About({name: installed_version(name) for name in names}, kind)

    def train(self, job: Job) -> Iterator[Event]:
        """Run a training; yields what happens; the last is Trained, Failed, Killed or Stopped."""
        clone = self._folder / "clones" / f"{job.name}-{uuid.uuid4().hex[:8]}"
        try:
            self._clone(clone, job)
            yield from self._run(clone, job)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            yield Failed(f"{where}{error.strerror or error}", True)
        finally:
            self._end()
            shutil.rmtree(clone, ignore_errors=True)

    def stop(self) -> None:
        """Ask the running training to save its state and end."""
        import psutil

        self._stopping = True
        if not self._process or self._process.poll() is not None:
            return
        with contextlib.suppress(psutil.Error):
            _, *found = psutil.Process(self._process.pid).children(recursive=True) or [None]
            if not found and self._process.stdin:  # there is nothing but the leash yet
                self._process.stdin.close()
            # The training itself, not the processes that wait for it: they end when it has saved.
            for process in found:
                with contextlib.suppress(psutil.Error):
                    if not process.children():
                        process.terminate()

    def close(self) -> None:
        """Remove this node's folder if no other worker uses it."""
        if self._lock and _locked_alone(self._lock):
            _remove(self._folder)

    def _take_folder(self) -> Path:
        """The folder of this node's inputs, with a shared lock on it; unused ones are removed."""
        root = Path(tempfile.gettempdir()).resolve() / f"resnet-cluster-{os.getuid()}"
        root.mkdir(mode=0o700, exist_ok=True)
        if root.is_symlink() or root.stat().st_uid != os.getuid():
            raise OSError(0, "belongs to another user; remove it, or set TMPDIR", str(root))
        for path in root.glob("*.lock"):
            if path.stem != self._inputs.digest:
                with path.open("a") as lock:
                    if _locked_alone(lock):
                        _remove(path.with_suffix(""))
        self._lock = (root / f"{self._inputs.digest}.lock").open("a")
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        return root / self._inputs.digest

    def _write_inputs(self) -> None:
        import ray

        with self._folder.with_suffix(".writing").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the other workers of this node wait here
            if (self._folder / COMPLETE).exists():
                return
            _remove(self._folder)
            for name, parts in self._inputs.files.items():
                path = self._folder / "inputs" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    for part in parts:
                        file.write(ray.get(part))
            (self._folder / "clones").mkdir()
            (self._folder / COMPLETE).touch()

    def _clone(self, clone: Path, job: Job) -> None:
        shutil.copytree(self._folder / "inputs", clone, copy_function=os.link)
        (clone / "params.yaml").write_text(job.params, encoding="utf-8")
        (clone / ".dvc").mkdir()
        (clone / ".dvc" / "config").write_text(CONFIG, encoding="utf-8")
        for name, content in job.states.items():
            path = clone / ".resume" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def _run(self, clone: Path, job: Job) -> Iterator[Event]:
        if self._stopping:
            yield Stopped()
            return
        command = ["-m", "dvc", "repro", "--single-item", f"train@{job.name}"]
        states = States(clone / ".resume")
        log = clone / ".dvc" / "log"
        with log.open("wb") as output, log.open("rb") as printed:
            self._process = subprocess.Popen(
                [sys.executable, str(self._folder / LEASH), sys.executable, *command],
                cwd=clone,
                env=self._environment(job),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            if self._stopping:  # since it was looked at above
                self.stop()
            lines: list[str] = []
            partial = b""
            ended = False
            while not ended:
                ended = self._process.poll() is not None
                *complete, partial = (partial + printed.read()).split(b"\n")
                for line in complete + ([partial] if ended and partial else []):
                    # a path in the clone is the same one in the checkout, where the states are kept
                    lines.append(line.decode(errors="replace").rstrip().replace(f"{clone}/", ""))
                    yield Line(lines[-1])
                yield from states.new()
                if not ended:
                    time.sleep(POLL_SECONDS)
        if self._process.returncode == 0:
            cache = clone / ".dvc" / "cache"
            paths = [path for path in sorted(cache.rglob("*")) if path.is_file()]
            files = {str(path.relative_to(cache)): path.read_bytes() for path in paths}
            yield Trained(files, _recorded(clone / ".resume", files))
        elif self._stopping:
            yield Stopped()
        elif self._process.returncode in (-9, 137) or any(map(KILLED.search, lines)):
            yield Killed()
        else:
            reason = _reason(lines) or f"dvc ended with status {self._process.returncode}"
            yield Failed(reason, any(fault in reason for fault in NODE_FAULTS))

    def _environment(self, job: Job) -> dict[str, str]:
        """That of this worker, without Ray's own variables, with those that the driver names."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in job.removed and not name.startswith(("RAY_", "PYTHON", "DVC_", "GIT_"))
        }
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
        site = str(self._folder / "site")
        own = {"PATH": path, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": site}
        return {**kept, **job.environment, **own}

    def _end(self) -> None:
        """Kill what is left of the training: the leash does once its standard input is closed."""
        if self._process and self._process.stdin:
            self._process.stdin.close()
            self._process.wait()


def _recorded(resume: Path, files: Container[str]) -> list[str]:
    """The folders of trainings whose results are among the files of DVC's cache.

    The driver also sends results that DVC has not recorded, of trainings under other conditions.
    """
    results = sorted(resume.glob("*/result-*"))
    hashes = {path: path.name.removeprefix("result-") for path in results}
    return [
        path.parent.name
        for path, oid in hashes.items()
        if f"files/md5/{oid[:2]}/{oid[2:]}" in files
    ]


def _remove(folder: Path) -> None:
    """Remove the folder of a node; if that is interrupted, it is not complete."""
    (folder / COMPLETE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def gpu_name() -> str:
    """The name that NVIDIA's driver has for this worker's GPU; empty where there is none."""
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    command = ["nvidia-smi", f"--id={gpu}", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if done.returncode else done.stdout.strip()


def _locked_alone(file: Any) -> bool:
    """Take an exclusive lock on a file, unless another process has one."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def installed_version(name: str) -> str | None:
    """The version of Python or of a package here; None where it is not installed."""
    if name == "Python":
        return platform.python_version()
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return None


def _reason(lines: Sequence[str]) -> str:
    """The line that says why a training failed: the stage's own, or else DVC's."""
    for start in ("train: ", "ERROR: ", ""):
        found = [line for line in lines if line.startswith(start) and line.strip()]
        if found:
            return found[-1].removeprefix(start)[:600]
    return ""
