"""Signals while there is something to save."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from resnet.errors import Interrupted
from resnet.training import interrupt
from tests.support.checkout import ROOT


@pytest.fixture(autouse=True)
def handlers() -> Iterator[dict[signal.Signals, object]]:
    """The handlers before the test, which are restored after it."""
    before = {number: signal.getsignal(number) for number in interrupt.SIGNALS}
    yield dict(before)
    for number, handler in before.items():
        signal.signal(number, handler)


def receive(number: signal.Signals) -> None:
    with interrupt.raised():
        os.kill(os.getpid(), number)
        time.sleep(1)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_first_signal_raises_and_a_second_would_end_the_process(
    number: signal.Signals, status: int
) -> None:
    with pytest.raises(Interrupted, match=f"^stopped by {number.name}$") as caught:
        receive(number)
    assert caught.value.status == status
    assert {signal.getsignal(each) for each in interrupt.SIGNALS} == {signal.SIG_DFL}


def test_handlers_are_restored_after_the_block(handlers: dict[signal.Signals, object]) -> None:
    with interrupt.raised():
        assert signal.getsignal(signal.SIGTERM) is not handlers[signal.SIGTERM]
    for number, handler in handlers.items():
        assert signal.getsignal(number) is handler


def test_sighup_is_ignored_under_nohup() -> None:
    code = """
import os, signal, time
from resnet.training import interrupt
with interrupt.raised():
    os.kill(os.getpid(), signal.SIGHUP)
    time.sleep(0.1)
    print("still running", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
"""
    done = subprocess.run(
        ["nohup", sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "still running\n"
    assert done.stderr.splitlines()[-1].endswith("Interrupted: stopped by SIGTERM")
