"""`make check` fails where a lock and pyproject.toml disagree."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.locks import LOCKS
from tests.support.checkout import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "requirements").mkdir()
    for name in ("pyproject.toml", *LOCKS):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def check(folder: Path) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.locks"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stdout
    return done.returncode, done.stderr.splitlines()


def test_the_committed_locks_agree(folder: Path) -> None:
    assert check(folder) == (0, [])


def test_every_lock_is_checked() -> None:
    assert set(LOCKS) == {
        f"requirements/{path.name}" for path in (ROOT / "requirements").glob("*.lock")
    }
    assert (
        "python -m scripts.locks"
        in (ROOT / "Makefile").read_text(encoding="utf-8").split("\ncheck:")[1].split("\n\n")[0]
    )


CHANGES = {  # file, pattern, replacement, the lines that must be printed
    "another dependency": (
        "pyproject.toml",
        r'"dvc>=3.67",',
        r'"dvc>=3.67", "no_such-Thing",',
        [f"{name}: no_such-Thing is missing," for name in LOCKS],
    ),
    "a newer version": (
        "pyproject.toml",
        r"pydantic>=2.12",
        r"pydantic>=9",
        [rf"{name}: pydantic is 2\.\S+, but pyproject.toml requires >=9$" for name in LOCKS],
    ),
    "another dependency of an extra": (
        "pyproject.toml",
        r'"pytest>=',
        r'"no-such-thing", "pytest>=',
        ["requirements/dev.lock: no-such-thing is missing,"],
    ),
    "a missing entry": (
        "requirements/gpu.lock",
        r"(?ms)^tqdm==.*?(?=^[a-z])",
        "",
        ["requirements/gpu.lock: tqdm is missing,"],
    ),
    "another version in one lock": (
        "requirements/dev.lock",
        r"(?m)^tqdm==\S+",
        "tqdm==4.99",
        [r"requirements/dev.lock: tqdm is 4\.99, but 4\.\S+ in requirements/run.lock$"],
    ),
    "no hash": (
        "requirements/run.lock",
        r"(?m)^(tqdm==\S+) \\\n(    --hash=\S+( \\)?\n)+",
        r"\1\n",
        [r"requirements/run.lock: 'tqdm==4\.\S+' has no SHA-256"],
    ),
    "a truncated hash": (
        "requirements/run.lock",
        r"(?m)(^tqdm==\S+ \\\n    --hash=sha256:.{9})\S+",
        r"\1",
        [r"requirements/run.lock: 'tqdm==4\.\S+' has no SHA-256"],
    ),
    "a version range": (
        "requirements/run.lock",
        r"(?m)^tqdm==",
        "tqdm>=",
        [
            r"requirements/run.lock: 'tqdm>=4\.\S+' is not pinned with ==$",
            "requirements/run.lock: tqdm is missing,",
        ],
    ),
    "a version prefix": (
        "requirements/run.lock",
        r"(?m)^tqdm==\S+",
        "tqdm==4.*",
        [
            r"requirements/run.lock: 'tqdm==4\.\*' is not pinned with ==$",
            "requirements/run.lock: tqdm is missing,",
        ],
    ),
    "an index": (
        "requirements/run.lock",
        r"\A",
        "--index-url https://example.org/simple\n",
        ["requirements/run.lock: '--index-url https://example.org/simple' is not a req"],
    ),
    "a host": (
        "requirements/run.lock",
        r"(?m)^tqdm==\S+",
        "tqdm @ https://example.org/tqdm.whl",
        [
            "requirements/run.lock: 'tqdm @ https://example.org/tqdm.whl' is not pinned with ==$",
            "requirements/run.lock: tqdm is missing,",
        ],
    ),
}


@pytest.mark.parametrize(
    ("text", "replacement", "error"),
    [
        ("dvc>=3.67", "dvc>=3.67 <4", "Expected comma"),
        ("speed = [", "quick = [", "no 'speed'"),
        ("[project]", "[project", "Expected"),
    ],
)
def test_a_malformed_pyproject_is_one_line(
    folder: Path, text: str, replacement: str, error: str
) -> None:
    path = folder / "pyproject.toml"
    before = path.read_text(encoding="utf-8")
    assert text in before
    path.write_text(before.replace(text, replacement, 1), encoding="utf-8")
    status, (line,) = check(folder)
    assert status == 1
    assert line.startswith(f"locks: pyproject.toml: {error}")


def test_a_gpu_lock_without_cuda_is_reported(folder: Path) -> None:
    """The lock has no entry for an extra: only for what it requires."""
    shutil.copy(folder / "requirements" / "run.lock", folder / "requirements" / "gpu.lock")
    line = "requirements/gpu.lock: no nvidia- package, but pyproject.toml requires and-cuda"
    assert check(folder)[1][0] == line


@pytest.mark.parametrize("name", CHANGES)
def test_a_mismatch_is_reported(folder: Path, name: str) -> None:
    file, pattern, replacement, expected_lines = CHANGES[name]
    text = (folder / file).read_text(encoding="utf-8")
    changed = re.sub(pattern, replacement, text, count=1)
    assert changed != text
    (folder / file).write_text(changed, encoding="utf-8")
    status, lines = check(folder)
    assert status == 1
    assert lines[-1] == "locks: run `make lock`, which updates the locks"
    assert len(lines) == len(expected_lines) + 1, lines
    for line, expected in zip(lines, expected_lines, strict=False):
        assert re.match(expected, line)
