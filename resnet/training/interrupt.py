"""SIGTERM and Ctrl-C while there is something to save."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from resnet.errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def raised() -> Iterator[None]:
    """Within the block the first SIGTERM or SIGINT raises Interrupted where the program is; the second ends it there and then."""
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def interrupt(number: int, _frame: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        raise Interrupted(f"stopped by {signal.Signals(number).name}", 128 + number)

    for number in SIGNALS:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        if all(
            signal.getsignal(number) is interrupt for number in SIGNALS
        ):  # after the first signal the second stays at its default
            for number, handler in before.items():
                signal.signal(number, handler)
