"""A command ends with the process that started it, and so does all that it started."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import psutil
import pytest

from cluster import leash

NESTED = """
import subprocess, sys
code = "import time; print(1, flush=True); time.sleep(600)"
subprocess.run(["sh", "-c", f"{sys.executable} -c '{code}'; true"])
"""
STARTER = """
import subprocess, sys
leash = subprocess.Popen(
    [sys.executable, sys.argv[1], sys.executable, "-c", sys.argv[2]],
    stdin=subprocess.PIPE,
)
leash.wait()
"""


@pytest.mark.parametrize(("command", "status"), [("import sys; sys.exit(3)", 3), ("print()", 0)])
def test_the_status_is_that_of_the_command(command: str, status: int) -> None:
    with subprocess.Popen(
        [sys.executable, leash.__file__, sys.executable, "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as process:
        assert process.wait() == status


@pytest.mark.parametrize("as_ray_does", [False, True])
def test_everything_ends_with_the_process_that_started_it(as_ray_does: bool) -> None:
    """A worker of Ray that ends in a hurry kills its children first, but not theirs."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, leash.__file__, NESTED], stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout
        assert starter.stdout.readline() == b"1\n"
        processes = psutil.Process(starter.pid).children(recursive=True)
        assert len(processes) >= 5  # the leash and its child, the command, its shell, what it runs
        if as_ray_does:
            processes[0].kill()
        starter.kill()
    assert _all_end(processes)


def test_a_killed_command_takes_its_children_along() -> None:
    """A training whose dvc was killed, e.g. since memory was short, would keep its GPU."""
    killed = NESTED.replace("subprocess.run", "subprocess.Popen") + "import time; time.sleep(600)"
    with subprocess.Popen(
        [sys.executable, leash.__file__, sys.executable, "-c", killed],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"1\n"
        _, command, *children = psutil.Process(process.pid).children(recursive=True)
        assert children
        command.kill()
        assert process.wait() == 128 + signal.SIGKILL
    assert _all_end(children)


def _all_end(processes: Sequence[psutil.Process]) -> bool:
    """Whether they end within a minute."""
    deadline = 600
    while deadline and any(_runs(each) for each in processes):
        time.sleep(0.1)
        deadline -= 1
    return not any(_runs(each) for each in processes)


def _runs(process: psutil.Process) -> bool:
    """Whether it runs: one whose parent has ended may stay as a zombie."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
