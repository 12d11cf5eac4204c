"""The workers on the nodes of the cluster: where they are started, refused and lost."""

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import cluster
from cluster import connection
from cluster.connection import Node, Slots
from cluster.console import Console
from cluster.events import About, Failed, Inputs
from cluster.worker import Worker
from resnet.training.pending import Name

POLL_SECONDS = 1.0
NODES_SECONDS = 2.0  # between two looks at which nodes there are
STUCK_SECONDS = 60.0  # of preparing, then another place is tried as well
LOSSES = 3  # so many workers may a node lose before it is refused,
LEAVING_SECONDS = 60.0  # unless it leaves in that time, which takes all its workers with it


@dataclass(eq=False)
class Slot:
    """A worker, and what it is doing."""

    node: Node
    actor: Any
    preparing: Any  # a reference to what its preparation returns; None afterwards
    kind: str = ""  # of the node, see events.About
    training: Name | None = None
    events: Any = None  # Ray's generator of the training's events
    log: Any = None  # the file for what the training prints
    past_an_epoch: bool = False  # in this start of the training
    since: float = field(default_factory=time.monotonic)

    @property
    def idle(self) -> bool:
        return self.preparing is None and self.training is None


class Workers:
    """One worker per training that can run at a time, as long as there are so many trainings."""

    def __init__(
        self,
        inputs: Inputs,
        wanted: Slots,
        versions: Mapping[str, str | None],
        console: Console,
    ):
        self._inputs, self._wanted, self._versions = inputs, wanted, versions
        self._console = console
        self.slots: list[Slot] = []
        self.refused: dict[str, str] = {}  # nodes that are not used, and why
        self._nodes: dict[str, Node] = {}
        self._kinds = defaultdict[str, set[str]](set)  # by node; it may have several types of GPUs
        self._prepared = Counter[str]()  # how many workers have been, by node
        self._losses = defaultdict[str, list[float]](list)  # when workers were lost, by node
        self._looked, self._said_none = float("-inf"), False
        self._stuck: list[Slot] = []

    @property
    def room(self) -> int:
        """How many trainings can run at a time."""
        return sum(node.slots(self._wanted) for node in self._nodes.values())

    @property
    def hopeless(self) -> bool:
        """Whether all nodes that there were have been refused: one that only left may come back."""
        left = set(self._kinds) - set(self.refused)
        return bool(self.refused) and not self.room and not self.slots and not left

    def may_have(self, kind: str) -> bool:
        """Whether a node that is used is of that kind, or may be."""
        return any(self._may_be(node, kind) for node in self._nodes)

    def others(self, node: Node, kind: str | None) -> bool:
        """Whether more nodes are used than that one, which are of that kind, if any, or may be."""
        others = [other for other in self._nodes if other != node.id and not self._busy(other)]
        return any(not kind or self._may_be(other, kind) for other in others)

    def _may_be(self, node: str, kind: str) -> bool:
        return kind in self._kinds.get(node, ()) or not self._known(node)

    def _known(self, node: str) -> bool:
        """Whether all kinds are known that the workers of a node can have."""
        if not self._wanted.gpu:
            return bool(self._prepared[node])
        stuck = sum(slot.node.id == node for slot in self._stuck)
        return self._prepared[node] + stuck >= self._nodes[node].slots(self._wanted)

    def _busy(self, node: str) -> bool:
        """Whether Ray cannot start any worker there."""
        slots = [slot for slot in self.slots if slot.node.id == node]
        return bool(slots) and all(slot in self._stuck for slot in slots)

    def start(self, trainings: int) -> None:
        """Start workers where there is room, until there are as many as trainings to be done.

        An idle worker is not counted: what waits does not fit it, nor another one on its node
        once all kinds of GPUs there are known.
        """
        if time.monotonic() - self._looked < NODES_SECONDS:
            return
        before, self._looked = self._nodes, time.monotonic()
        found = [node for node in connection.nodes() if node.slots(self._wanted)]
        self._nodes = {node.id: node for node in found if node.id not in self.refused}
        for node in self._nodes.values():
            if before and node.id not in before:
                self._console.event(f"{node.name} joined")
        for node in before.values():
            if node.id not in self._nodes:
                self._console.event(f"{node.name} left")
        self._find_stuck()
        self._refuse_what_loses()
        used = Counter(slot.node.id for slot in self.slots)
        idle = {slot.node.id for slot in self.slots if slot.idle}
        counted = sum(not slot.idle and slot not in self._stuck for slot in self.slots)
        free = [
            (place, node)
            for node in self._nodes.values()
            if not (node.id in idle and self._known(node.id))
            and len(self._losses[node.id]) < LOSSES
            for place in range(used[node.id], node.slots(self._wanted))
        ]
        free.sort(key=lambda pair: pair[0])  # all nodes in turn
        for _, node in free[: max(0, trainings - counted)]:
            self.slots.append(self._new(node))
        if not self.slots and not self.hopeless and not self._said_none:
            what = "GPU" if self._wanted.gpu else "CPU"
            self._console.event(f"no node has a {what}; waiting for one to join the cluster")
            self._said_none = True

    def _find_stuck(self) -> None:
        """Find the workers that Ray cannot start, e.g. since another program has their GPU."""
        end = time.monotonic() - STUCK_SECONDS
        before = self._stuck
        self._stuck = [s for s in self.slots if s.preparing is not None and s.since < end]
        for slot in self._stuck:
            if slot not in before:
                self._console.event(f"still waiting for a worker on {slot.node.name}: is it busy?")

    def _refuse_what_loses(self) -> None:
        """Refuse the nodes that lose one worker after the other and have not left."""
        end = time.monotonic() - LEAVING_SECONDS
        for node in list(self._nodes.values()):
            lost = self._losses[node.id]
            if len(lost) >= LOSSES and lost[-1] < end:
                self.refuse(node, f"it has lost {len(lost)} workers, perhaps for want of memory")

    def _new(self, node: Node) -> Slot:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        wanted = self._wanted
        ray.cloudpickle.register_pickle_by_value(cluster)  # the nodes have no checkout
        kind = ray.remote(Worker).options(
            num_gpus=1 / wanted.per_gpu if wanted.gpu else 0,
            num_cpus=0 if wanted.gpu else min(wanted.cpus, node.cpus),
            max_concurrency=2,  # a training, and the request to stop it
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
        )
        actor = kind.remote(self._inputs)
        return Slot(node, actor, actor.prepare.remote(list(self._versions), wanted.gpu))

    def prepared(self, slot: Slot, about: About | Failed) -> None:
        """Use a worker that is ready, or refuse its node."""
        slot.preparing = None
        if isinstance(about, Failed):
            self.refuse(slot.node, about.reason)
            return
        slot.kind = about.kind
        self._kinds[slot.node.id].add(about.kind)
        self._prepared[slot.node.id] += 1
        different = [
            f"{name} {theirs or 'not installed'}, here {ours or 'not installed'}"
            for name, ours in self._versions.items()
            if (theirs := about.versions[name]) != ours
        ]
        if different:
            more = f" and {len(different) - 1} more" if len(different) > 1 else ""
            same = "the same JAX" if different[0].startswith("jax") else "requirements/cluster.lock"
            self.refuse(slot.node, f"{different[0]}{more}: install {same} there")

    def refuse(self, node: Node, reason: str) -> None:
        """Stop using a node; a training that is running there may finish."""
        if node.id not in self.refused:
            self.refused[node.id] = f"{node.name}: {reason}"
            self._console.event(f"{node.name} is not used: {reason}")
        self._nodes.pop(node.id, None)
        for other in [each for each in self.slots if each.node.id == node.id]:
            if other.training is None:
                self.remove(other)

    def lost(self, slot: Slot) -> str:
        """A worker has ended, alone or with its node; returns that in words."""
        self._looked = float("-inf")
        self.remove(slot)
        self._losses[slot.node.id].append(time.monotonic())
        return f"the worker on {slot.node.name} is lost"

    def remove(self, slot: Slot) -> None:
        """End a worker; an idle one leaves its node clean."""
        import ray

        if slot not in self.slots:
            return
        self.slots.remove(slot)
        if slot.log:
            slot.log.close()
        with contextlib.suppress(ray.exceptions.RayError):  # it is lost
            if slot.preparing is None and slot.training is None:
                ray.get(slot.actor.close.remote(), timeout=10)
        ray.kill(slot.actor)

    def events(self) -> Iterator[tuple[Slot, Any]]:
        """What has happened since the last call; waits for a moment if nothing has.

        An exception of Ray's stands for a worker that was lost.
        """
        import ray

        busy = [slot for slot in self.slots if slot.preparing is not None or slot.events]
        by_ref = {slot.events or slot.preparing: slot for slot in busy}
        if not by_ref:
            time.sleep(POLL_SECONDS)
            return
        ready, _ = ray.wait(list(by_ref), num_returns=len(by_ref), timeout=0)
        if not ready:
            ready, _ = ray.wait(list(by_ref), timeout=POLL_SECONDS)
        for ref in ready:
            slot = by_ref[ref]
            event: Any
            try:
                event = ray.get(next(ref) if slot.events else ref)
            except StopIteration:
                continue
            except ray.exceptions.RayTaskError as error:  # a fault of ours, or of the node
                event = Failed(str(error).strip().splitlines()[-1][:300], True)
            except ray.exceptions.RayError as error:
                event = error
            yield slot, event
