"""SIGTERM, SIGHUP and Ctrl-C while there is something to save."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from resnet.errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def raised() -> Iterator[None]:
    """Within the block, the first signal raises Interrupted; a second one ends the process at once.

    A signal that was ignored before, as nohup ignores SIGHUP, stays ignored.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    handled = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]

    def interrupt(number: int, _frame: FrameType | None) -> None:
        for each in handled:
            signal.signal(each, signal.SIG_DFL)
        raise Interrupted(f"stopped by {signal.Signals(number).name}", 128 + number)

    for number in handled:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        # after the first signal the handlers stay at their defaults, so that a second one ends it
        if all(signal.getsignal(number) is interrupt for number in handled):
            for number in handled:
                signal.signal(number, before[number])
