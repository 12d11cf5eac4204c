"""Run commands with bad inputs and I/O failures, and check what they print and what they change.

A command that must fail prints one line, and every file of the checkout is then unchanged. A case
with `output` must succeed and print a line like that.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from faults import pipeline, workspace
from faults.cases import CASES, Case
from faults.damage import FILLER, CannotMount
from faults.outcome import differences, outcome
from faults.workspace import TRAIN
from resnet.errors import BenchmarkError
from scripts.checkout import commit

IGNORED = {".git", ".dvc", "__pycache__", ".resume/locks"}  # folders that may change


def inputs(folder: Path, log: Callable[[str], None], names: str = "") -> list[dict[str, Any]]:
    """Try all cases, or those with `names` in their name; returns a record per case.

    The folders' names have spaces and letters beyond ASCII.
    """
    base, found = committed_checkout(folder / "Läufe mit Leerzeichen 測試"), []
    for case in CASES:
        if names in case.name:
            record = attempt(case, base, folder / "noch einmal 試")
            problems = "".join(f" !! {problem}" for problem in record.get("problems", []))
            log(f"{case.name}: {record.get('message', record.get('skipped'))}{problems}")
            found.append(record)
    if not found:
        raise BenchmarkError(f"no input has {names!r} in its name")
    return found


def committed_checkout(folder: Path) -> Path:
    """A checkout whose pipeline is up to date and committed."""
    workspace.checkout(folder)
    pipeline.repro(folder)
    # The result that DVC has recorded, which the next training would remove.
    shutil.rmtree(folder / workspace.STATES)
    commit(folder, "all")
    return folder


def attempt(case: Case, base: Path, work: Path) -> dict[str, Any]:
    """Run the case's command in a copy of `base`; returns a record with all problems."""
    record: dict[str, Any] = {
        "case": case.name,
        "command": " ".join(["python", *case.command[1:]]),
    }
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(base, work, symlinks=True)
    try:
        with case.damage(work) or nullcontext():
            before = hashes(work)
            status, error, printed = run(case, work)
            problems = judge(case, status, error, printed, changes(before, hashes(work)))
            if case.resumed and not workspace.RESUMED.search(printed):
                problems.append("started over")
            for filler in work.glob(f"*/{FILLER}"):
                filler.unlink()
            if case.resumes and not case.undo_first:
                problems += resume_problems(work, base)
        if case.resumes and case.undo_first:
            problems += resume_problems(work, base)
        if case.output and case.command == TRAIN:
            problems += differences(outcome(work), outcome(base))
    except CannotMount as cannot:
        return {**record, "skipped": str(cannot)}
    return {
        **record,
        "status": status,
        "message": "\n".join(expected_lines(case, printed)) if case.output else error,
        "files_checked": len(before),
        "problems": problems,
    }


def run(case: Case, work: Path) -> tuple[int, str, str]:
    """Exit status, stderr and stdout of the case's command."""
    env = {**workspace.env(work), **case.env}
    with subprocess.Popen(
        case.command, cwd=work, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        printed = ""
        if case.signal:
            while "\nepoch 3/" not in printed and (line := process.stdout.readline()):
                printed += line
            process.send_signal(case.signal)
        rest, error = process.communicate()
    return process.returncode, error.rstrip("\n"), printed + rest


def judge(case: Case, status: int, error: str, printed: str, changed: list[str]) -> list[str]:
    """The problems with what a command printed and changed."""
    if case.output:
        problems = [f"status {status}"] if status else []
        return problems + ([] if expected_lines(case, printed) else ["no such line"])
    problems = [] if status > 0 else [f"status {status}"]
    if len(error.splitlines()) != 1:
        problems.append(f"{len(error.splitlines())} lines")
    if case.location not in error:
        problems.append(f"does not name {case.location}")
    if "Traceback" in error + printed:
        problems.append("a traceback")
    allowed = f"new: {case.new_files}"
    return problems + [
        change for change in changed if not (case.new_files and re.fullmatch(allowed, change))
    ]


def expected_lines(case: Case, printed: str) -> list[str]:
    return [line for line in printed.splitlines() if re.fullmatch(case.output, line)]


def resume_problems(work: Path, base: Path) -> list[str]:
    """What is wrong with the training without the damage: it must resume, and end as in `base`."""
    printed = workspace.finish(work)
    resumed = workspace.RESUMED.search(printed)
    return ([] if resumed else ["started over"]) + differences(outcome(work), outcome(base))


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file, by path."""
    found = {}
    for root, folders, files in os.walk(folder):
        place = Path(root).relative_to(folder)
        folders[:] = [name for name in folders if not {name, (place / name).as_posix()} & IGNORED]
        for name in files:
            content = (Path(root) / name).read_bytes()
            found[(place / name).as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The files that changed, were lost or are new, a line each."""
    kinds = {(True, True): "changed", (True, False): "lost", (False, True): "new"}
    return [
        f"{kinds[path in before, path in after]}: {path}"
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]
