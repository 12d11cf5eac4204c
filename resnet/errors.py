"""What goes wrong in a way that a person can mend: one line, a non-zero exit, no traceback."""

import sys
from collections.abc import Callable


class BenchmarkError(Exception):
    """Bad input or bad weather; the text is the one line a person reads: what is wrong, where, and what would be right."""


class Interrupted(KeyboardInterrupt):
    """A signal that asks to end, once what there was to save is saved; the text is the one line a person reads."""

    def __init__(self, text: str, status: int):
        super().__init__(text)
        self.status = status  # to exit with: 128 and the signal's number


def run_stage(name: str, main: Callable[[list[str]], None]) -> None:
    """Run a stage's `main` on the command line's arguments; exit 1 with one line on an error that a person can mend."""
    try:
        main(sys.argv[1:])
    except BenchmarkError as error:
        sys.exit(f"{name}: {error}")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"{name}: {where}{error.strerror or error}")
    except KeyboardInterrupt as error:
        print(
            f"{name}: {error if isinstance(error, Interrupted) else 'interrupted'}", file=sys.stderr
        )
        sys.exit(error.status if isinstance(error, Interrupted) else 130)
