"""A command of this project in the process of a test, which saves the seconds of its imports."""

import gc
import io
import logging
import os
import runpy
import sys
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import dvc  # noqa: F401, which adds the handlers of its log

from scripts.checkout import environment

IGNORED = (  # by Python itself, outside of tests
    DeprecationWarning,
    PendingDeprecationWarning,
    ImportWarning,
    ResourceWarning,
)


def call(folder: Path, module: str, *arguments: str) -> tuple[int, str, str]:
    """Exit status and both streams of `python -m module`, with this checkout's code, in a folder.

    Every warning that Python would show there is an error.
    """
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        patch.dict(os.environ, environment(folder), clear=True),
        patch.object(sys, "argv", [module, *arguments]),
        chdir(folder),
        redirect_stdout(out),
        redirect_stderr(err),
        _warnings(),
        _log_of_dvc(),
    ):
        try:
            runpy.run_module(module, run_name="__main__")
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                print(end.code, file=err)
    return status, out.getvalue(), err.getvalue()


@contextmanager
def _warnings() -> Iterator[None]:
    """Ignore what Python does, also of objects that the command leaves behind."""
    with warnings.catch_warnings():
        for category in IGNORED:
            warnings.simplefilter("ignore", category)
        # a test may have imported the module that runs as a command
        warnings.filterwarnings("ignore", ".* found in sys.modules", RuntimeWarning)
        try:
            yield
        finally:
            gc.collect()


@contextmanager
def _log_of_dvc() -> Iterator[None]:
    """Let DVC log to the present streams; it keeps those of the time when it is imported."""
    every = logging.getLogger("dvc").handlers
    handlers = [each for each in every if isinstance(each, logging.StreamHandler)]
    before = [
        each.setStream(sys.stderr if each.level >= logging.WARNING else sys.stdout)
        for each in handlers
    ]
    try:
        yield
    finally:
        for each, stream in zip(handlers, before, strict=True):
            each.setStream(stream)
