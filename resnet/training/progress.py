"""How far a training has come: its epochs, the best of them, and its time over all starts."""

import statistics
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from resnet.errors import BenchmarkError
from resnet.training.history import Epoch
from resnet.training.record import Start
from resnet.training.resume import Saved
from resnet.training.step import State

Vector = NDArray[np.float32]
VERSION = 1  # of the state's form on disk


class Progress(NamedTuple):
    """The training after an epoch, with its states on the host.

    It is immutable, so an interruption at any moment leaves it complete.
    """

    history: tuple[Epoch, ...] = ()
    state: State | None = None  # after the last epoch
    best: int | None = None  # the first epoch with the most correct held-out images
    best_state: State | None = None  # its weights and statistics
    starts: tuple[Start, ...] = ()
    seconds: float = 0.0  # of all starts
    compile_seconds: float = 0.0  # of all starts

    @property
    def epochs(self) -> int:
        """How many epochs are done."""
        return len(self.history)

    def after(self, epoch: Epoch, state: State, seconds: float, compile_seconds: float) -> Self:
        """With one more epoch: the state after it, and the seconds of all starts until then."""
        assert epoch.epoch == self.epochs + 1
        new = self._replace(
            history=(*self.history, epoch),
            state=state,
            seconds=seconds,
            compile_seconds=compile_seconds,
        )
        if epoch.val_accuracy is None:
            return new
        best = self.history[self.best - 1].val_accuracy if self.best else None
        if best is None or epoch.val_accuracy > best:
            return new._replace(best=epoch.epoch, best_state=state._replace(optimizer_state=()))
        return new

    @property
    def finite(self) -> bool:
        """Whether all weights and statistics are finite."""
        if self.state is None:
            return True
        return all(bool(np.isfinite(vector).all()) for vector in self.state[:2])

    @property
    def held_out_losses(self) -> tuple[float, ...]:
        """The loss on held-out images after each epoch; empty where none are held out."""
        return tuple(epoch.val_loss for epoch in self.history if epoch.val_loss is not None)

    @property
    def seconds_per_epoch(self) -> float:
        """The median over the epochs but the first of each start, which warms caches.

        Epochs before a change of conditions do not count: they may be another device's. It is
        over all epochs where there are no others.
        """
        since = max((start.epoch for start in self.starts if start.changes), default=1)
        epochs = self.history[since - 1 :] or self.history
        first = {start.epoch for start in self.starts}
        seconds = [epoch.seconds for epoch in epochs if epoch.epoch not in first]
        return statistics.median(seconds or [epoch.seconds for epoch in epochs])

    def to_saved(self) -> Saved:
        """The form in which it is saved."""
        assert self.state is not None
        arrays = {f"state.{name}": vector for name, vector in _named(self.state)}
        if self.best_state is not None:
            arrays |= {f"best.{name}": vector for name, vector in _named(self.best_state)}
        notes: dict[str, Any] = {
            "version": VERSION,
            "history": [epoch._asdict() for epoch in self.history],
            "best": self.best,
            "starts": [start.model_dump() for start in self.starts],
            "seconds": self.seconds,
            "compile_seconds": self.compile_seconds,
        }
        return Saved(self.epochs, arrays, notes)

    @classmethod
    def from_saved(cls, saved: Saved) -> Self:
        """The inverse of `to_saved`; raises BenchmarkError for a newer form."""
        notes = saved.notes
        if notes["version"] > VERSION:
            raise BenchmarkError(
                f"the saved state has form {notes['version']}, this code reads up to {VERSION}: "
                "resume it with the newer code, or remove it from .resume/"
            )
        return cls(
            history=tuple(Epoch(**epoch) for epoch in notes["history"]),
            state=_state(saved, "state"),
            best=notes["best"],
            best_state=None if notes["best"] is None else _state(saved, "best"),
            starts=tuple(Start.model_validate(start) for start in notes["starts"]),
            seconds=notes["seconds"],
            compile_seconds=notes["compile_seconds"],
        )


def _named(state: State) -> list[tuple[str, Vector]]:
    """A state's arrays, each with a name."""
    parts = [(f"optimizer{i}", vector) for i, vector in enumerate(state.optimizer_state)]
    return [("weights", state.weights), ("stats", state.stats), *parts, ("step", state.step)]


def _state(saved: Saved, prefix: str) -> State:
    arrays = {
        name.partition(".")[2]: array
        for name, array in saved.arrays.items()
        if name.startswith(f"{prefix}.")
    }
    count = sum(name.startswith("optimizer") for name in arrays)
    optimizer_state = tuple(arrays[f"optimizer{i}"] for i in range(count))
    return State(arrays["weights"], arrays["stats"], optimizer_state, arrays["step"])
