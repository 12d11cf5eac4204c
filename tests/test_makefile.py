"""How make sets up .venv, with a Python that cannot and with another one than there is."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT

BROKEN = """\
#!/bin/sh
if [ "$2" = venv ]; then mkdir -p "$3/bin" && printf '#!/bin/sh\\nexit 1\\n' >"$3/bin/python" \
    && chmod +x "$3/bin/python"; else exec "{python}" "$@"; fi
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "Makefile", tmp_path)
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_a_python_that_cannot_make_an_environment_leaves_none(folder: Path) -> None:
    broken = folder / "broken"
    broken.write_text(BROKEN.format(python=sys.executable))
    broken.chmod(0o755)
    done = make(folder, f"PYTHON={broken}", ".venv/bin/python")
    assert done.returncode
    assert f"{broken} cannot make a virtual environment; on Debian, install" in done.stdout
    assert not (folder / ".venv").exists()


def test_an_environment_of_another_python_is_made_again_where_one_is_asked_for(
    folder: Path,
) -> None:
    config = folder / ".venv" / "pyvenv.cfg"
    config.parent.mkdir()
    for key, version, kept in (
        ("version", "3.9.1", False),
        ("version", sys.version.split()[0], True),
        ("version_info", sys.version.split()[0], True),
    ):
        config.parent.mkdir(exist_ok=True)
        config.write_text(f"home = somewhere\n{key} = {version}\n")
        make(folder, "help")
        assert config.exists()  # none is asked for
        done = make(folder, f"PYTHON={sys.executable}", "help")
        assert config.exists() == kept
        assert (".venv is of another Python than PYTHON=" in done.stdout) != kept
