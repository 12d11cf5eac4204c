"""Bad inputs and bad weather, each given to a real process: one line, a status that is not 0, nothing half written and nothing lost."""

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from faults import kills, pipeline
from faults.kills import COMMAND, FOLDER, Running
from scripts.demo import set_params

AUTHOR = {
    f"GIT_{who}_{what}": "faults@localhost"
    for who in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}
RUN = Path("metrics/runs/model.json")
IMAGES, LABELS = Path("data/arrays/train/images.npy"), Path("data/arrays/train/labels.npy")
BALLAST = "ballast"  # what fills a disk
APART = (".git", ".dvc", "__pycache__", ".resume/locks")  # of what must stay as it was
Bytes = Callable[[bytes], bytes]
Spoil = Callable[[Path], AbstractContextManager[Any] | None]


class CannotMount(Exception):
    """This process may not mount, or the system knows no tmpfs."""


@dataclass(frozen=True)
class Case:
    """Something that goes wrong for a command in a checkout whose pipeline is up to date."""

    name: str
    spoil: Spoil  # makes it so, for the time of the context that it may return
    command: tuple[str, ...] = COMMAND
    env: Mapping[str, str] = field(default_factory=dict)
    sent: signal.Signals | None = None  # in the third epoch
    where: str = ""  # that the line must name
    tells: str = ""  # a pattern of the lines that a command which goes on and ends well tells it by
    adds: str = ""  # a pattern of files that may be added: states
    resumed: bool = (
        False  # once the cause is gone, the training must go on and end with the same bits
    )


def stage(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"stages.{name}", *arguments)


def put(path: Path | str, change: Bytes) -> Spoil:
    """Change a file's bytes; those of an empty one where there is none."""

    def spoil(folder: Path) -> None:
        content = (folder / path).read_bytes() if (folder / path).exists() else b""
        (folder / path).unlink(missing_ok=True)  # it may be read-only, as DVC leaves them
        (folder / path).write_bytes(change(content))

    return spoil


