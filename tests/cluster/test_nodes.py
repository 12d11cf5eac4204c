"""The driver on a cluster of two nodes on this machine, with simulated trainings."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cluster import simulated
from cluster.loopback import Cluster, Driver, trained, training_processes
from scripts.checkout import set_params
from tests.support.checkout import ROOT, run, stages

SEND = """
import subprocess, sys
import cluster
from cluster.events import State
from cluster.worker import Worker
from ray import cloudpickle
cloudpickle.register_pickle_by_value(cluster)
sent = cloudpickle.dumps((Worker, State))
back = subprocess.run([sys.executable, "-c", sys.argv[1]], input=sent, capture_output=True, cwd="/")
assert not back.returncode, back.stderr
assert isinstance(cloudpickle.loads(back.stdout), State)
"""
ANSWER = """
import importlib.util, sys
from ray import cloudpickle
assert not importlib.util.find_spec("cluster")
worker, state = cloudpickle.loads(sys.stdin.buffer.read())
worker(None)
sys.stdout.buffer.write(cloudpickle.dumps(state("folder", "name", b"content", [])))
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with one node; tests add others and end them."""
    started = Cluster()
    try:
        started.add()
        yield started
    finally:
        started.stop()


def drive(checkout: Path, cluster: Cluster, *arguments: str, **env: str) -> Driver:
    return Driver(checkout, cluster.address, *arguments, HOME=str(cluster.folder), **env)


def epochs_printed(checkout: Path, name: str) -> list[int]:
    """The epochs that a training has printed, in order, in all its starts."""
    log = (checkout / ".dvc" / "tmp" / "cluster" / f"{name}.log").read_text(encoding="utf-8")
    return [int(number) for number in re.findall(r"^epoch (\d+)/", log, re.MULTILINE)]


def models(checkout: Path) -> dict[str, bytes]:
    paths = sorted((checkout / "models").rglob("*.keras"))
    return {str(path.relative_to(checkout)): path.read_bytes() for path in paths}


def test_a_node_needs_no_checkout() -> None:
    """In the other tests the nodes find the driver's checkout, since they are on its machine."""
    subprocess.run([sys.executable, "-c", SEND, ANSWER], cwd=ROOT, check=True)


def test_everything_is_as_after_dvc_repro(cluster: Cluster, tmp_path: Path) -> None:
    plain = simulated.write(tmp_path / "plain", variants=2, seeds=2)
    other = Path(shutil.copytree(plain, tmp_path / "other"))
    run(plain, "dvc", "repro")
    node = cluster.add()
    printed = drive(other, cluster).end()
    cluster.remove(node)
    names = trained(printed)
    assert sorted(names) == ["ResNet14v1-0", "ResNet14v1-1", "ResNet8v1-0", "ResNet8v1-1"]
    assert set(names[:2]) == {"ResNet14v1-0", "ResNet14v1-1"}  # the longest first
    assert len(set(re.findall(r"^\S+-\d on (\S+)$", printed, re.MULTILINE))) == 2  # both nodes
    assert all(epochs_printed(other, name) == [1, 2, 3] for name in names)
    assert models(other) == models(plain)
    assert (other / "dvc.lock").read_text() == (plain / "dvc.lock").read_text()
    assert "up to date" in run(other, "dvc", "status")
    assert not list((other / ".resume").glob("*-seed*"))
    progress = r"^[1-3] of 4 trained; \d waiting; about \d+ s left; running: ResNet\S+ .*on \S+$"
    assert re.search(progress, printed, re.MULTILINE)
    again = drive(other, cluster).end()
    assert "nothing to train" in again
    assert not trained(again)


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
        driver.wait_for_file(other, f".resume/{name.replace('-', '-seed')}-*/epoch[3-9]-*.npz")
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


def test_a_driver_that_ends_is_followed_by_one_that_resumes(
    cluster: Cluster, tmp_path: Path
) -> None:
    checkout = simulated.write(tmp_path / "checkout", epochs=60, seconds=0.3)
    states = ".resume/ResNet8v1-seed0-*/epoch{}-*.npz"
    first = drive(checkout, cluster)
    first.wait_for_file(checkout, states.format("[2-9]"))
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
    assert not psutil.wait_procs(processes, timeout=60)[1]  # its training ends with it
    assert list(checkout.glob(states.format("*")))

    second = drive(checkout, cluster)
    resumed = second.wait_for(r"^ResNet8v1-0: resuming after epoch")
    assert int(resumed.split()[4]) >= 2
    second.wait_for_file(checkout, states.format("1[0-9]"))
    second.kill(signal.SIGINT)
    printed = second.end(130)
    assert printed.splitlines()[-2:] == [
        "stopping 1 training, which save first",
        "cluster: stopped by SIGINT, with 1 training left; the next start resumes",
    ]
    assert "Traceback" not in printed
    assert not training_processes(cluster.folder)

    printed = drive(checkout, cluster).end()
    assert int(re.findall(r"resuming after epoch (\d+)", printed)[0]) >= 10
    assert sorted(set(epochs_printed(checkout, "ResNet8v1-0"))) == list(range(1, 61))


