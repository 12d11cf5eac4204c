"""The connection to Ray, and its nodes. All errors a user can meet are one line, in seconds."""

import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from resnet.device import gpu_unwanted
from resnet.errors import BenchmarkError

LOCAL = "local"
TIMEOUT = 5.0  # seconds for the first answer
ADDRESS = re.compile(r"(?P<host>[^:\s]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
# How HTTP/2, on which Ray's head node listens, begins; any such server answers with its settings.
# Without this, Ray waits for minutes where another program listens.
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
HTTP2_SETTINGS = b"\x04"
VERSIONS = re.compile(r"started with: Ray: (\S+) Python: (\S+)")  # in Ray's message
SETTINGS = {  # of Ray, unless they are set already
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
}


class Slots(NamedTuple):
    """How many trainings run at a time, and where."""

    gpu: bool
    per_gpu: int
    cpus: int  # for a training on a CPU

    @classmethod
    def from_environment(cls) -> "Slots":
        """What PER_GPU, CPUS_PER_TRAINING and GPU ask for; raises BenchmarkError."""
        unwanted = gpu_unwanted(os.environ.get("KERAS_BACKEND", "tensorflow"))
        return cls(not unwanted, _count("PER_GPU", 1), _count("CPUS_PER_TRAINING", 2))

    def on(self, nodes: "list[Node]", trainings: int) -> "Slots":
        """On CPUs where no node has a GPU; raises BenchmarkError where one is asked for.

        Not more on each GPU than `trainings` need: Ray fills one before it uses the next.
        """
        has = any(node.gpus >= 1 for node in nodes)
        if not has and (os.environ.get("GPU") == "1" or os.environ.get("PER_GPU")):
            raise BenchmarkError(
                "no node of the cluster has a GPU; without GPU=1 and PER_GPU, its CPUs train"
            )
        needed = -(-trainings // max(1, int(sum(node.gpus for node in nodes))))
        return self._replace(gpu=self.gpu and has, per_gpu=min(self.per_gpu, needed))


class Node(NamedTuple):
    """A node of the cluster that is alive."""

    id: str
    name: str
    gpus: float
    cpus: float

    def slots(self, wanted: Slots) -> int:
        """How many trainings run there at a time."""
        if wanted.gpu:
            return int(self.gpus) * wanted.per_gpu
        return max(1, int(self.cpus // wanted.cpus)) if self.cpus >= 1 else 0


def check_address(address: str) -> None:
    """Raise BenchmarkError for a malformed address, or where nothing answers."""
    if find_spec("ray") is None:  # not imported before connect: it reads its settings then
        raise BenchmarkError(
            "Ray is not installed: run `pip install --require-hashes -r "
            "requirements/cluster.lock`, or use make, which does"
        )
    if address == LOCAL:
        return
    match = ADDRESS.fullmatch(address)
    if not match:
        raise BenchmarkError(
            f"CLUSTER is {address!r}: must be local, or HOST:PORT as `ray start --head` prints it"
        )
    try:
        with socket.create_connection(
            (match["host"].strip("[]"), int(match["port"])), TIMEOUT
        ) as s:
            s.sendall(HTTP2)
            answer = s.recv(9)
        reason = "" if answer[3:4] == HTTP2_SETTINGS else "what answers there is not Ray"
    except (OSError, OverflowError, UnicodeError) as error:  # of a name or port that cannot be
        reason = getattr(error, "strerror", None) or str(error)
    if reason:
        raise BenchmarkError(
            f"CLUSTER={address}: {reason}; is `ray start --head` running there, on that port?"
        )


def connect(address: str, log: Path) -> None:
    """Connect to a cluster, or start one of this machine that ends with this process.

    What Ray's libraries print meanwhile is added to the file `log`. Raises BenchmarkError.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if address == LOCAL:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else Ray keeps one in HOME
        options |= {"include_dashboard": False, "num_cpus": _cpus()}
    else:
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "5")  # seconds
    with log.open("a+", encoding="utf-8") as file:
        start = file.tell()
        try:
            with _stderr_to(file), _signals_kept():
                import ray

                ray.init(address=address, logging_level="ERROR", **options)
        except Exception as error:  # Ray raises many kinds
            file.seek(start)
            raise BenchmarkError(f"CLUSTER={address}: {_reason(error, file.read())}") from error


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Undo what Ray changes about signals, and let what it starts ignore SIGHUP.

    A terminal that is closed would end Ray before the driver has let the trainings save.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def errors() -> Iterator[None]:
    """Raise BenchmarkError for an error of Ray's, e.g. that it lost the cluster."""
    import ray

    try:
        yield
    except ray.exceptions.RayError as error:
        raise BenchmarkError(f"Ray: {_reason(error, '')}; the next start resumes") from error


@contextmanager
def _stderr_to(file: TextIO) -> Iterator[None]:
    """Write to a file what this process and its libraries write to stderr within the block."""
    sys.stderr.flush()
    stderr = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)


def disconnect() -> None:
    """Leave the cluster, which ends what this process started there."""
    import ray

    ray.shutdown()


def nodes() -> list[Node]:
    """The nodes that are alive, in the order of their names."""
    import ray

    found = []
    alive = [node for node in ray.nodes() if node["Alive"]]
    names = [node["NodeManagerHostname"] for node in alive]
    for node in alive:
        name, has = node["NodeManagerHostname"], node["Resources"]
        if names.count(name) > 1:  # several on one machine
            name = f"{name}/{node['NodeID'][:4]}"
        found.append(Node(node["NodeID"], name, has.get("GPU", 0.0), has.get("CPU", 0.0)))
    return sorted(found, key=lambda node: node.name)


def _count(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not (text.isascii() and text.isdigit() and int(text)):
        raise BenchmarkError(f"{variable} is {text!r}: must be a whole number, at least 1")
    return int(text)


def _cpus() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _reason(error: Exception, printed: str) -> str:
    """Why Ray could not be reached or started, by its exception and what it has printed."""
    if "InvalidAuthToken" in printed or "token" in str(error).lower():
        return (
            "the cluster refuses this token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as they "
            "are on its nodes"
        )
    message = " ".join(str(error).split())
    if len(found := VERSIONS.findall(message)) == 2:
        theirs, ours = (f"Python {python} and Ray {ray}" for ray, python in found)
        return f"the cluster has {theirs}, here is {ours}; they must be the same"
    return message[:300] or type(error).__name__
