"""What a command that fails says, and what one that succeeds prints."""

import sys
from pathlib import Path

import pytest

from resnet.errors import BenchmarkError
from scripts.command import output


def test_what_is_printed(tmp_path: Path) -> None:
    code = "import os; print(os.getcwd(), os.environ['WORD'])"
    printed = output([sys.executable, "-c", code], tmp_path, {"WORD": "here"})
    assert printed == f"{tmp_path.resolve()} here\n"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit('first\\nthe reason')", "the reason"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "ended with status 3"),
        ("import os; os.kill(os.getpid(), 9)", "ended with status -9"),
        (
            r"import os; os.write(2, b'no \xff'); raise SystemExit(1)",
            "no \N{REPLACEMENT CHARACTER}",
        ),
    ],
)
def test_a_failure_has_its_own_reason(code: str, reason: str) -> None:
    with pytest.raises(BenchmarkError) as caught:
        output([sys.executable, "-c", code])
    assert str(caught.value) == reason
