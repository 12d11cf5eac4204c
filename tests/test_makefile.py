"""How make sets up .venv with a Python that cannot or is another one, and what clean removes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from resnet.device import NVIDIA
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
    """Run make as from a shell, also where make runs the tests."""
    outer = ("PYTHON", "GPU", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL")
    env = {name: value for name, value in os.environ.items() if name not in outer}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def test_a_python_that_cannot_make_an_environment_leaves_none(folder: Path) -> None:
    broken = folder / "broken"
    broken.write_text(BROKEN.format(python=sys.executable))
    broken.chmod(0o755)
    done = make(folder, f"PYTHON={broken}", ".venv/bin/python")
    assert done.returncode
    assert f"{broken} cannot make a virtual environment; on Debian, install" in done.stdout
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize("what", ["gone", "without the packages", "in another folder now"])
def test_an_environment_whose_python_was_replaced_is_installed_again(
    folder: Path, what: str
) -> None:
    (folder / "requirements").mkdir()
    (folder / "requirements" / "run.lock").touch()
    (folder / ".venv" / "bin").mkdir(parents=True)
    python = folder / ".venv" / "bin" / "python"
    python.symlink_to(sys.executable)
    pip = folder / ".venv" / "bin" / "pip"
    pip.write_text(f"#!{python}\n")
    pip.chmod(0o755)
    (folder / ".venv" / ".installed-run").touch()
    install = "-r requirements/run.lock"
    assert install not in make(folder, "-n", "GPU=0", "verify").stdout
    if what == "in another folder now":  # the scripts still name the old one
        pip.write_text("#!/no/such/checkout/.venv/bin/python\n")
    elif what == "gone":
        python.unlink()
        python.symlink_to(folder / "gone")
    else:
        python.unlink()
        python.write_text("#!/bin/sh\nexit 1\n")
        python.chmod(0o755)
    assert install in make(folder, "-n", "GPU=0", "verify").stdout
    assert not (folder / ".venv" / ".installed-run").exists()


def test_speed_has_the_packages_of_a_gpu(folder: Path) -> None:
    (folder / "requirements").mkdir()
    for name in ("run", "gpu", "dev"):
        (folder / "requirements" / f"{name}.lock").touch()
    for gpu, expected in (("0", ["run", "dev"]), ("1", ["gpu", "dev"])):
        printed = make(folder, "-n", f"GPU={gpu}", "speed").stdout
        assert re.findall(r"-r requirements/(run|gpu|dev)\.lock", printed) == expected


def test_a_gpu_is_looked_for_where_the_stages_look() -> None:
    """Else make would install no CUDA where a training then insists on the GPU."""
    (looked_for,) = re.findall(
        r"^NVIDIA := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert looked_for.split() == [str(path) for path in NVIDIA]


def test_cuda_is_installed_where_a_driver_is_but_not_its_tools(folder: Path) -> None:
    for name in ("run", "gpu"):
        (folder / "requirements").mkdir(exist_ok=True)
        (folder / "requirements" / f"{name}.lock").touch()
    without = "gpu" if shutil.which("nvidia-smi") else "run"
    for driver, lock in ((folder / "none", without), (folder / "Makefile", "gpu")):
        printed = make(folder, "-n", f"NVIDIA={driver}", "verify").stdout
        assert f"-r requirements/{lock}.lock" in printed


def test_an_environment_of_another_python_than_asked_for_is_refused(folder: Path) -> None:
    config = folder / ".venv" / "pyvenv.cfg"
    config.parent.mkdir()
    for key, version, same in (
        ("version", "3.9.1", False),
        ("version", sys.version.split()[0], True),
        ("version_info", sys.version.split()[0], True),
    ):
        config.write_text(f"home = somewhere\n{key} = {version}\n")
        assert make(folder, "help").returncode == 0  # none is asked for
        done = make(folder, f"PYTHON={sys.executable}", "help")
        assert (done.returncode == 0) == same
        expected = f".venv has another Python than PYTHON={sys.executable}; `make clean` removes it"
        assert (expected in done.stderr) != same
    assert make(folder, f"PYTHON={sys.executable}", "clean").returncode == 0
    assert not config.exists()


def test_clean_says_what_it_removes_and_what_it_keeps(folder: Path) -> None:
    removed, kept = (".venv", ".mypy_cache"), (".resume", "data", "models", ".dvc/cache")
    for name in (*removed, *kept):
        (folder / name).mkdir(parents=True)
        (folder / name / "a file").write_bytes(bytes(5000))
    for names in ((*removed, *kept), kept):
        done = make(folder, "clean")
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert [line.split()[2] for line in lines] == list(names)
        assert all(re.match(r"(removed|kept) +\d+(\.\d)?K\t", line) for line in lines)
        assert [line.split()[0] for line in lines[-len(kept) :]] == ["kept"] * len(kept)
        assert "`rm -r .resume` removes them" in lines[-len(kept)]
    assert not [name for name in removed if (folder / name).exists()]
    assert all((folder / name / "a file").exists() for name in kept)


def test_clean_in_a_new_clone_has_nothing_to_say(folder: Path) -> None:
    done = make(folder, "clean")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_cluster_changes_what_trains_and_nothing_else(folder: Path) -> None:
    for name in ("run", "gpu", "cluster"):
        (folder / "requirements").mkdir(exist_ok=True)
        (folder / "requirements" / f"{name}.lock").touch()
    for target, plain in (("reproduce", "dvc repro"), ("table", "python -m scripts.table")):
        here = make(folder, "-n", target)
        assert re.search(rf"^{plain}\b", here.stdout, re.MULTILINE)
        assert "cluster" not in here.stdout
        there = make(folder, "-n", target, "CLUSTER=host:6379", "VARIANTS=model", "SEEDS=0 1")
        asked = f"python -m cluster host:6379 {target}"
        asked += " model --seeds 0 1" if target == "table" else ""
        assert asked in re.sub(r" +(\\\n)?\s*", " ", there.stdout)
        assert not re.search(rf"^{plain}\b", there.stdout, re.MULTILINE)
        assert "requirements/cluster.lock" in there.stdout
