import itertools

import pytest

from resnet.results import labels


def test_labels_that_have_room_are_at_their_points() -> None:
    assert labels.heights([(0.1, 0.2), (0.1, 0.8), (0.9, 0.2)], ["20v1"] * 3) == [0.2, 0.8, 0.2]
    assert labels.heights([], []) == []


@pytest.mark.parametrize(
    "points",
    [
        [(0.5, 0.5)] * 6,
        [(0.5, 0.5), (0.5, 0.51), (0.5, 0.49), (0.52, 0.5), (0.55, 0.505)],
        [(2.0, 0.1 + 0.005 * index) for index in range(12)],
        [(0.1 * index, 0.5) for index in range(8)],
    ],
)
def test_no_label_is_over_another_or_over_a_point(points: list[tuple[float, float]]) -> None:
    texts = ["ResNet20v1-short"[: 5 + index] for index in range(len(points))]
    found = labels.heights(points, texts)
    start = 1.5 * labels.RADIUS
    boxes = [
        labels.Box(x + start, x + start + labels.WIDTH * len(text), at - 0.017, at + 0.017)
        for (x, _), text, at in zip(points, texts, found, strict=True)
    ]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    for x, y in points:
        assert not any(b.left < x < b.right and b.low < y < b.high for b in boxes)
