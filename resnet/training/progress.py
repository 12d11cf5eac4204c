"""How far a training has come: its epochs, the best of them and the time it took, over all of its starts."""

import statistics
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from resnet.training.loop import Epoch, State
from resnet.training.resume import Saved

Vector = NDArray[np.float32]


class Progress(NamedTuple):
    """After an epoch; nothing here changes, so an interruption at any moment leaves it whole. States are on the host."""

    history: tuple[Epoch, ...] = ()
    state: State | None = None  # after the last epoch
    best: int | None = (
        None  # the first epoch with the most held-out images right; None where none are held out
    )
    best_state: State | None = None  # its weights and statistics
    starts: tuple[
        int, ...
    ] = ()  # epochs that a start began with; after an interruption there are more than one
    seconds: float = 0.0  # that led here, of all starts
    compile_seconds: float = 0.0  # of all starts

    def after(self, epoch: Epoch, state: State, seconds: float, compile_seconds: float) -> Self:
        """With one more epoch; `state` as it then was, the seconds of all starts until then."""
        assert epoch.epoch == len(self.history)
        new = self._replace(
            history=(*self.history, epoch),
            state=state,
            seconds=seconds,
            compile_seconds=compile_seconds,
        )
        if epoch.val_accuracy is None:
            return new
        if self.best is None or epoch.val_accuracy > (self.history[self.best].val_accuracy or 0.0):
            return new._replace(best=epoch.epoch, best_state=state._replace(memory=()))
        return new

    @property
    def finite(self) -> bool:
        """Whether all weights and statistics are numbers: those of a loss that rises without bound are not."""
        return self.state is None or all(
            bool(np.isfinite(vector).all()) for vector in (self.state.weights, self.state.stats)
        )

    @property
    def held_out_losses(self) -> tuple[float, ...]:
        return tuple(epoch.val_loss for epoch in self.history if epoch.val_loss is not None)

    @property
    def seconds_per_epoch(self) -> float:
        """The median over the epochs but the first of each start, which warms caches; over all where there are no others."""
        seconds = [epoch.seconds for epoch in self.history if epoch.epoch not in self.starts]
        return statistics.median(seconds or [epoch.seconds for epoch in self.history])

    def saved(self) -> Saved:
        """As a file holds it."""
        assert self.state is not None
        arrays = {f"state.{name}": vector for name, vector in _named(self.state)}
        if self.best_state is not None:
            arrays |= {f"best.{name}": vector for name, vector in _named(self.best_state)}
        notes = {
            "history": [epoch._asdict() for epoch in self.history],
            "best": self.best,
            "starts": self.starts,
        }
        return Saved(
            len(self.history),
            arrays,
            {**notes, "seconds": self.seconds, "compile_seconds": self.compile_seconds},
        )

    @classmethod
    def read(cls, saved: Saved) -> Self:
        """From what `saved` gave."""
        notes = saved.notes
        return cls(
            history=tuple(Epoch(**epoch) for epoch in notes["history"]),
            state=_state(saved, "state"),
            best=notes["best"],
            best_state=None if notes["best"] is None else _state(saved, "best"),
            starts=tuple(notes["starts"]),
            seconds=notes["seconds"],
            compile_seconds=notes["compile_seconds"],
        )


def _named(state: State) -> list[tuple[str, Vector]]:
    """A state's arrays, each with a name; the optimizer's memory has as many as its kind needs."""
    memory = [(f"memory{i}", vector) for i, vector in enumerate(state.memory)]
    return [("weights", state.weights), ("stats", state.stats), *memory, ("step", state.step)]


def _state(saved: Saved, prefix: str) -> State:
    arrays = {
        name.partition(".")[2]: array
        for name, array in saved.arrays.items()
        if name.startswith(f"{prefix}.")
    }
    memory = [
        arrays[f"memory{i}"] for i in range(sum(name.startswith("memory") for name in arrays))
    ]
    return State(arrays["weights"], arrays["stats"], tuple(memory), arrays["step"])
