"""Errors that end a command with one clear line, and the entry point of every command."""

import argparse
import io
import re
import sys
from collections.abc import Callable, Iterable


class BenchmarkError(Exception):
    """A user error or an I/O failure; its text is one line: what is wrong, where, the remedy."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end, and its state is saved; the text is one line."""

    def __init__(self, text: str, status: int):
        super().__init__(text)
        self.status = status  # exit status: 128 plus the number of the signal


def command_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser for `python -m <module>`, to which the caller adds arguments if there are any.

    `description` is the docstring of the module, shown by `--help` as it is written: what the
    command does, what it reads and what it writes.
    """
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """The type of a command's argument that is one of these names, or a list of them.

    With argparse's own `choices`, some versions of Python refuse a list that is left out.
    """
    names = tuple(names)

    def check(name: str) -> str:
        if name not in names:
            raise argparse.ArgumentTypeError(f"{name!r}: must be {' or '.join(names)}")
        return name

    return check


def run_stage(main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser) -> None:
    """Parse the command line and run `main` on it; an expected error is one line, no traceback.

    Exit status: 2 for a usage error (argparse prints it), 1 for BenchmarkError and OSError, 130 or
    that of Interrupted for a signal. The line starts with the last part of the module's name.
    """
    name = re.split("[ .]", parser.prog)[-1]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # in a Latin-1 locale, † becomes ?
            stream.reconfigure(errors="replace")
    arguments = parser.parse_args()
    try:
        main(arguments)
    except BenchmarkError as error:
        sys.exit(f"{name}: {error}")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"{name}: {where}{error.strerror or error}")
    except Interrupted as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(error.status)
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(130)
