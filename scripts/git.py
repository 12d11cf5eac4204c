"""Running git, with its own reason where it fails."""

import os
import re
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

    It may also be the name of a DVC experiment. Raises BenchmarkError where there is none, or git
    cannot read the repository.
    """
    git("rev-parse", "--git-dir")  # says why it cannot, e.g. that another user owns the folder
    try:
        found = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except BenchmarkError as error:
        if experiment := _experiment(name):
            return experiment
        known = ", ".join(["a branch, a tag, a commit, a DVC experiment", *others])
        known = ", or ".join(known.rsplit(", ", 1))
        raise BenchmarkError(
            f"{name!r} is not a commit of this repository; name {known}"
        ) from error
    return found.decode().strip()


def _experiment(name: str) -> str | None:
    """The commit of the DVC experiment of that name, None where there is none.

    DVC names it refs/exps/<2 digits>/<38 digits>/<name>, with the commit it was run on. If there
    are several of that name, it is the one that was run on HEAD, as for DVC itself.
    """
    refs = git("for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").decode()
    pattern = re.compile(rf"refs/exps/([0-9a-f]{{2}}/[0-9a-f]{{38}})/{re.escape(name)} (.+)")
    matches = [match for line in refs.splitlines() if (match := pattern.fullmatch(line))]
    found = {match[1].replace("/", ""): match[2] for match in matches}
    if len(found) < 2:
        return next(iter(found.values()), None)
    head = git("rev-parse", "HEAD").decode().strip()
    if head not in found:
        where = ", ".join(base[:7] for base in found)
        raise BenchmarkError(
            f"several experiments are named {name!r}, on {where}: name one by its commit, which "
            "`dvc exp show --all-commits --sha` shows"
        )
    return found[head]


def fetch_objects(revision: str) -> None:
    """In a partial clone, fetch all files of a commit, since DVC would wait for them for ever."""
    if b"promisor" in git("config", "--list"):
        git("archive", "--output", os.devnull, "--format=tar", revision)
