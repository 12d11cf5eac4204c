"""SIGTERM, SIGHUP and Ctrl-C while the driver runs."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from resnet.errors import Interrupted
from resnet.training.interrupt import SIGNALS


class Received:
    """The first signal that was received, if any."""

    number: int | None = None

    def check(self) -> None:
        """Raise Interrupted if a signal was received."""
        if self.number is not None:
            name = signal.Signals(self.number).name
            raise Interrupted(f"stopped by {name}", 128 + self.number)


@contextmanager
def received() -> Iterator[Received]:
    """Within the block, the first signal is noted; a second one ends the process at once.

    It is not raised where it arrives: Ray would replace the exception by one of its own. A signal
    that was ignored before, as nohup ignores SIGHUP, stays ignored.
    """
    found = Received()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    handled = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]

    def note(number: int, _frame: FrameType | None) -> None:
        found.number = number
        for each in handled:
            signal.signal(each, signal.SIG_DFL)

    for number in handled:
        signal.signal(number, note)
    try:
        yield found
    finally:
        if found.number is None:  # else a second signal still ends the process
            for number in handled:
                signal.signal(number, before[number])