def test_a_training_that_fails_leaves_the_others(cluster: Cluster, tmp_path: Path) -> None:
    checkout = simulated.write(tmp_path, variants=2, diverges=[["ResNet14v1", 1]])
    printed = drive(checkout, cluster).end(1)
    reason = "ResNet14v1-0: loss nan in epoch 2, at a learning rate of 1"
    assert "ResNet14v1-0 failed: loss nan in epoch 2, at a learning rate of 1" in printed
    assert printed.splitlines()[-1] == f"cluster: 1 of 2 not trained: {reason}"
    assert list(models(checkout)) == ["models/ResNet8v1/seed0/last.keras"]
    assert (checkout / "metrics" / "ResNet8v1").exists()
    assert not (checkout / "metrics" / "ResNet14v1").exists()
    assert list((checkout / ".resume").glob("ResNet14v1-seed0-*/epoch1-*.npz"))  # the last good one


def test_dvc_exp_run_finds_what_ran_with_its_parameters(cluster: Cluster, tmp_path: Path) -> None:
    checkout = simulated.write(tmp_path, variants=2, epochs=1)
    drive(checkout, cluster).end()
    run(checkout, "git", "add", ".")
    run(checkout, "git", "commit", "--quiet", "-m", "first")
    set_params(checkout / "params.yaml", {"ResNet8v1.batch_size": 64})
    assert trained(drive(checkout, cluster).end()) == ["ResNet8v1-0"]
    run(checkout, "dvc", "exp", "save", "--name", "saved")
    run(checkout, "git", "restore", "--staged", "--worktree", ".")
    printed = run(checkout, "dvc", "exp", "run", "-S", "++ResNet8v1.batch_size=64")
    assert "Stage 'train@ResNet8v1-0' is cached" in printed
    assert not [stage for stage in stages(printed) if stage.startswith("train@")]


def test_nodes_with_another_lock_or_no_space_are_not_used(cluster: Cluster, tmp_path: Path) -> None:
    checkout = simulated.write(tmp_path / "checkout", seeds=2)
    site = tmp_path / "site" / "keras-2.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: keras\nVersion: 2.0\n")
    full = tmp_path / "full"
    full.mkdir()
    nodes = [cluster.add(PYTHONPATH=str(site.parent))]
    if mounted := os.getuid() == 0:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", full], check=True)
        nodes.append(cluster.add(TMPDIR=str(full)))
    try:
        printed = drive(checkout, cluster).end()
    finally:
        for node in nodes:
            cluster.remove(node)
        if mounted:
            subprocess.run(["umount", "--lazy", full], check=True)
    assert re.search(
        r"^\S+ is not used: keras 2\.0, here 3\.\S+: install requirements/cluster.lock there$",
        printed,
        re.MULTILINE,
    ), printed
    if mounted:
        assert re.search(r"^\S+ is not used: .*No space left on device$", printed, re.MULTILINE)
    assert len(models(checkout)) == 2


def test_a_cluster_with_a_token_refuses_who_has_none(tmp_path: Path) -> None:
    checkout = simulated.write(tmp_path)
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789" * 4}
    protected = Cluster(token)
    try:
        protected.add()
        for env in ({"RAY_AUTH_MODE": "disabled"}, {**token, "RAY_AUTH_TOKEN": "9" * 40}):
            refused = drive(checkout, protected, **env).end(1)
            assert refused.splitlines() == [
                "1 training to run",
                f"cluster: CLUSTER={protected.address}: the cluster refuses this token: set "
                "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as they are on its nodes",
            ]
        assert trained(drive(checkout, protected, **token).end()) == ["ResNet8v1-0"]
    finally:
        protected.stop()


def test_this_machine_alone(cluster: Cluster, tmp_path: Path) -> None:
    checkout = simulated.write(tmp_path / "checkout", seeds=2)
    home = {"HOME": str(tmp_path), "TMPDIR": str(cluster.folder)}
    printed = Driver(checkout, "local", "table", "ResNet8v1", "--seeds", "1", **home).end()
    assert trained(printed) == ["ResNet8v1-1"]
    assert "not evaluated, since seeds are missing: ResNet8v1" in printed
    printed = Driver(checkout, "local", **home).end()
    assert trained(printed) == ["ResNet8v1-0"]
    assert "up to date" in run(checkout, "dvc", "status")
    refused = Driver(checkout, "local", PER_GPU="2", **home)
    (checkout / "params.yaml").write_text(
        (checkout / "params.yaml").read_text().replace("epochs: 3", "epochs: 4")
    )
    assert "no node of the cluster has a GPU" in refused.end(1)
