"""Where workers are started, without Ray: its nodes and workers are stand-ins."""

import errno
import io
from pathlib import Path

import pytest

from cluster import checkout, connection, worker, workers
from cluster.connection import Node, Slots
from cluster.console import Console
from cluster.driver import Driver
from cluster.events import About, Failed, Inputs, Trained
from cluster.workers import Slot, Workers
from resnet.training.pending import Name


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Workers:
    """On two nodes with a CPU each; the nodes are looked at in each call."""
    nodes = [Node(name, name, gpus=0, cpus=1) for name in ("a", "b")]
    monkeypatch.setattr(connection, "nodes", lambda: nodes)
    monkeypatch.setattr(workers, "NODES_SECONDS", 0)
    monkeypatch.setattr(Workers, "_new", lambda _, node: Slot(node, None, preparing=object()))
    return Workers(Inputs("", {}, 0), Slots(gpu=False, per_gpu=1, cpus=1), {}, Console())


def places(started: Workers) -> list[str]:
    return [slot.node.name for slot in started.slots]


def test_as_many_workers_as_trainings(started: Workers) -> None:
    started.start(1)
    started.start(1)
    assert places(started) == ["a"]
    started.start(3)
    assert places(started) == ["a", "b"]


def test_a_worker_that_ray_cannot_start(started: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []
    monkeypatch.setattr(Console, "event", lambda _, text: printed.append(text))
    started.start(1)
    monkeypatch.setattr(workers, "STUCK_SECONDS", -1)
    started.start(1)
    started.start(1)
    assert places(started) == ["a", "b"]
    assert printed == [f"still waiting for a worker on {name}: is it busy?" for name in "ab"]


def test_a_node_that_left_may_come_back(started: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    """With it gone there is hope, unlike with a node alone that is refused."""
    monkeypatch.setattr(Workers, "remove", lambda self, slot: self.slots.remove(slot))
    started.start(2)
    bad, good = started.slots
    started.prepared(bad, Failed("no GPU", True))
    assert not started.hopeless
    started.prepared(good, About({}, "CPU"))
    (node,) = [each for each in connection.nodes() if each.name == "a"]
    monkeypatch.setattr(connection, "nodes", lambda: [node])
    started.lost(good)
    started.start(2)
    assert (places(started), started.room) == ([], 0)
    assert not started.hopeless
    started.refuse(good.node, "it came back without a GPU")
    assert started.hopeless


def test_a_node_that_leaves_with_many_workers_may_come_back(
    started: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that stays and loses them is refused, but not before it is clear which of both it is."""
    monkeypatch.setattr(Workers, "remove", lambda self, slot: self.slots.remove(slot))
    node = Node("a", "a", gpus=0, cpus=4)
    monkeypatch.setattr(connection, "nodes", lambda: [node])
    started.start(workers.LOSSES)
    for slot in list(started.slots):
        started.prepared(slot, About({}, "CPU"))
        started.lost(slot)
    started.start(1)
    assert (places(started), started.refused) == ([], {})
    monkeypatch.setattr(connection, "nodes", lambda: [])
    monkeypatch.setattr(workers, "LEAVING_SECONDS", -1)
    started.start(1)
    assert not started.refused
    assert not started.hopeless
    monkeypatch.setattr(connection, "nodes", lambda: [node])
    started.start(1)
    assert started.refused == {"a": "a: it has lost 3 workers, perhaps for want of memory"}
    assert started.hopeless


def test_a_state_waits_for_a_gpu_of_its_type_on_a_node_with_two(
    started: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "nodes", lambda: [Node("a", "a", gpus=3, cpus=4)])
    started._wanted = Slots(gpu=True, per_gpu=1, cpus=1)
    for kind in ("RTX 3090", "GTX 1080"):
        assert started.may_have("GTX 1080") or not started.slots
        started.start(1)
        started.prepared(started.slots[-1], About({}, kind))
    assert places(started) == ["a", "a"]
    assert started.may_have("A100")  # it may be the third
    started.start(1)
    assert places(started) == ["a"] * 3
    monkeypatch.setattr(workers, "STUCK_SECONDS", -1)  # another program has that one
    started.start(1)
    assert not started.may_have("A100")


def test_a_training_is_not_kept_for_a_node_that_is_busy(
    started: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    started.start(2)
    slot = started.slots[0]
    started.prepared(slot, About({}, "CPU"))
    assert started.others(slot.node, None)
    monkeypatch.setattr(workers, "STUCK_SECONDS", -1)
    started.start(2)
    assert not started.others(slot.node, None)


def test_a_result_that_cannot_be_written_frees_its_worker(
    started: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the driver would wait for more from a training that has ended."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkout, "add_to_cache", full)
    started.start(1)
    (slot,) = started.slots
    slot.training, slot.log = Name("model", 0), io.StringIO()
    driver = Driver.__new__(Driver)
    driver._repo, driver._workers = None, started
    with pytest.raises(OSError, match="No space left"):
        driver._handle(slot, Trained({}, []))
    assert not driver._running()


def test_what_does_not_fit_one_node_gets_a_worker_on_another(started: Workers) -> None:
    started.start(1)
    (slot,) = started.slots
    assert started.may_have("GPU")  # as long as a node is not known
    started.prepared(slot, About({}, "CPU"))
    started.start(1)  # the driver calls it when it has given no training to the idle worker
    assert places(started) == ["a", "b"]
    started.prepared(started.slots[1], About({}, "CPU"))
    assert started.may_have("CPU")
    assert not started.may_have("GPU")
    assert started.others(slot.node, None)
    assert started.others(slot.node, "CPU")
    assert not started.others(slot.node, "GPU")  # where a state of a GPU could resume
    started.start(1)
    assert places(started) == ["a", "b"]
    slot.training = Name("model", 0)
    started.start(2)
    assert places(started) == ["a", "b"]  # no room for a third


def test_a_training_with_a_state_is_tried_again_on_its_kind_of_node_alone(started: Workers) -> None:
    """Else it would avoid the node where it failed, and be kept from all others for good."""
    name = Name("model", 0)
    started.start(2)
    for slot, kind in zip(started.slots, ("A100", "V100"), strict=True):
        started.prepared(slot, About({}, kind))
    failed, other = started.slots
    driver = Driver.__new__(Driver)  # which would need a checkout and a cluster
    driver._workers, driver._kinds, driver._avoided = started, {name: None}, {}
    assert driver._may_be_the_node(failed, name)
    driver._kinds[name] = "A100"
    assert not driver._may_be_the_node(failed, name)
    driver._avoided[name] = failed.node.id  # by a node of its kind that has left since
    assert driver._fits(name, failed)
    assert not driver._fits(name, other)


def test_only_what_dvc_recorded_is_no_longer_kept(tmp_path: Path) -> None:
    """The driver removes the folders whose results came back; others may be the only copies."""
    oids = {"model-seed0-a": "ab12.dir", "model-seed0-b": "cd34.dir"}
    for folder, oid in oids.items():
        (tmp_path / folder / f"result-{oid}").mkdir(parents=True)
    assert worker._recorded(tmp_path, {"files/md5/ab/12.dir": b""}) == ["model-seed0-a"]


def test_the_kind_of_a_gpu_is_its_name_for_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As both backends name it in a training's identity, whose states then resume on its like."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    smi = tmp_path / "nvidia-smi"
    smi.write_text('#!/bin/sh\n[ "$1" = --id=1 ] && echo "NVIDIA A100-SXM4-80GB"\n')
    smi.chmod(0o755)
    assert worker.gpu_name() == "NVIDIA A100-SXM4-80GB"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    assert worker.gpu_name() == ""
    smi.unlink()
    assert worker.gpu_name() == ""
