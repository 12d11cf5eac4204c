"""SIGTERM, SIGHUP and Ctrl-C while there is something to save."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

from resnet.errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def raised() -> AbstractContextManager[None]:
    """Within the block, the first signal raises Interrupted; a second one ends the process."""

    def interrupt(number: int) -> None:
        raise Interrupted(f"stopped by {signal.Signals(number).name}", 128 + number)

    return first_signal(interrupt)


@contextmanager
def first_signal(act: Callable[[int], None]) -> Iterator[None]:
    """Within the block, the first signal calls `act` with its number.

    A second one ends the process, also after the block. A signal that was ignored before, as nohup
    ignores SIGHUP, stays ignored.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    handled = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]

    received = False

    def first(number: int, _frame: FrameType | None) -> None:
        nonlocal received
        received = True
        for each in handled:
            signal.signal(each, signal.SIG_DFL)
        act(number)

    for number in handled:
        signal.signal(number, first)
    try:
        yield
    finally:
        if not received:
            for number in handled:
                signal.signal(number, before[number])
