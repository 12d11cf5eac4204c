"""What a command prints, and its exit status, when it fails."""

import os
import subprocess
import sys

import pytest

from resnet.errors import command_parser, one_of
from tests.support.checkout import ROOT
from tests.support.command import call

COMMANDS = [
    *(f"stages.{path.stem}" for path in sorted((ROOT / "stages").glob("[!_]*.py"))),
    *(
        f"scripts.{path.stem}"
        for path in sorted((ROOT / "scripts").glob("[!_]*.py"))
        if "run_stage(" in path.read_text(encoding="utf-8")
    ),
    *("cluster", "cluster.measure", "faults", "speed"),
]
COMMAND = """
import errno, os, signal
from resnet.errors import BenchmarkError, Interrupted, command_parser, run_stage
def main(arguments):
    {body}
parser = command_parser("stages.train", "Train a network.\\n\\nWrites models/.")
parser.add_argument("seed", type=int)
run_stage(main, parser)
"""


def run(body: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND.format(body=body), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [
        ("print(arguments.seed + 1)", 0, ""),
        ("raise BenchmarkError('a: is 1, must be 2')", 1, "train: a: is 1, must be 2\n"),
        (
            "raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'models/x')",
            1,
            "train: models/x: No space left on device\n",
        ),
        ("raise OSError('odd')", 1, "train: odd\n"),
        ("raise Interrupted('saved epoch 3', 143)", 143, "train: saved epoch 3\n"),
        ("os.kill(os.getpid(), signal.SIGINT)", 130, "train: interrupted\n"),
    ],
    ids=["success", "BenchmarkError", "OSError of a file", "OSError", "Interrupted", "SIGINT"],
)
def test_an_expected_error_is_one_line(body: str, status: int, line: str) -> None:
    done = run(body, "41")
    assert (done.returncode, done.stderr) == (status, line)
    assert done.stdout == ("42\n" if status == 0 else "")


def test_a_locale_without_a_character_prints_another() -> None:
    code = COMMAND.format(body="print('91.50 † ± 0.21')")
    done = subprocess.run(
        [sys.executable, "-c", code, "1"],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == "91.50 ? ± 0.21\n".encode("latin-1")


def test_an_unexpected_error_keeps_its_traceback() -> None:
    done = run("raise ZeroDivisionError", "1")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")


@pytest.mark.parametrize(
    "arguments", [["²"], ["1.5"], [], ["1", "2"], ["1", "--no-such-option"], ["--hel"]]
)
def test_a_usage_error_is_status_2(arguments: list[str]) -> None:
    done = run("print('ran')", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    usage, error = done.stderr.splitlines()
    assert usage == "usage: python -m stages.train [-h] seed"
    assert error.startswith("python -m stages.train: error: ")


@pytest.mark.parametrize("names", [[], ["a"], ["b", "a"]])
def test_a_list_of_names_may_be_left_out(names: list[str]) -> None:
    """Which argparse's own choices do not allow in every version of Python."""
    parser = command_parser("x", None)
    parser.add_argument("parts", nargs="*", type=one_of(("a", "b")))
    assert parser.parse_args(names).parts == names


def test_a_name_that_is_none_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    parser = command_parser("x", None)
    parser.add_argument("parts", nargs="*", type=one_of(("a", "b")))
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["a", "c"])
    assert capsys.readouterr().err.endswith("error: argument parts: 'c': must be a or b\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str) -> None:
    """Every command describes itself, and refuses an unknown argument before it does anything."""
    status, text, error = call(ROOT, command, "--help")
    assert (status, error) == (0, "")
    assert text.startswith(f"usage: python -m {command} [-h]")
    description = text.partition("\n\n")[2].partition("\noptions:")[0]
    assert len(description.split()) > 8
    bad = [sys.executable, "-m", command, "--no-such-option"]  # in a process: it imports all alone
    done = subprocess.run(bad, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"python -m {command}: error: " in done.stderr
