"""In which order trainings start, and how long what is left will take."""

import heapq
import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from resnet.training import cost
from resnet.training.pending import Name
from resnet.variant import Variant

EPOCH = re.compile(r"epoch (\d+)/(\d+) .* ([\d.]+) s")
STATE = re.compile(r"epoch(\d+)-")
RESUMED = re.compile(r"resuming after epoch (\d+) of \d+.*")


def epoch_work(variant: Variant) -> float:
    """What an epoch of a variant takes, in multiply-adds of one image."""
    return float(cost.multiply_adds(variant.network))


def longest_first(names: Iterable[Name], variants: Mapping[str, Variant]) -> list[Name]:
    """The trainings in the order in which they start.

    A long training that starts last runs alone at the end, while the other GPUs are idle: the rule
    of the longest processing time (Graham 1969) is at most a third above the best order.
    """

    def work(name: Name) -> float:
        variant = variants[name.variant]
        return epoch_work(variant) * variant.recipe.epochs

    return sorted(names, key=work, reverse=True)


def makespan(running: Iterable[float], waiting: Iterable[float], slots: int) -> float:
    """The seconds until all is done: each waiting training starts where the first one ends."""
    free = sorted(running, reverse=True)[: max(slots, 1)]
    free += [0.0] * (max(slots, 1) - len(free))  # without a node, as if one came
    heapq.heapify(free)
    for seconds in waiting:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free, default=0.0)


class Epochs:
    """The epochs of the trainings so far, by what they print, and what follows for the others."""

    def __init__(self, variants: Mapping[str, Variant]):
        self._variants = variants
        self._seconds: dict[Name, list[float]] = {}
        self.done: dict[Name, int] = {}
        self.saved: dict[Name, int] = {}

    def save(self, name: Name, state: str) -> None:
        """Take note of a state that was saved, by the name of its file."""
        if match := STATE.match(state):
            self.saved[name] = int(match[1])

    def lose(self, name: Name) -> None:
        """A training has ended before its end: the epochs after its last state are lost."""
        self.done[name] = self.saved.get(name, 0)

    def shown(self, name: Name) -> str:
        """How far a training is, for the line of progress."""
        if not (done := self.done.get(name)):
            return ""
        return f" (epoch {done}/{self._variants[name.variant].recipe.epochs})"

    def read(self, name: Name, line: str) -> bool:
        """Take note of a line that a training printed; returns whether it is that of an epoch."""
        if match := EPOCH.fullmatch(line):
            self.done[name] = int(match[1])
            self._seconds.setdefault(name, []).append(float(match[3]))
        elif resumed := RESUMED.fullmatch(line):
            self.done[name] = self.saved[name] = int(resumed[1])
        return bool(match)

    def left(self, running: Sequence[Name], waiting: Sequence[Name], slots: int) -> float | None:
        """About how many seconds all of them take; None before the first epoch."""
        rates = [
            second / epoch_work(self._variants[name.variant])
            for name, seconds in self._seconds.items()
            for second in seconds
        ]
        if not rates:
            return None
        rate = median(rates)

        def seconds(name: Name, epochs: int) -> float:
            own = self._seconds.get(name)
            return epochs * (
                median(own) if own else rate * epoch_work(self._variants[name.variant])
            )

        def to_train(name: Name) -> int:
            return self._variants[name.variant].recipe.epochs - self.done.get(name, 0)

        return makespan(
            [seconds(name, to_train(name)) for name in running],
            [seconds(name, to_train(name)) for name in waiting],
            slots,
        )
