"""Run a command that ends with the process that started it.

The standard input of this script is a pipe whose other end is in that process alone. However that
process ends, the system closes the pipe; then this script kills its process group, a new one with
DVC and the training that DVC started. `prctl` does this on Linux alone, and not for the processes
that a child starts.

It does so in a child of its own: a worker of Ray that ends in a hurry kills its children, but not
theirs.

A node runs it as a file: it imports nothing of the project.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading


def _kill_at_end_of_input() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def _exit(status: int) -> None:
    sys.stdout.flush()
    os._exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    if child := os.fork():
        ended = os.waitpid(child, 0)[1]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # a training whose dvc was killed
        _exit(os.waitstatus_to_exitcode(ended))
    os.setsid()  # or the group would be that of the process that started this one
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_kill_at_end_of_input, daemon=True).start()
    _exit(command.wait())
