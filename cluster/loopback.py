"""A Ray cluster on this machine, and the driver in a checkout, each a process of its own."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from scripts.checkout import environment

BIN = Path(sys.executable).parent
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Cluster:
    """A head node without CPUs, and the nodes that are added, each with one CPU by default."""

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: sockets have long names in it
        self.env = {
            **os.environ,
            "HOME": str(self.folder),  # Ray keeps a token there
            "TMPDIR": str(self.folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            # a node that ends without a word is noticed in seconds rather than half a minute
            "RAY_health_check_initial_delay_ms": "500",
            "RAY_health_check_period_ms": "500",
            "RAY_health_check_failure_threshold": "4",
            **(env or {}),
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._started: list[subprocess.Popen[str]] = []
        port = self.address.rpartition(":")[2]
        self._start("--head", f"--port={port}", "--include-dashboard=false", cpus=0)

    def add(
        self, cpus: int = 1, gpus: int = 0, prefix: Sequence[str] = (), **env: str
    ) -> subprocess.Popen[str]:
        """Add a node, with more variables in its environment; it joins within seconds.

        Ray takes the node's word for its GPUs. `prefix` is a command that runs another, e.g. on
        fewer processors.
        """
        address = f"--address={self.address}"
        return self._start(address, cpus=cpus, gpus=gpus, prefix=prefix, **env)

    def _start(
        self, *options: str, cpus: int, gpus: int = 0, prefix: Sequence[str] = (), **env: str
    ) -> subprocess.Popen[str]:
        command = [
            *prefix,
            str(BIN / "ray"),
            "start",
            *options,
            f"--num-cpus={cpus}",
            f"--num-gpus={gpus}",
        ]
        command += ["--node-ip-address=127.0.0.1", "--object-store-memory=100000000", "--block"]
        command += [f"--temp-dir={self.folder / 'ray'}"]
        process = subprocess.Popen(
            command,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        printed = ""
        while "--block" not in printed:  # all its processes are started then
            assert process.stdout
            line = process.stdout.readline()
            assert line, printed
            printed += line
        return process

    @staticmethod
    def raylet(node: subprocess.Popen[str]) -> psutil.Process:
        """The process that is a node for the others."""
        children = psutil.Process(node.pid).children(recursive=True)
        (raylet,) = [child for child in children if child.name() == "raylet"]
        return raylet

    def remove(self, node: subprocess.Popen[str]) -> None:
        """End a node and all its processes."""
        if node.poll() is None:
            processes = psutil.Process(node.pid).children(recursive=True)
            node.terminate()
            for process in psutil.wait_procs(processes, timeout=15)[1]:
                process.kill()
        node.wait()
        if node.stdout:
            node.stdout.close()
        self._started.remove(node)

    def stop(self) -> None:
        """End all processes of this cluster."""
        for node in reversed(list(self._started)):  # the head last
            self.remove(node)
        shutil.rmtree(self.folder, ignore_errors=True)


class Driver:
    """A driver that runs in a checkout."""

    def __init__(self, checkout: Path, address: str, *arguments: str, **env: str):
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cluster", address, *(arguments or ("reproduce",))],
            cwd=checkout,
            env={**environment(checkout), "GPU": "0", "CPUS_PER_TRAINING": "1", **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, pattern: str) -> str:
        """Wait for a line that contains a pattern, and return it; it must come."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if re.search(pattern, line):
                return line.rstrip()
        raise AssertionError("\n".join(self.lines))

    def wait_for_file(self, folder: Path, pattern: str) -> Path:
        """Wait until a file exists, while the driver runs."""
        while not (found := list(folder.glob(pattern))):
            assert self.process.poll() is None, self.end(-1)
            time.sleep(0.1)
        return found[0]

    def end(self, status: int = 0) -> str:
        """Wait for the end, which must have this status; returns all that was printed."""
        assert self.process.stdout
        self.lines += self.process.stdout.read().splitlines()
        self.process.stdout.close()
        printed = "\n".join(self.lines)
        assert self.process.wait() == status, printed
        return printed

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)


def training_processes(checkout_or_node: Path) -> list[psutil.Process]:
    """The trainings that run below a folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        cwd = process.info["cwd"] or ""
        if "stages.train" in (process.info["cmdline"] or []) and cwd.startswith(
            str(checkout_or_node)
        ):
            found.append(process)
    return found


def trained(printed: str) -> list[str]:
    """The trainings that a driver says it started, in order."""
    return re.findall(r"^(\S+-\d+) on \S+$", printed, re.MULTILINE)
