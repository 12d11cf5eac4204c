"""Where the labels of the points of a plot are, so that none is over another or over a point."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

# In parts of a plot of 560 by 420 pixels: a character of 11 pixels' height, and a point's radius.
WIDTH, HEIGHT, RADIUS = 7 / 560, 15 / 420, 5 / 420


class Box(NamedTuple):
    left: float
    right: float
    low: float
    high: float

    def overlaps(self, other: "Box") -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.low < other.high and other.low < self.high


def heights(points: Sequence[tuple[float, float]], texts: Sequence[str]) -> list[float]:
    """The height of the middle of each point's label, which begins to the right of the point.

    It is the point's own height or the nearest free one; upper points are placed first. Points are
    (x, y) in parts of the plot's width and height.
    """
    found = [0.0] * len(points)
    taken = [Box(x - RADIUS, x + RADIUS, y - RADIUS, y + RADIUS) for x, y in points]
    for index in sorted(range(len(points)), key=lambda index: -points[index][1]):
        x, y = points[index]
        left, right = x + 1.5 * RADIUS, x + 1.5 * RADIUS + WIDTH * len(texts[index])
        boxes = (Box(left, right, at - HEIGHT / 2, at + HEIGHT / 2) for at in _from(y))
        box = next(box for box in boxes if not any(box.overlaps(other) for other in taken))
        taken.append(box)
        found[index] = (box.low + box.high) / 2
    return found


def _from(height: float) -> Iterator[float]:
    """That height, then those below and above it, at growing distances without an end."""
    yield height
    distance = 0.0
    while True:
        distance += HEIGHT / 4
        yield height - distance
        yield height + distance
