"""The driver on a cluster of two nodes on this machine, with simulated trainings."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from cluster import simulated
from cluster.loopback import Cluster, Driver, trained
from scripts.checkout import set_params
from tests.support.checkout import ROOT, commit, run, stages
from tests.support.cluster import drive, epochs_printed, models

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


def test_what_is_listed_while_others_train_is_not_trained_here(
    cluster: Cluster, tmp_path: Path
) -> None:
    checkout = simulated.write(tmp_path, variants=2, epochs=10, seconds=0.3)
    set_params(checkout / "params.yaml", {"variants": ["ResNet8v1"]})
    driver = drive(checkout, cluster)
    driver.wait_for(r"^ResNet8v1-0 on ")
    set_params(checkout / "params.yaml", {"variants": ["ResNet8v1", "ResNet14v1"]})
    printed = driver.end(1)
    assert printed.splitlines()[-1] == (
        "cluster: 1 of 2 not trained: ResNet14v1-0: it was added to params.yaml after the start"
    )
    assert list(models(checkout)) == ["models/ResNet8v1/seed0/last.keras"]
    assert (checkout / "metrics" / "ResNet8v1").exists()


def test_dvc_exp_run_finds_what_ran_with_its_parameters(cluster: Cluster, tmp_path: Path) -> None:
    checkout = simulated.write(tmp_path, variants=2, epochs=1)
    drive(checkout, cluster).end()
    commit(checkout, "first")
    set_params(checkout / "params.yaml", {"ResNet8v1.batch_size": 64})
    assert trained(drive(checkout, cluster).end()) == ["ResNet8v1-0"]
    run(checkout, "dvc", "exp", "save", "--name", "saved")
    run(checkout, "git", "restore", "--staged", "--worktree", ".")
    printed = run(checkout, "dvc", "exp", "run", "-S", "++ResNet8v1.batch_size=64")
    assert "Stage 'train@ResNet8v1-0' is cached" in printed
    assert not [stage for stage in stages(printed) if stage.startswith("train@")]


def test_nodes_with_another_lock_or_no_space_are_not_used(cluster: Cluster, tmp_path: Path) -> None:
    checkout = simulated.write(tmp_path / "checkout", seeds=3)
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
    assert len(models(checkout)) == 3


def test_another_version_of_python_than_that_of_the_cluster(
    cluster: Cluster, tmp_path: Path
) -> None:
    checkout = simulated.write(tmp_path / "checkout")
    (tmp_path / "sitecustomize.py").write_text(
        "import collections, sys\n"
        "kind = collections.namedtuple('kind', 'major minor micro releaselevel serial')\n"
        "sys.version_info = kind(*sys.version_info[:2], 99, 'final', 0)\n"
    )
    refused = drive(checkout, cluster, PYTHONPATH=str(tmp_path)).end(1)
    assert re.fullmatch(
        rf"cluster: CLUSTER={cluster.address}: the cluster has Python (3\.\d+)\.\d+ and Ray (\S+), "
        r"here is Python \1\.99 and Ray \2; they must be the same",
        refused.splitlines()[-1],
    )


def test_a_cluster_with_a_token_refuses_who_has_none(tmp_path: Path) -> None:
    checkout = simulated.write(tmp_path)
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789" * 4}
    protected = Cluster(token)
    try:
        protected.add()
        for env in ({"RAY_AUTH_MODE": "disabled"}, {**token, "RAY_AUTH_TOKEN": "9" * 40}):
            refused = drive(checkout, protected, **env).end(1)
            assert refused.splitlines()[-2:] == [
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
