"""What the plots over all variants show: curves, learning rates, accuracy against time, confusion.

Each function returns a table of numbers that DVC draws with a template in .dvc/plots/.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from resnet.results import cells
from resnet.results.metrics import Results
from resnet.results.recipes import recognize
from resnet.variant import Network

CURVES = ("variant", "images", "epoch", "accuracy", "low", "high")
RATES = ("variants", "epoch", "learning_rate")
SPEED = ("network", "origin", "accuracy", "low", "high", "seconds_per_epoch", "device")
NOT_COMPARABLE = ("variant", "group", "accuracy", "low", "high", "seconds_per_epoch", "device")
CONFUSION = ("variant", "actual", "predicted", "images")
OURS = "this benchmark, recipe {}"
ORIGINAL = "the original, recipe original, GTX 1080 Ti"
PAPER = "the papers, recipe paper, no time published"

CURVES_OF = {  # columns of history.csv
    "accuracy": "training, augmented",
    "val_accuracy": "held out",
    "test_accuracy": "test",
}
AllResults = Mapping[str, Results]  # by variant
Histories = Mapping[str, Sequence[pd.DataFrame]]  # by variant, a frame per seed, a row per epoch


def curves(version: int, results: AllResults, histories: Histories) -> pd.DataFrame:
    """Accuracy in percent after each epoch: mean, lowest and highest over the seeds.

    On training, held-out and test images, for the networks of one version.
    """
    rows: list[pd.DataFrame] = []
    for name, frames in histories.items():
        if results[name].network.version != version or not frames:
            continue
        epochs = pd.concat(frames)
        for column, images in CURVES_OF.items():
            if column in epochs:
                spread = _spread(epochs, column)
                rows.append(spread.assign(variant=label(name, results[name]), images=images))
    return pd.concat(rows)[list(CURVES)] if rows else pd.DataFrame(columns=list(CURVES))


def rates(results: AllResults, histories: Histories) -> pd.DataFrame:
    """The learning rate of each epoch.

    Variants with the same rates share a line. Seeds with different rates, which a plateau gives
    them, have a line each.
    """
    lines: dict[tuple[float, ...], list[str]] = {}
    for name, frames in histories.items():
        seeds: dict[tuple[float, ...], list[str]] = {}
        for run, history in zip(results[name].runs, frames, strict=bool(frames)):
            seeds.setdefault(tuple(history["learning_rate"]), []).append(str(run.seed))
        for line, same in seeds.items():
            which = f", seed {' and '.join(same)}" if len(seeds) > 1 else ""
            lines.setdefault(line, []).append(label(name, results[name]) + which)
    rows = [
        (", ".join(names), epoch, rate)
        for line, names in lines.items()
        for epoch, rate in enumerate(line, start=1)
    ]
    return pd.DataFrame(rows, columns=list(RATES))


def speed(results: AllResults, published: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and seconds per epoch: of every full run on CIFAR-10, then the published ones.

    The papers published no times.
    """
    rows: list[dict[str, Any]] = [
        {"network": label(name, each), "origin": _origin(each), **_measured(each)}
        for name, each in results.items()
        if _group(each) is None
    ]
    for row in published.to_dict("records"):
        for origin, accuracy, seconds in (
            (ORIGINAL, row["original_accuracy"], row["original_seconds_per_epoch"]),
            (PAPER, row["paper_accuracy"], None),
        ):
            if value := re.match(r"[\d.]+", accuracy):  # without the spread
                rows.append(
                    {
                        "network": row["network"],
                        "origin": origin,
                        "accuracy": value[0],
                        "seconds_per_epoch": seconds,
                    }
                )
    return pd.DataFrame(rows, columns=list(SPEED))


def not_comparable(results: AllResults) -> pd.DataFrame:
    """The same for the runs that no published result is comparable with: short or synthetic."""
    rows = [
        {"variant": label(name, each), "group": _group(each), **_measured(each)}
        for name, each in results.items()
        if _group(each) is not None
    ]
    return pd.DataFrame(rows, columns=list(NOT_COMPARABLE))


def confusion(results: AllResults, counts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The confusion counts of these variants, each over all its seeds."""
    frames = [frame.assign(variant=label(name, results[name])) for name, frame in counts.items()]
    return pd.concat(frames)[list(CONFUSION)] if frames else pd.DataFrame(columns=list(CONFUSION))


def label(name: str, results: Results) -> str:
    """A variant's name in a plot; it says so where the images are synthetic."""
    network: Network = results.network
    form = network.name.removeprefix(network.family)
    shown = name + form if name.startswith(network.family) else f"{network.name} ({name})"
    return f"{shown}, synthetic" if results.synthetic else shown


def _spread(epochs: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean, lowest and highest over the seeds, by epoch."""
    grouped = epochs.groupby("epoch")[column]
    frame = pd.DataFrame({"accuracy": grouped.mean(), "low": grouped.min(), "high": grouped.max()})
    return frame.round(3).reset_index()


def _origin(results: Results) -> str:
    recognized = recognize(results.parameters)
    longer = recognized.epochs != recognized.published_epochs
    epochs = f", {recognized.epochs} epochs" if longer else ""
    return OURS.format(cells.recipe(recognized)) + epochs


def _group(results: Results) -> str | None:
    """Why a result is not comparable with the published ones; None where it is."""
    if results.synthetic:
        return "synthetic images, not CIFAR-10"
    recognized = recognize(results.parameters)
    if recognized.short:
        return f"short: {recognized.epochs} of {recognized.published_epochs} epochs"
    return None


def _measured(results: Results) -> dict[str, Any]:
    """Accuracy with one standard deviation over the seeds to each side, and the time."""
    metrics = results.metrics
    spread = metrics.accuracy_std or 0.0
    return {
        "accuracy": round(metrics.accuracy, 3),
        "low": round(metrics.accuracy - spread, 3),
        "high": round(metrics.accuracy + spread, 3),
        "seconds_per_epoch": metrics.seconds_per_epoch,
        "device": cells.device(results),
    }
