"""What the pictures over all variants show, as tables of numbers that DVC plots: curves, rates, accuracy against time."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from resnet.params import Network
from resnet.results.metrics import Metrics

CURVES = ("variant", "images", "epoch", "accuracy", "low", "high")
RATES = ("variants", "epoch", "learning_rate")
SPEED = ("network", "origin", "accuracy", "low", "high", "seconds_per_epoch", "device")
APART = ("variant", "group", "accuracy", "low", "high", "seconds_per_epoch", "device")
CONFUSION = ("variant", "actual", "predicted", "images")
OURS = "this benchmark, recipe {}"
ORIGINAL = "the original, recipe original, GTX 1080 Ti"
PAPER = "the papers, recipe paper, no time published"

Histories = Mapping[
    str, Sequence[pd.DataFrame]
]  # variant to a frame a run of its metrics, a row an epoch, as train writes it


def curves(
    version: int,
    networks: Mapping[str, Network],
    metrics: Mapping[str, Metrics],
    histories: Histories,
) -> pd.DataFrame:
    """Accuracy in percent after each epoch: the mean over the seeds and their least and greatest, on training and held-out images."""
    rows: list[pd.DataFrame] = []
    for name, found in histories.items():
        if networks[name].version != version or name not in metrics or not found:
            continue
        every = pd.concat(found)
        for column, images in (("accuracy", "training, augmented"), ("val_accuracy", "held out")):
            if column in every:
                rows.append(
                    _spread(every, column).assign(
                        variant=label(name, networks[name], metrics[name]), images=images
                    )
                )
    return pd.concat(rows)[list(CURVES)] if rows else pd.DataFrame(columns=CURVES)


def _spread(every: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean, least and greatest over the seeds, by epoch, in percent."""
    grouped = every.groupby("epoch")[column]
    frame = pd.DataFrame({"accuracy": grouped.mean(), "low": grouped.min(), "high": grouped.max()})
    return (100 * frame).round(3).reset_index()


def rates(
    networks: Mapping[str, Network], metrics: Mapping[str, Metrics], histories: Histories
) -> pd.DataFrame:
    """The learning rate of each epoch; variants whose rates are the same share a line, and seeds whose rates differ have one each."""
    lines: dict[tuple[float, ...], list[str]] = {}
    for name, found in histories.items():
        if name not in metrics or not found:
            continue
        own: dict[tuple[float, ...], list[str]] = {}
        for run, history in zip(metrics[name].runs, found, strict=True):
            own.setdefault(tuple(history["learning_rate"]), []).append(str(run.seed))
        for line, seeds in own.items():
            which = f", seed {' and '.join(seeds)}" if len(own) > 1 else ""  # as a plateau has it
            lines.setdefault(line, []).append(label(name, networks[name], metrics[name]) + which)
    rows = [
        (", ".join(names), epoch, rate)
        for line, names in lines.items()
        for epoch, rate in enumerate(line)
    ]
    return pd.DataFrame(rows, columns=RATES)


def speed(
    networks: Mapping[str, Network], metrics: Mapping[str, Metrics], published: pd.DataFrame
) -> pd.DataFrame:
    """Accuracy and seconds per epoch of every full run on CIFAR-10, then of the published figures; a paper gives no time."""
    rows: list[dict[str, Any]] = [
        {"network": label(name, networks[name], run), "origin": _origin(run), **_measured(run)}
        for name, run in metrics.items()
        if _group(run) is None
    ]
    for row in published.to_dict("records"):
        for origin, accuracy, seconds in (
            (ORIGINAL, row["original_accuracy"], row["original_seconds_per_epoch"]),
            (PAPER, row["paper_accuracy"], None),
        ):
            if figure := re.match(r"[\d.]+", accuracy):
                rows.append(
                    {
                        "network": row["network"],
                        "origin": origin,
                        "accuracy": figure[0],
                        "seconds_per_epoch": seconds,
                    }
                )
    return pd.DataFrame(rows, columns=SPEED)


def apart(networks: Mapping[str, Network], metrics: Mapping[str, Metrics]) -> pd.DataFrame:
    """The same of the runs that compare with no published figure: short ones, and those on synthetic images."""
    rows = [
        {"variant": label(name, networks[name], run), "group": _group(run), **_measured(run)}
        for name, run in metrics.items()
        if _group(run) is not None
    ]
    return pd.DataFrame(rows, columns=APART)


def confusion(
    networks: Mapping[str, Network],
    metrics: Mapping[str, Metrics],
    counts: Mapping[str, pd.DataFrame],
) -> pd.DataFrame:
    """The confusion counts of these variants, summed up over their seeds."""
    frames = [
        frame.assign(variant=label(name, networks[name], metrics[name]))
        for name, frame in counts.items()
    ]
    return pd.concat(frames)[list(CONFUSION)] if frames else pd.DataFrame(columns=CONFUSION)


def _origin(run: Metrics) -> str:
    return OURS.format(run.recipe) + ("" if run.full else f", {run.epochs} epochs")


def label(name: str, network: Network, run: Metrics) -> str:
    """A variant's name in a picture, unmistakable where its images are made."""
    width = network.name.removeprefix(network.family)
    shown = name + width if name.startswith(network.family) else f"{network.name} ({name})"
    return f"{shown}, synthetic" if run.data == "synthetic" else shown


def _group(run: Metrics) -> str | None:
    if run.data == "synthetic":
        return "synthetic images, not CIFAR-10"
    return f"short: {run.epochs} of {run.recipe_epochs} epochs" if run.short else None


def _measured(run: Metrics) -> dict[str, Any]:
    """Accuracy with one standard deviation over the seeds to each side, and the time."""
    spread = run.accuracy_std or 0.0
    bounds = {"low": round(run.accuracy - spread, 3), "high": round(run.accuracy + spread, 3)}
    return {
        "accuracy": round(run.accuracy, 3),
        **bounds,
        "seconds_per_epoch": run.seconds_per_epoch,
        "device": run.device,
    }
