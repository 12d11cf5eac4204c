"""Running git, with its own reason where it fails."""

import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from resnet.errors import BenchmarkError


@cache
def _local_variables() -> tuple[str, ...]:
    """The variables with which git tells a hook or an alias which repository it is in."""
    try:
        command = ["git", "rev-parse", "--local-env-vars"]
        return tuple(subprocess.run(command, capture_output=True, text=True).stdout.split())
    except FileNotFoundError:
        return ()


def elsewhere(env: Mapping[str, str]) -> dict[str, str]:
    """An environment for commands in another repository than the one git may have named in it."""
    local = {name for name in _local_variables() if not name.startswith("GIT_CONFIG")}  # settings
    return {name: value for name, value in env.items() if name not in local}


def git(*arguments: str, cwd: Path | None = None) -> bytes:
    """What a git command prints; raises BenchmarkError with git's own reason where it fails.

    It runs in the repository of `cwd`, by default the current folder, whatever a hook's environment
    names.
    """
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd,
            env=elsewhere(os.environ),
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise BenchmarkError("git is not installed, or not on PATH") from error
    if done.returncode:
        reason = " ".join(done.stderr.decode(errors="replace").split())
        where = f"git {arguments[0]}" + (f" in {cwd}" if cwd else "")
        raise BenchmarkError(f"{where}: {reason or f'exit status {done.returncode}'}")
    return done.stdout


def commit(name: str, *others: str) -> str:
    """The hash of the commit of that name; `others` are further names that the error suggests.

    Raises BenchmarkError where there is none, or git cannot read the repository.
    """
    git("rev-parse", "--git-dir")  # says why it cannot, e.g. that another user owns the folder
    try:
        found = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except BenchmarkError as error:
        known = ", ".join(["name a branch, a tag, a commit", *(f"or {each}" for each in others)])
        raise BenchmarkError(f"{name!r} is not a commit of this repository; {known}") from error
    return found.decode().strip()


def fetch_objects(revision: str) -> None:
    """In a partial clone, fetch all files of a commit, since DVC would wait for them for ever."""
    if b"promisor" in git("config", "--list"):
        git("archive", "--output", os.devnull, "--format=tar", revision)