def cut(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


def noise(content: bytes) -> bytes:
    return random.Random(0).randbytes(max(1000, len(content)))


def text(old: str, new: str) -> Bytes:
    """Replace the first match of a pattern."""
    return lambda content: re.sub(old, new, content.decode(), count=1, flags=re.MULTILINE).encode()


def given(changes: Mapping[str, Any]) -> Spoil:
    """Parameters, dotted keys by name."""
    return lambda folder: set_params(folder / "params.yaml", changes)


def nothing(_folder: Path) -> None:
    """The command or the environment is the bad input."""


def archive(change: Bytes | None) -> Spoil:
    """A file `archive`, and parameters that ask for CIFAR-10."""

    def spoil(folder: Path) -> None:
        set_params(folder / "params.yaml", {"data.source": "cifar10"})
        if change:
            (folder / "archive").write_bytes(change(b""))

    return spoil


def gone(path: Path | str) -> Spoil:
    return lambda folder: (
        shutil.rmtree(folder / path) if (folder / path).is_dir() else (folder / path).unlink()
    )


def shorter_labels(folder: Path) -> None:
    labels = np.load(folder / LABELS)
    (folder / LABELS).unlink()
    np.save(folder / LABELS, labels[:-1])


def states(*damages: Bytes) -> Spoil:
    """Kill a training after its fourth epoch, then damage its last states."""

    def spoil(folder: Path) -> None:
        run = Running(folder, COMMAND, kills.env(folder))
        run.wait_for(lambda: run.epoch >= 4)
        run.kill()
        found = [path for kept in kills.runs(folder) for path in kept.glob("epoch*.npz")]
        found.sort(key=kills.epochs_of, reverse=True)
        for path, damage in zip(found, damages, strict=False):
            put(path, damage)(folder)

    return spoil


def kept_result(folder: Path) -> None:
    """A result that DVC did not record, damaged where it is kept."""
    kills.finish(folder)
    shutil.rmtree(folder / "models")
    (path,) = (path for run in kills.runs(folder) for path in run.glob("result-*/last.keras"))
    put(path, cut)(folder)


@contextmanager
def trained_by_another(folder: Path) -> Iterator[None]:
    first = Running(folder, COMMAND, kills.env(folder))
    try:
        first.wait_for(lambda: "\non " in first.printed)
        first.process.send_signal(signal.SIGSTOP)
        yield
    finally:
        first.kill()


def mount(*arguments: str) -> None:
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotMount("needs the right to mount") from error


def full(path: str, spare: int) -> Spoil:
    """A real disk at `path`, a tmpfs with what was there, that has about `spare` bytes left."""

    @contextmanager
    def spoil(folder: Path) -> Iterator[None]:
        place, aside = folder / path, folder.with_name("aside")
        place.mkdir(exist_ok=True)
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(place, aside)
        mount("-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place))
        try:
            shutil.copytree(aside, place, dirs_exist_ok=True)
            disk = os.statvfs(place)
            with (place / BALLAST).open("wb") as file:
                file.write(bytes(disk.f_bavail * disk.f_frsize - spare))
            yield
        finally:
            subprocess.run(["umount", str(place)], check=True)

    return spoil


def read_only(path: str) -> Spoil:
    """The folder at `path` on a disk that is read-only; mode bits would not stop root."""

    @contextmanager
    def spoil(folder: Path) -> Iterator[None]:
        place = folder / path
        place.mkdir(exist_ok=True)
        mount("--bind", str(place), str(place))
        try:
            mount("-o", "remount,bind,ro", str(place))
            yield
        finally:
            subprocess.run(["umount", str(place)], check=True)

    return spoil


REVIEW = (sys.executable, "-m", "scripts.review", "HEAD")
EVALUATE = stage("evaluate", "model")
SAVED = r"\.resume/[^/]+/epoch.*\.npz"
WARNING = r"warning: \.resume/.*damaged.*"
UNREAD = r"- workspace: metrics/.*: model is not comparable"
NAN = text('"accuracy": [0-9.]+', '"accuracy": NaN')
SGD = {"recipes.original.optimizer": "sgd"}
CASES = (
    Case("params.yaml: an unknown key", given({"train.epochs": 3})),
    Case("params.yaml: a negative n", given({"model.n": -1})),
    Case(
        "params.yaml: a section without a network's name",
        given({"resnet20": {"version": 1, "n": 3}}),
    ),
    Case(
        "params.yaml: a section named after another network",
        given({"ResNet20v1": {"version": 1, "n": 5}}),
    ),
    Case("params.yaml: not YAML", put("params.yaml", lambda content: content + b"\n  model: [")),
    Case("params.yaml: no such file", gone("params.yaml")),
    Case("KERAS_BACKEND=pytorch", nothing, env={"KERAS_BACKEND": "pytorch"}),
    Case(
        "REQUIRE_GPU=1 without a GPU",
        nothing,
        env={"REQUIRE_GPU": "1", "CUDA_VISIBLE_DEVICES": "-1"},
    ),
    Case("SAVE_SECONDS=soon", nothing, env={"SAVE_SECONDS": "soon"}),
    Case("STEPS_PER_CALL=0", nothing, env={"STEPS_PER_CALL": "0"}),
    Case(
        "an archive of random bytes", archive(noise), stage("fetch"), {"CIFAR10_ARCHIVE": "archive"}
    ),
    Case(
        "a gzip archive of random bytes",
        archive(lambda _: b"\x1f\x8b" + noise(b"")),
        stage("fetch"),
        {"CIFAR10_ARCHIVE": "archive"},
    ),
    Case(
        "no archive where CIFAR10_ARCHIVE says",
        archive(None),
        stage("fetch"),
        {"CIFAR10_ARCHIVE": "archive"},
    ),
    Case(
        "a batch file cut short",
        put("data/cifar-10-batches-py/data_batch_3", cut),
        stage("preprocess"),
    ),
    Case("images.npy cut short", put(IMAGES, cut)),
    Case("images.npy of random bytes", put(IMAGES, noise)),
    Case("labels.npy of another length", shorter_labels),
    Case("a checkpoint cut short", put(FOLDER / "best.keras", cut), EVALUATE),
    Case("a checkpoint of random bytes", put(FOLDER / "best.keras", noise), EVALUATE),
    Case(
        "a history with a broken line",
        put(FOLDER / "history.csv", text("^3,.*", "3,0.001,oops")),
        EVALUATE,
    ),
    Case("a history cut short", put(FOLDER / "history.csv", cut), EVALUATE),
    Case("training.json cut short", put(FOLDER / "training.json", cut), EVALUATE),
    Case("a seed that is not trained", gone(FOLDER), EVALUATE),
    Case("metrics that are not JSON", put(RUN, cut), stage("report")),
    Case("metrics with NaN", put(RUN, NAN), stage("report")),
    Case(
        "published.csv with another header",
        put("metrics/published.csv", text("^[^,]*", "Nomen")),
        stage("report"),
    ),
    Case("metrics that are not JSON, reviewed", put(RUN, cut), REVIEW),
    Case("metrics with NaN, reviewed", put(RUN, NAN), REVIEW, tells=UNREAD),
    Case(
        "predictions cut short, reviewed",
        put("metrics/predictions/model.txt", cut),
        REVIEW,
        tells=UNREAD,
    ),
    Case(
        "a review of no commit", nothing, (sys.executable, "-m", "scripts.review", "no-such-branch")
    ),
    Case("a learning rate of 1e6", given({**SGD, "recipes.original.learning_rate": 1e6})),
    Case(
        "1e27 from the third epoch on",
        given({**SGD, "recipes.original.drops": [{"epoch": 2, "factor": 1e30}]}),
        adds=SAVED,
    ),
    Case("a second trainer", trained_by_another),
    Case("SIGTERM", nothing, sent=signal.SIGTERM, adds=SAVED, resumed=True),
    Case("Ctrl-C", nothing, sent=signal.SIGINT, adds=SAVED, resumed=True),
    Case("the last state cut short", states(cut), tells=WARNING),
    Case("both states of random bytes", states(noise, noise), tells=WARNING),
    Case("a kept result cut short", kept_result, tells=WARNING),
    Case(
        "no space left for a state",
        full(".resume", 3_200_000),
        adds=SAVED,
        resumed=True,
        where=".resume",
    ),
    Case(
        "no space left for the result",
        full("models", 100_000),
        adds=SAVED,
        resumed=True,
        where="models",
    ),
    Case("no space left for the arrays", full("data", 400_000), stage("preprocess"), where="data"),
    Case("no space left for the metrics", full("metrics", 0), EVALUATE, where="metrics"),
    Case("no space left for the tables", full("metrics", 0), stage("report"), where="metrics"),
    Case("a read-only .resume", read_only(".resume"), where=".resume"),
    Case("a read-only models", read_only("models"), adds=SAVED, resumed=True, where="models"),
    Case("a read-only metrics", read_only("metrics"), EVALUATE, where="metrics"),
)


def base(folder: Path) -> Path:
    """A checkout whose pipeline is up to date and committed."""
    kills.checkout(folder)
    pipeline.repro(folder)
    shutil.rmtree(
        folder / ".resume"
    )  # the result that DVC has recorded, which the next start forgets
    for command in (["add", "."], ["commit", "--quiet", "-m", "all"]):
        subprocess.run(["git", *command], cwd=folder, env={**os.environ, **AUTHOR}, check=True)
    return folder


def attempt(case: Case, base: Path, work: Path) -> dict[str, Any]:
    """Run the case's command in a copy of that checkout; a record of what it said, and of all that is not as it should be."""
    record: dict[str, Any] = {
        "input": case.name,
        "command": " ".join(["python", *case.command[1:]]),
    }
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(base, work, symlinks=True)
    try:
        with case.spoil(work) or nullcontext():
            before = tree(work)
            status, said, printed = run(case, work)
            problems = judge(case, status, said, printed, changed(before, tree(work)))
            for ballast in work.glob(f"*/{BALLAST}"):
                ballast.unlink()
            if case.resumed and "read-only" not in case.name:  # while what was saved is mounted
                problems += resumed(work, base)
        if case.resumed and "read-only" in case.name:
            problems += resumed(work, base)
        if case.tells and case.command == COMMAND:
            problems += kills.differences(kills.outcome(work), kills.outcome(base))
    except CannotMount as error:
        return {**record, "skipped": str(error)}
    message = "\n".join(told(case, printed)) if case.tells else said
    return {
        **record,
        "status": status,
        "message": message,
        "files_checked": len(before),
        "problems": problems,
    }


def run(case: Case, work: Path) -> tuple[int, str, str]:
    """Exit status, stderr and stdout of the case's command."""
    env = {**kills.env(work), **case.env}
    with subprocess.Popen(
        case.command, cwd=work, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        printed = ""
        if case.sent:
            while "\nepoch 3/" not in printed and (line := process.stdout.readline()):
                printed += line
            process.send_signal(case.sent)
        rest, said = process.communicate()
    return process.returncode, said.rstrip("\n"), printed + rest


def judge(case: Case, status: int, said: str, printed: str, changes: list[str]) -> list[str]:
    """What is not as it should be."""
    if case.tells:
        return ([f"status {status}"] if status else []) + (
            [] if told(case, printed) else ["no warning"]
        )
    problems = [] if status > 0 else [f"status {status}"]
    if len(said.splitlines()) != 1:
        problems.append(f"{len(said.splitlines())} lines")
    if case.where not in said:
        problems.append(f"does not say where: {case.where}")
    if "Traceback" in said + printed:
        problems.append("a traceback")
    return problems + [
        change
        for change in changes
        if not (case.adds and re.fullmatch(f"new: {case.adds}", change))
    ]


def told(case: Case, printed: str) -> list[str]:
    return [line for line in printed.splitlines() if re.fullmatch(case.tells, line)]


def resumed(work: Path, base: Path) -> list[str]:
    """What is wrong with the training once its cause to stop is gone: it must go on and end with the bits of the undisturbed one."""
    printed = kills.finish(work)
    went_on = re.search(r"^going on after epoch \d+ of|trained already", printed, re.MULTILINE)
    return ([] if went_on else ["began anew"]) + kills.differences(
        kills.outcome(work), kills.outcome(base)
    )


def tree(folder: Path) -> dict[str, str]:
    """The SHA-256 of all files, by path."""
    found = {}
    for root, folders, files in os.walk(folder):
        place = Path(root).relative_to(folder)
        folders[:] = [
            name for name in folders if (place / name).as_posix() not in APART and name not in APART
        ]
        for name in files:
            found[(place / name).as_posix()] = hashlib.sha256(
                (Path(root) / name).read_bytes()
            ).hexdigest()
    return found


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    kinds = {(True, True): "changed", (True, False): "lost", (False, True): "new"}
    return [
        f"{kinds[path in before, path in after]}: {path}"
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]


def inputs(folder: Path, log: Callable[[str], None], names: str = "") -> list[dict[str, Any]]:
    """Try all cases, or those with `names` in their name, in folders with spaces and letters beyond ASCII; a record a case."""
    made, found = base(folder / "Läufe mit Leerzeichen 測試"), []
    for case in CASES:
        if names in case.name:
            record = attempt(case, made, folder / "noch einmal 試")
            log(
                f"{case.name}: {record.get('message', record.get('skipped'))}{''.join(f' !! {p}' for p in record.get('problems', []))}"
            )
            found.append(record)
    return found
