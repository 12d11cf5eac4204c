"""Shared by the fuzz tests: settings, edits of bytes, and the guard against side effects."""

import os
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings

from resnet.errors import BenchmarkError
from tests.support.checkout import ROOT

os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(ROOT / ".pytest_cache" / "hypothesis"))
fuzz = settings(
    max_examples=int(os.environ.get("FUZZ", "200")),
    derandomize="FUZZ" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
MEMORY = (
    16 * 2**20
)  # bytes that reading may allocate; the archive of support/archives.py has 0.3 MB
RUNS_CODE = (
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "subprocess.Popen",
    "socket.connect",
)
Edits = list[tuple[int, int, bytes]]


class Watch:
    """Records, while it is on, code that was run and files that were opened for writing."""

    def __init__(self) -> None:
        self.on = False
        self.events: list[tuple[str, Any]] = []
        sys.addaudithook(self.hear)

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self.on and (
            event in RUNS_CODE
            or (event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            # modules that Python itself imports late have a file
            or (event == "exec" and not args[0].co_filename.endswith(".py"))
        ):
            self.events.append((event, args[0]))


@contextmanager
def harmless(watch: Watch, folder: Path | None = None) -> Iterator[None]:
    """Check that a block raises at most a BenchmarkError of one short line and does nothing else.

    It runs no code, writes no file outside `folder`, and allocates little memory.
    """
    message = ""
    tracemalloc.start()
    watch.events.clear()
    watch.on = True
    try:
        yield
    except BenchmarkError as error:
        message = str(error)
    finally:
        watch.on = False
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert message.isprintable()
    assert len(message) < 1000
    assert peak < MEMORY
    outside = [
        (event, what)
        for event, what in watch.events
        if event != "open" or not folder or folder not in Path(what).parents
    ]
    assert not outside


def edited(data: bytes, edits: Edits) -> bytes:
    for at, dropped, inserted in edits:
        at %= len(data) + 1
        data = data[:at] + inserted + data[at + dropped :]
    return data


def edits(*tokens: bytes, most: int = 4) -> st.SearchStrategy[Edits]:
    """Insertions, of the tokens among others, and deletions."""
    inserted = st.binary(max_size=8) | (st.sampled_from(tokens) if tokens else st.nothing())
    return st.lists(
        st.tuples(st.integers(0, 2**20), st.integers(0, 600), inserted), min_size=1, max_size=most
    )
