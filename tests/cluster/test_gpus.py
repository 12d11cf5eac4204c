"""Where trainings run if some nodes have GPUs. No GPU is used: Ray takes a node's word for it."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import simulated
from cluster.loopback import Cluster, Driver, trained


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A node with four CPUs and no GPU, and one with two GPUs."""
    started = Cluster()
    try:
        started.add(cpus=4)
        started.add(gpus=2, CUDA_VISIBLE_DEVICES="0,1")
        yield started
    finally:
        started.stop()


def drive(checkout: Path, cluster: Cluster, **env: str) -> str:
    unset = {"GPU": "", "CPUS_PER_TRAINING": "2", "CUDA_VISIBLE_DEVICES": "0,1"}
    home = {"HOME": str(cluster.folder)}
    return Driver(checkout, cluster.address, **{**unset, **home, **env}).end()


def most_at_a_time(printed: str) -> int:
    """The largest number of trainings that had started and not ended, at any line."""
    running = most = 0
    for line in printed.splitlines():
        running += bool(re.search(r"^\S+-\d+ on \S+$", line))
        running -= " is trained, on " in line
        most = max(most, running)
    return most


def environments(checkout: Path) -> Counter[str]:
    """The GPU that each training saw, and whether JAX may take its memory at once."""
    logs = (checkout / ".dvc" / "tmp" / "cluster").glob("ResNet*.log")
    return Counter(re.findall(r"^environment (.*)$", log.read_text(), re.M)[0] for log in logs)


@pytest.mark.parametrize(("per_gpu", "trainings"), [(1, 4), (2, 4), (2, 2)])
def test_each_gpu_runs_as_many_trainings_as_asked_for(
    cluster: Cluster, tmp_path: Path, per_gpu: int, trainings: int
) -> None:
    checkout = simulated.write(tmp_path, seeds=trainings, epochs=20, seconds=0.5)
    printed = drive(checkout, cluster, PER_GPU=str(per_gpu))
    assert len(trained(printed)) == trainings
    assert len(set(re.findall(r"^\S+-\d+ on (\S+)$", printed, re.M))) == 1  # none on CPUs
    together = min(2 * per_gpu, trainings)  # with two, each GPU has one
    assert most_at_a_time(printed) == together
    memory = "None" if together == 2 else "false"
    assert environments(checkout) == {f"{gpu} {memory}": trainings // 2 for gpu in (0, 1)}


def test_gpu_0_trains_on_the_cpus_of_all_nodes(cluster: Cluster, tmp_path: Path) -> None:
    checkout = simulated.write(tmp_path, seeds=4, epochs=20, seconds=0.5)
    printed = drive(checkout, cluster, GPU="0")
    assert len(set(re.findall(r"^\S+-\d+ on (\S+)$", printed, re.M))) == 2
    assert most_at_a_time(printed) == 3  # two CPUs each, and all that the other node has
