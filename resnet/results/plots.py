"""What the plots show: learning curves, learning rates, accuracy against time, confusion.

Each function returns a table of numbers that is drawn with a template in .dvc/plots/.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from resnet.results import cells, labels
from resnet.results.metrics import AllResults, Results
from resnet.results.published import Quoted
from resnet.results.recipes import recognize
from resnet.variant import Network

CURVES = ("variant", "seed", "images", "epoch", "accuracy", "learning_rate")
RATES = ("variants", "epoch", "learning_rate")
# label is the text beside the point, empty but for a result's last point; label_at is the accuracy
# at whose height it is, so that no label is over another
MEASURED = ("accuracy", "low", "high", "seconds_per_epoch", "device", "label", "label_at")
SPEED = ("network", "origin", *MEASURED)
NOT_COMPARABLE = ("variant", "group", *MEASURED)
CONFUSION = ("variant", "actual", "predicted", "images", "percent")
OURS = "this benchmark, recipe {}"
ORIGINAL = "the original, recipe original, GTX 1080 Ti"
PAPER = "the papers, recipe paper, no time published"

CURVES_OF = {  # columns of history.csv
    "accuracy": "training images, augmented",
    "test_accuracy": "test images",
    "val_accuracy": "held-out images",
}
Histories = Mapping[str, Sequence[pd.DataFrame]]  # by variant, a frame per seed, a row per epoch


def curves(name: str, results: Results, histories: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """A variant's accuracy in percent and learning rate by epoch, for each seed.

    On training images and, where there are any, on test images and on held-out ones.
    """
    rows = [
        history.assign(
            variant=label(name, results),
            seed=run.seed,
            images=images,
            accuracy=history[column].round(3),
        )[list(CURVES)]
        for column, images in CURVES_OF.items()
        for run, history in zip(results.runs, histories, strict=bool(histories))
        if column in history
    ]
    return pd.concat(rows) if rows else pd.DataFrame(columns=list(CURVES))


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


def speed(results: AllResults, quoted: Sequence[Quoted]) -> pd.DataFrame:
    """Accuracy and seconds per epoch: of every full run on CIFAR-10, then the published ones.

    The papers published no times. Those of their networks that are not ours are left out.
    """
    rows: list[dict[str, Any]] = [
        {"network": label(name, each), "origin": _origin(each), **measured}
        for name, each in results.items()
        if _group(each) is None
        for measured in _measured(name, each)
    ]
    for row in quoted:
        for origin, accuracy, seconds in (
            (ORIGINAL, row["original_accuracy"], row["original_seconds_per_epoch"]),
            (PAPER, row["paper_accuracy"] if row["paper_form"] == "paper" else "-", "-"),
        ):
            if value := re.match(r"[\d.]+", accuracy):  # without the spread
                rows.append(
                    {
                        "network": row["network"],
                        "origin": origin,
                        "accuracy": value[0],
                        "seconds_per_epoch": seconds if seconds.isdecimal() else None,
                        "label": _short(row["network"]),
                    }
                )
    return _with_heights(pd.DataFrame(rows, columns=list(SPEED)), log_time=True)


def not_comparable(results: AllResults) -> pd.DataFrame:
    """The same for the runs that no published result is comparable with: short or synthetic."""
    rows = [
        {"variant": label(name, each), "group": _group(each), **measured}
        for name, each in results.items()
        if _group(each) is not None
        for measured in _measured(name, each)
    ]
    return _with_heights(pd.DataFrame(rows, columns=list(NOT_COMPARABLE)), log_time=False)


def confusion(results: AllResults, counts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The confusion counts of these variants over all seeds, also in percent of the actual class.

    No percentage where a class has no images.
    """
    frames = []
    for name, frame in counts.items():
        images = frame["images"].astype(int)
        total = images.groupby(frame["actual"]).transform("sum")
        percent = (100 * images / total.where(total > 0)).round(2)
        frames.append(frame.assign(variant=label(name, results[name]), percent=percent))
    return pd.concat(frames)[list(CONFUSION)] if frames else pd.DataFrame(columns=list(CONFUSION))


def label(name: str, results: Results) -> str:
    """A variant's name in a plot; it says so where the images are synthetic."""
    network: Network = results.network
    form = network.name.removeprefix(network.family)
    shown = name + form if name.startswith(network.family) else f"{network.name} ({name})"
    return f"{shown}, synthetic" if results.synthetic else shown


def _with_heights(frame: pd.DataFrame, log_time: bool) -> pd.DataFrame:
    """The same rows with the height at which the label of each is."""
    if frame.empty:
        return frame
    accuracy = frame[["accuracy", "low", "high"]].astype(float)
    bottom = accuracy.min().min()
    span = (accuracy.max().max() - bottom) or 1.0
    time = frame["seconds_per_epoch"].astype(float)
    time = np.log(time) - np.log(time.min()) if log_time else time
    across = (time / (time.max() or 1.0)).fillna(2.0)  # without a time: right of the plot
    points = list(zip(across, (accuracy["accuracy"] - bottom) / span, strict=True))
    heights = labels.heights(points, frame["label"].tolist())
    at = [round(bottom + span * height, 4) for height in heights]
    return frame.assign(label_at=at)


def _short(label: str) -> str:
    return label.replace("ResNet", "")


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


def _measured(name: str, results: Results) -> Iterator[dict[str, Any]]:
    """Accuracy with one standard deviation over the seeds to each side, and each device's time.

    From the fastest device to the slowest, which has the label.
    """
    metrics = results.metrics
    spread = metrics.accuracy_std or 0.0
    times = sorted(cells.seconds_by_device(results).items(), key=lambda item: item[1])
    for device, seconds in times:
        yield {
            "accuracy": round(metrics.accuracy, 3),
            "low": round(metrics.accuracy - spread, 3),
            "high": round(metrics.accuracy + spread, 3),
            "seconds_per_epoch": seconds,
            "device": device,
            "label": _short(label(name, results)) if (device, seconds) == times[-1] else "",
        }
