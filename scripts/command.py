"""Running commands whose output is wanted, with their own reason where they fail."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from resnet.errors import BenchmarkError


def output(
    command: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """What a command prints; raises BenchmarkError with the last line of its errors."""
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise BenchmarkError(last_line(done.stderr, done.returncode))
    return done.stdout


def last_line(errors: str, status: int | None) -> str:
    """Why a command failed: the last line of its errors, or its exit status if there is none."""
    lines = errors.strip().splitlines()
    return lines[-1].strip() if lines else f"ended with status {status}"
