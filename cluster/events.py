"""What the driver and the workers send each other."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Inputs(NamedTuple):
    """What all trainings read; each file in parts, which are in Ray's object store."""

    digest: str
    files: Mapping[str, Sequence[Any]]  # path: references to its parts
    bytes: int  # of all files


class Job(NamedTuple):
    """A training to run."""

    name: str  # <variant>-<seed>
    params: str  # the text of params.yaml, which lists this training alone
    states: Mapping[str, bytes]  # files below .resume/
    environment: Mapping[str, str]  # variables that are set
    removed: Sequence[str]  # variables that are not


class About(NamedTuple):
    """A node, as its worker sees it."""

    versions: Mapping[str, str | None]  # of Python and packages
    kind: str  # what decides the last bits: the GPU's name, or the processor and its threads


class State(NamedTuple):
    """A file of a training's folder below .resume/ is written."""

    folder: str
    name: str
    content: bytes
    kept: Sequence[str]  # the names of all states in that folder; others are out of date


class Superseded(NamedTuple):
    """The training removed a folder below .resume/, whose states it had resumed."""

    folder: str


class Line(NamedTuple):
    """The training printed a line."""

    text: str


class Trained(NamedTuple):
    """The training succeeded."""

    files: Mapping[str, bytes]  # what its run added to DVC's cache
    folders: Sequence[str]  # below .resume/, whose states are no longer needed


class Failed(NamedTuple):
    """The training, or the node, failed."""

    reason: str
    node_is_at_fault: bool


class Killed(NamedTuple):
    """The system killed the training, e.g. for want of memory."""


class Stopped(NamedTuple):
    """The training ended because the driver asked for it; its state has been sent."""


Event = State | Superseded | Line | Trained | Failed | Killed | Stopped
