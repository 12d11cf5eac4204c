"""Drivers on a cluster, and what they have left in a checkout."""

import re
from pathlib import Path

from cluster.loopback import Cluster, Driver


def drive(checkout: Path, cluster: Cluster, *arguments: str, **env: str) -> Driver:
    """Start a driver in a checkout, on a cluster of this machine."""
    return Driver(checkout, cluster.address, *arguments, HOME=str(cluster.folder), **env)


def epochs_printed(checkout: Path, name: str) -> list[int]:
    """The epochs that a training has printed, in order, in all its starts."""
    log = (checkout / ".dvc" / "tmp" / "cluster" / f"{name}.log").read_text(encoding="utf-8")
    return [int(number) for number in re.findall(r"^epoch (\d+)/", log, re.MULTILINE)]


def models(checkout: Path) -> dict[str, bytes]:
    """The checkpoints in a checkout."""
    paths = sorted((checkout / "models").rglob("*.keras"))
    return {str(path.relative_to(checkout)): path.read_bytes() for path in paths}
