"""SIGTERM, SIGHUP and Ctrl-C while the driver runs."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from resnet.errors import Interrupted
from resnet.training.interrupt import first_signal


class Received:
    """The first signal that was received, if any."""

    number: int | None = None

    def note(self, number: int) -> None:
        self.number = number

    def check(self) -> None:
        """Raise Interrupted if a signal was received."""
        if self.number is not None:
            name = signal.Signals(self.number).name
            raise Interrupted(f"stopped by {name}", 128 + self.number)


@contextmanager
def received() -> Iterator[Received]:
    """Within the block, the first signal is noted; a second one ends the process at once.

    It is not raised where it arrives: Ray would replace the exception by one of its own.
    """
    found = Received()
    with first_signal(found.note):
        yield found
