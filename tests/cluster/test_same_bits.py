"""Real trainings on two nodes, of which one is killed, beside a plain `dvc repro`."""

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.loopback import ONE_THREAD, Cluster, Driver, trained
from faults.outcome import results
from resnet.files import read_json
from scripts.checkout import copy_checkout
from tests.support.checkout import SMALL, run

EPOCHS = 60
ENVIRONMENT = {**ONE_THREAD, "SAVE_SECONDS": "0"}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster without nodes that train."""
    started = Cluster()
    try:
        yield started
    finally:
        started.stop()


def test_a_killed_node_changes_no_bit(cluster: Cluster, tmp_path: Path) -> None:
    plain, other = tmp_path / "plain", tmp_path / "cluster"
    changes = {"seeds": [0, 1], "recipes.original.epochs": EPOCHS, "train.holdout.fraction": 0.2}
    copy_checkout(plain, {**SMALL, **changes})
    shutil.copytree(plain, other)
    run(plain, "dvc", "repro", more=ENVIRONMENT)

    nodes = [cluster.add(), cluster.add()]
    driver = Driver(other, cluster.address, HOME=str(cluster.folder), **ENVIRONMENT)
    for name in ("model-0", "model-1"):
        driver.wait_for(rf"^{name} on ")
    for seed in (0, 1):
        driver.wait_for_file(other, f".resume/model-seed{seed}-*/epoch*.npz")
    Cluster.raylet(nodes[0]).kill()
    printed = driver.end()
    assert re.search("is lost: model-[01] resumes after epoch", printed), printed
    assert sorted(trained(printed)) in (
        ["model-0", "model-0", "model-1"],
        ["model-0", "model-1", "model-1"],
    )
    for checkout in (plain, other):
        assert "up to date" in run(checkout, "dvc", "status")
    assert results(other).differences(results(plain)) == []
    starts = []
    for seed in (0, 1):
        a, b = (
            read_json(checkout / "models" / "model" / f"seed{seed}" / "training.json")
            for checkout in (plain, other)
        )
        assert b["checkpoints"] == a["checkpoints"]  # the SHA-256 of the weights
        assert not any(start["changes"] for start in b["starts"])
        starts.append(len(b["starts"]))
    assert sorted(starts) == [1, 2]
    assert not list((other / ".resume").glob("model-*"))


def test_a_state_of_another_kind_of_node_is_used_where_that_is_asked_for(
    cluster: Cluster, tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    copy_checkout(checkout, {**SMALL, "recipes.original.epochs": 60})
    node = cluster.add()
    env = {"HOME": str(cluster.folder), "SAVE_SECONDS": "0"}
    driver = Driver(checkout, cluster.address, **env)
    driver.wait_for("^model-0 on ")
    driver.wait_for_file(checkout, ".resume/model-seed0-*/epoch*.npz")
    cluster.add(prefix=("taskset", "-c", "0"))  # one thread
    Cluster.raylet(node).kill()
    printed = driver.end(1)
    assert re.search(
        r"^model-0 failed: \S+ has \d+ epochs of this training, saved under", printed, re.M
    )
    assert re.search(r"device.name: .* threads → .* 1 thread\b", printed)
    assert printed.splitlines()[-1].startswith(
        "cluster: 1 of 1 not trained: model-0: .resume/model-"
    )
    (states,) = (checkout / ".resume").glob("model-seed0-*")
    assert list(states.glob("epoch*.npz"))

    printed = Driver(checkout, cluster.address, OTHER_STATE="resume", **env).end()
    assert re.search("^model-0: resuming .* under other conditions", printed, re.MULTILINE)
    starts = read_json(checkout / "models" / "model" / "seed0" / "training.json")["starts"]
    assert "device.name" in {change["key"] for change in starts[-1]["changes"]}
    assert not list((checkout / ".resume").glob("model-*"))
    assert "up to date" in run(checkout, "dvc", "status")


def test_a_state_waits_for_its_kind_of_node(cluster: Cluster, tmp_path: Path) -> None:
    """Also where nodes of another kind are ready before."""
    checkout = tmp_path / "checkout"
    copy_checkout(checkout, {**SMALL, "recipes.original.epochs": 60})
    cluster.add(prefix=("taskset", "-c", "0"))  # one thread
    env = {"HOME": str(cluster.folder), "SAVE_SECONDS": "0"}
    driver = Driver(checkout, cluster.address, **env)
    place = driver.wait_for("^model-0 on ").split()[-1]
    driver.wait_for_file(checkout, ".resume/model-seed0-*/epoch*.npz")
    driver.kill(signal.SIGTERM)
    driver.end(143)
    for _ in range(2):
        cluster.add()
    printed = Driver(checkout, cluster.address, **env).end()
    assert re.findall(r"^model-0 on (\S+)$", printed, re.MULTILINE) == [place]
    (start, resumed) = read_json(checkout / "models" / "model" / "seed0" / "training.json")[
        "starts"
    ]
    assert resumed["epoch"] > start["epoch"]
    assert not resumed["changes"]
