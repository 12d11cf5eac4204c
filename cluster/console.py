"""What the driver prints: a line per event, and one line of progress over all trainings."""

import shutil
import sys
import time

INTERVAL = 600.0  # seconds between two lines of progress where the output is no terminal


class Console:
    """Events stay; in a terminal, the line of progress below them is replaced."""

    def __init__(self) -> None:
        self._out = sys.stdout  # the driver keeps what Ray prints away from it
        self._terminal = self._out.isatty()
        self._progress, self._printed = "", time.monotonic()

    def event(self, text: str) -> None:
        """Print a line that stays."""
        self._clear()
        print(text, file=self._out, flush=True)
        self._draw()

    def progress(self, text: str, *, now: bool = False) -> None:
        """Show the progress; where the output is no terminal, only `now` or after a while."""
        due = now or time.monotonic() - self._printed >= INTERVAL
        if self._terminal:
            self._clear()
            self._progress = text
            self._draw()
        elif due and text != self._progress:
            print(text, file=self._out, flush=True)
            self._progress, self._printed = text, time.monotonic()

    def end(self) -> None:
        """Remove the line of progress."""
        self._clear()
        self._progress = ""

    def _clear(self) -> None:
        if self._terminal and self._progress:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def _draw(self) -> None:
        if self._terminal and self._progress:
            width = shutil.get_terminal_size().columns - 1
            self._out.write(self._progress[:width])
            self._out.flush()
