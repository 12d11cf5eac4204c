"""What ends while simulated trainings run on two nodes: a node, a driver, a training, the disk."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cluster import simulated
from cluster.loopback import Cluster, Driver, trained, training_processes
from scripts.checkout import set_params
from tests.support.checkout import run
from tests.support.cluster import drive, epochs_printed, models


def test_a_lost_node_and_one_that_joins_late(cluster: Cluster, tmp_path: Path) -> None:
    plain = simulated.write(tmp_path / "plain", seeds=2, epochs=40)
    other = simulated.write(tmp_path / "other", seeds=2, epochs=40, seconds=0.4)
    (plain / "simulation.json").write_bytes((other / "simulation.json").read_bytes())
    run(plain, "dvc", "repro", "--quiet", more={"SIMULATED_SECONDS": "0"})
    node = cluster.add()
    driver = drive(other, cluster)
    first = driver.wait_for(r"^ResNet8v1-[01] on ").split()
    second = driver.wait_for(r"^ResNet8v1-[01] on ").split()
    for name in (first[0], second[0]):
        driver.wait_for_file(other, f".resume/{name.replace('-', '-seed')}-*/epoch*.npz")
    Cluster.raylet(node).kill()
    lost = driver.wait_for(r"is lost: ")
    late = cluster.add()
    printed = driver.end()
    name = lost.split("is lost: ")[1].split()[0]
    assert sorted(trained(printed)) == sorted(["ResNet8v1-0", "ResNet8v1-1", name])
    places = re.findall(rf"^{name} on (\S+)$", printed, re.MULTILINE)
    assert places[0] != places[1]
    joined = re.search(r"^(\S+) joined$", printed, re.MULTILINE)
    assert joined
    assert joined[1] == places[1]  # the other node has work until then
    assert re.search(rf"^{name}: resuming after epoch \d+ of 40$", printed, re.MULTILINE)
    assert models(other) == models(plain)
    assert "up to date" in run(other, "dvc", "status")
    other_name = ({"ResNet8v1-0", "ResNet8v1-1"} - {name}).pop()
    assert epochs_printed(other, other_name) == list(range(1, 41))
    assert sorted(set(epochs_printed(other, name))) == list(range(1, 41))
    for each in (node, late):
        cluster.remove(each)


def test_without_any_node_the_driver_waits_for_one(tmp_path: Path) -> None:
    checkout = simulated.write(tmp_path, epochs=40, seconds=0.3)
    cluster = Cluster()
    try:
        node = cluster.add()
        driver = drive(checkout, cluster)
        driver.wait_for_file(checkout, ".resume/ResNet8v1-seed0-*/epoch*.npz")
        Cluster.raylet(node).kill()
        driver.wait_for("is lost: ResNet8v1-0 resumes after epoch")
        driver.wait_for(" left$")
        cluster.add()
        assert "resuming after epoch" in driver.end()
    finally:
        cluster.stop()
    assert sorted(set(epochs_printed(checkout, "ResNet8v1-0"))) == list(range(1, 41))


@pytest.fixture
def two_nodes() -> Iterator[Cluster]:
    """A cluster whose nodes the test may kill."""
    started = Cluster()
    try:
        for _ in range(2):
            started.add()
        yield started
    finally:
        started.stop()


@pytest.mark.parametrize("what", ["raylet", "worker"])
def test_no_training_is_left_where_a_node_or_a_worker_was(
    two_nodes: Cluster, tmp_path: Path, what: str
) -> None:
    """Ray then kills the processes that a worker has started, but not those below them."""
    checkout = simulated.write(tmp_path, epochs=2000, seconds=0.3)
    driver = drive(checkout, two_nodes)
    driver.wait_for_file(checkout, ".resume/ResNet8v1-seed0-*/epoch*.npz")
    (process,) = training_processes(two_nodes.folder)
    name = {"raylet": "raylet", "worker": "ray::"}[what]
    (killed,) = [each for each in process.parents() if each.name().startswith(name)]
    killed.kill()
    driver.wait_for("is lost: ResNet8v1-0 resumes after epoch")
    assert not psutil.wait_procs([process], timeout=120)[1]
    driver.wait_for("resuming after epoch")
    driver.kill(signal.SIGTERM)
    driver.end(143)
    assert not training_processes(two_nodes.folder)


def test_a_driver_that_ends_is_followed_by_one_that_resumes(
    cluster: Cluster, tmp_path: Path
) -> None:
    checkout = simulated.write(tmp_path / "checkout", epochs=2000, seconds=0.3)
    states = ".resume/ResNet8v1-seed0-*/epoch{}-*.npz"
    first = drive(checkout, cluster)
    first.wait_for_file(checkout, states.format("*"))
    refused = drive(checkout, cluster).end(1)
    assert re.fullmatch(
        r"cluster: another driver, process \d+ on \S+, since [\d :-]+, trains from this checkout; "
        r"wait for it, or end it with `kill`",
        refused,
    )
    processes = training_processes(cluster.folder)
    assert processes
    first.kill(signal.SIGKILL)
    first.end(-signal.SIGKILL)
    assert not psutil.wait_procs(processes, timeout=120)[1]  # its training ends with it
    assert list(checkout.glob(states.format("*")))

    second = drive(checkout, cluster)
    resumed = second.wait_for(r"^ResNet8v1-0: resuming after epoch")
    assert int(resumed.split()[4]) >= 1
    second.wait_for_file(checkout, states.format("[1-9][0-9]*"))
    second.kill(signal.SIGINT)
    printed = second.end(130)
    assert printed.splitlines()[-2:] == [
        "stopping 1 training, which save first",
        "cluster: stopped by SIGINT, with 1 training left; the next start resumes",
    ]
    assert "Traceback" not in printed
    assert not training_processes(cluster.folder)

    epochs = max(epochs_printed(checkout, "ResNet8v1-0"))
    set_params(checkout / "params.yaml", {"recipes.original.epochs": epochs + 3})
    printed = drive(checkout, cluster).end()
    assert int(re.findall(r"resuming after epoch (\d+)", printed)[0]) == epochs
    assert sorted(set(epochs_printed(checkout, "ResNet8v1-0"))) == list(range(1, epochs + 4))


@pytest.mark.parametrize("killed", ["the training", "its dvc"])
def test_a_training_that_is_killed_resumes(cluster: Cluster, tmp_path: Path, killed: str) -> None:
    checkout = simulated.write(tmp_path, epochs=20, seconds=0.5)
    driver = drive(checkout, cluster)
    driver.wait_for_file(checkout, ".resume/ResNet8v1-seed0-*/epoch*.npz")
    (process,) = training_processes(cluster.folder)
    if killed == "its dvc":
        process = next(each for each in process.parents() if "dvc" in each.cmdline()[:3])
    process.kill()
    printed = driver.end()
    assert re.search(r"^ResNet8v1-0 was killed on \S+: \S+ resumes after epoch \d+$", printed, re.M)
    assert len(models(checkout)) == 1
    assert sorted(set(epochs_printed(checkout, "ResNet8v1-0"))) == list(range(1, 21))


def test_a_node_that_fails_what_succeeds_elsewhere(cluster: Cluster, tmp_path: Path) -> None:
    checkout = simulated.write(tmp_path, seeds=4)
    node = cluster.add(SIMULATED_FAULT="out of memory")
    printed = drive(checkout, cluster).end()
    cluster.remove(node)
    once_more = r"^ResNet8v1-\d failed: out of memory; tried once more on another node$"
    assert re.search(once_more, printed, re.MULTILINE)
    assert len(models(checkout)) == 4


def test_a_terminal_that_is_closed_lets_trainings_save(cluster: Cluster, tmp_path: Path) -> None:
    """SIGHUP then reaches all that the driver has started, Ray included."""
    checkout = simulated.write(tmp_path / "checkout", epochs=2000, seconds=0.3)
    home = {"HOME": str(tmp_path), "TMPDIR": str(cluster.folder)}
    driver = Driver(checkout, "local", **home)
    driver.wait_for_file(checkout, ".resume/ResNet8v1-seed0-*/epoch*.npz")
    processes = training_processes(cluster.folder)
    for process in psutil.Process(driver.process.pid).children(recursive=True):
        process.send_signal(signal.SIGHUP)
    epoch = max(epochs_printed(checkout, "ResNet8v1-0"))
    while max(epochs_printed(checkout, "ResNet8v1-0")) < epoch + 10:
        assert driver.process.poll() is None
        time.sleep(0.1)
    os.killpg(driver.process.pid, signal.SIGHUP)
    printed = driver.end(129)
    last = "cluster: stopped by SIGHUP, with 1 training left; the next start resumes"
    assert printed.splitlines()[-1] == last
    assert "did not save" not in printed
    assert not psutil.wait_procs(processes, timeout=120)[1]
    (state,) = checkout.glob(".resume/ResNet8v1-seed0-*/epoch*.npz")
    last_epoch = max(epochs_printed(checkout, "ResNet8v1-0"))
    assert state.name.startswith(f"epoch{last_epoch}-")
    assert not (tmp_path / ".ray" / "auth_token").exists()


def test_a_state_that_cannot_be_written(cluster: Cluster, tmp_path: Path) -> None:
    """There is no space for it, or, as only root can mount such a disk, no permission."""
    checkout = simulated.write(tmp_path, epochs=2000, state_bytes=300_000)
    states = checkout / ".resume"
    (states / "locks").mkdir(parents=True)
    if mounted := os.getuid() == 0:
        mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(states)]
        subprocess.run(mount, check=True)
    else:
        states.chmod(0o500)
    try:
        printed = drive(checkout, cluster).end(1)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", states], check=True)
        else:
            states.chmod(0o700)
    reason = "No space left on device" if mounted else "Permission denied"
    last = rf"cluster: \S+: {reason}, with 1 training left; the next start resumes"
    assert re.fullmatch(last, printed.splitlines()[-1]), printed
    assert "Traceback" not in printed
    assert not training_processes(cluster.folder)
