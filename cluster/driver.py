"""The driver: gives trainings to the workers, keeps what they send, and says what happens.

A training whose worker is lost waits again, and resumes from the last state that was sent.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster import checkout
from cluster.console import Console
from cluster.events import About, Failed, Job, Killed, Line, State, Stopped, Superseded, Trained
from cluster.schedule import Epochs, longest_first
from cluster.signals import Received, received
from cluster.workers import Slot, Workers
from resnet.errors import BenchmarkError, Interrupted
from resnet.params import Params
from resnet.training.messages import duration
from resnet.training.pending import Name

LOSSES = 3  # so often may a training lose its worker: then it may be what ends them
STOP_SECONDS = 60.0  # without an event, while the trainings save their states at the end
AHEAD = 2  # events of a training on its node that the driver has not taken yet
SHOWN = ("resuming ", "warning: ", ".resume/", "models/")  # lines of a training that are events
IGNORED = ": trained in "  # the driver says so itself


class Driver:
    """Trains on a cluster to which this process is connected."""

    def __init__(
        self,
        repo: Any,
        names: Sequence[Name],
        settings: Params,
        environment: tuple[Mapping[str, str], Sequence[str]],
        workers: Workers,
        console: Console,
    ):
        self._repo, self._environment = repo, environment
        self._workers, self._console = workers, console
        self._params = Path("params.yaml").read_text(encoding="utf-8")
        self._waiting = longest_first(names, settings.variants)
        self._names, self._done = names, list[Name]()
        self.failed: dict[Name, str] = {}
        self.received = 0  # bytes of states and results
        self._epochs = Epochs(settings.variants)
        self._losses = Counter[Name]()
        # of the node that saved the last state
        self._kinds = {name: checkout.states_kind(settings, name) for name in names}
        self._avoided = dict[Name, str]()  # the id of the node where a training failed at once

    def run(self) -> None:
        """Train; returns when each training has succeeded or failed.

        Raises Interrupted after a signal, and BenchmarkError where a state or result cannot be
        written here, when the states of the trainings are saved.
        """
        with (
            checkout.log("ray").open("a", encoding="utf-8") as log,
            contextlib.redirect_stdout(log),  # Ray prints pages where a node is lost
            received() as signals,
        ):
            try:
                self._loop(signals)
            except Interrupted as error:
                self._stop()
                raise Interrupted(f"{error}, {self._left()}", error.status) from error
            except (BenchmarkError, OSError) as error:
                self._stop()
                reason = str(error)
                if isinstance(error, OSError):
                    reason = f"{error.filename or 'here'}: {error.strerror or error}"
                raise BenchmarkError(f"{reason}, {self._left()}") from error
            finally:
                self._console.end()
                for slot in list(self._workers.slots):
                    self._workers.remove(slot)
            signals.check()

    def _left(self) -> str:
        left = len(self._names) - len(self._done) - len(self.failed)
        return f"with {left} training{'s' * (left != 1)} left; the next start resumes"

    def _loop(self, signals: Received) -> None:
        while left := len(self._waiting) + len(self._running()):
            signals.check()
            self._assign()
            self._workers.start(left)
            if self._workers.hopeless:
                reason = f"no node can train: {'; '.join(self._workers.refused.values())}"
                self.failed |= dict.fromkeys(self._waiting, reason)
                return
            for slot, event in self._workers.events():
                self._handle(slot, event)
            self._show()

    def _running(self) -> list[Slot]:
        return [slot for slot in self._workers.slots if slot.training]

    def _assign(self) -> None:
        """Give each idle worker a training, the longest first; end those with nothing to do."""
        for slot in list(self._workers.slots):
            if not slot.idle:
                continue
            name = next((name for name in self._waiting if self._fits(name, slot)), None)
            if slot.node.id in self._workers.refused or not self._waiting:
                self._workers.remove(slot)
            elif name:
                self._waiting.remove(name)
                self._start(slot, name)

    def _fits(self, name: Name, slot: Slot) -> bool:
        """Whether a training may run there: a state resumes on its kind of node if there is one."""
        kind = self._kinds[name]
        if kind and kind != slot.kind and self._workers.may_have(kind):
            return False
        return self._avoided.get(name) != slot.node.id or not self._workers.others(slot.node, kind)

    def _start(self, slot: Slot, name: Name) -> None:
        values, removed = self._environment
        text = checkout.params_for(self._params, name)
        job = Job(str(name), text, checkout.states(name), values, removed)
        options = {"num_returns": "streaming", "_generator_backpressure_num_objects": AHEAD}
        slot.events = slot.actor.train.options(**options).remote(job)
        slot.training, slot.since, slot.past_an_epoch = name, time.monotonic(), False
        slot.log = checkout.log(str(name)).open("a", encoding="utf-8")
        self._console.event(f"{name} on {slot.node.name}")

    def _handle(self, slot: Slot, event: Any) -> None:
        """Act on what a worker sent, or on its loss."""
        name = slot.training
        if name is None:
            if isinstance(event, About | Failed):
                self._workers.prepared(slot, event)
            else:
                self._console.event(self._workers.lost(slot))
            return
        match event:
            case Line(text):
                slot.log.write(f"{text}\n")
                slot.log.flush()
                slot.past_an_epoch |= self._epochs.read(name, text)
                if text.startswith(SHOWN) and IGNORED not in text:
                    self._console.event(f"{name}: {text}")
            case State():
                checkout.save_state(name, event)
                self.received += len(event.content)
                self._epochs.save(name, event.name)
                self._kinds[name] = slot.kind
            case Superseded(folder):
                checkout.remove_states(name, folder)
            case Trained():
                self._trained(slot, name, event)
            case Failed(reason, node_is_at_fault):
                self._free(slot)
                if node_is_at_fault:
                    self._waiting.insert(0, name)
                    self._workers.refuse(slot.node, reason)
                elif self._may_be_the_node(slot, name):
                    self._avoided[name] = slot.node.id
                    self._waiting.insert(0, name)
                    self._console.event(f"{name} failed: {reason}; tried once more on another node")
                else:
                    self._fail(name, reason)
            case Killed():
                self._free(slot)
                self._lost(name, f"{name} was killed on {slot.node.name}")
            case Stopped():
                self._free(slot)
            case _:
                self._lost(name, self._workers.lost(slot))

    def _trained(self, slot: Slot, name: Name, event: Trained) -> None:
        try:
            checkout.add_to_cache(self._repo, event.files)
        except BenchmarkError as error:
            self._free(slot)
            self._fail(name, str(error))
            return
        except OSError:  # e.g. no space is left here; the node has nothing more to send
            self._free(slot)
            raise
        for folder in event.folders:
            checkout.remove_states(name, folder)
        self.received += sum(map(len, event.files.values()))
        self._done.append(name)
        self._free(slot)
        took = duration(time.monotonic() - slot.since)
        self._console.event(f"{name} is trained, on {slot.node.name} in {took}")
        self._show(now=True)

    def _free(self, slot: Slot) -> None:
        slot.log.close()
        slot.training = slot.events = slot.log = None

    def _fail(self, name: Name, reason: str) -> None:
        self.failed[name] = reason
        self._console.event(f"{name} failed: {reason}")
        self._show(now=True)

    def _may_be_the_node(self, slot: Slot, name: Name) -> bool:
        """Whether a failure may not be the training's: it never began, and may run elsewhere."""
        first = not slot.past_an_epoch and name not in self._avoided
        return first and self._workers.others(slot.node, self._kinds[name])

    def _lost(self, name: Name, what: str) -> None:
        """A training has ended without its fault: it goes on, but not for ever."""
        self._losses[name] += 1
        self._epochs.lose(name)
        epochs = self._epochs.saved.get(name, 0)
        if self._losses[name] == LOSSES:
            self._fail(name, f"lost {LOSSES} times; last, {what}")
            return
        self._waiting.insert(0, name)
        goes = f"resumes after epoch {epochs}" if epochs else "starts again"
        self._console.event(f"{what}: {name} {goes}")

    def _stop(self) -> None:
        """End all trainings, and keep the states that they save."""
        running = self._running()
        if running:
            plural = "s" * (len(running) > 1)
            self._console.event(f"stopping {len(running)} training{plural}, which save first")
        for slot in running:
            slot.actor.stop.remote()
        end = time.monotonic() + STOP_SECONDS
        while self._running() and time.monotonic() < end:
            for slot, event in self._workers.events():
                with contextlib.suppress(BenchmarkError, OSError):  # it was said, or follows
                    self._handle(slot, event)
                end = time.monotonic() + STOP_SECONDS
        for slot in self._running():
            epochs = self._epochs.saved.get(slot.training, 0) if slot.training else 0
            self._console.event(f"{slot.training} did not save; epoch {epochs} is the last here")

    def _show(self, *, now: bool = False) -> None:
        """Show the progress of all trainings."""
        running = [(slot.training, slot.node.name) for slot in self._running() if slot.training]
        parts = [f"{len(self._done)} of {len(self._names)} trained"]
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        if self._waiting:
            parts.append(f"{len(self._waiting)} waiting")
        names = [name for name, _ in running]
        left = self._epochs.left(names, self._waiting, self._workers.room)
        if left is not None and (names or self._waiting):
            parts.append(f"about {duration(left)} left")
        if running:
            where = [f"{name}{self._epochs.shown(name)} on {node}" for name, node in running]
            parts.append(f"running: {', '.join(where)}")
        self._console.progress("; ".join(parts), now=now)
