"""speed/README.md, rendered from the measured files."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from speed import agreement
from speed.floor import seconds_per_epoch
from speed.worker import TRAINING_IMAGES

INTRODUCTION = (
    "# Speed",
    "Rendered by `python -m speed render` from `speed/results/*.json`; do not edit by hand. `make speed` measures, about an hour on two "
    "cores; it needs the images (`dvc repro preprocess`) and a machine with nothing else to do.",
    "Three ways train the same network on the same images, batch and precision, each in a process of its own that stands ready, and take "
    "turns of one epoch: **ours** is the step of `python -m stages.train`; **original** is the original's way, Keras' `fit` with "
    "`ImageDataGenerator`, with the settings that favour it (`speed/original.py`); **pytorch** is a good plain PyTorch loop, with data and "
    "augmentation on the device (`speed/pytorch.py`). Start and compilation stand apart. Ratios are of the turns of one round, the "
    "median with the least and the greatest; above 1 ours is the faster.",
    "PyTorch is installed for this alone, from `requirements/speed.lock`: its CPU build for Python 3.11 on x86-64 Linux, which lies on "
    "PyTorch's own package index (name it in `PIP_EXTRA_INDEX_URL`); elsewhere install PyTorch into `.venv` as pytorch.org says. "
    "Where it is missing, the table says so.",
    "The floor is the larger of two times: that of an epoch's arithmetic at the machine's measured rate of matrix products, and that of "
    "its memory traffic at the measured bandwidth, counted as `speed/floor.py` says.",
)


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """The whole page, a section for each device and backend."""
    blocks = list(INTRODUCTION)
    for result in results:
        blocks += [f"## {result['device']}, Keras on {result['backend']}", f"{result['platform']}."]
        for part, render in (
            ("ways", _ways),
            ("depths", _depths),
            ("agreement", _agreement),
            ("overheads", _overheads),
        ):
            if part in result:
                blocks += render(result)
    return "\n\n".join(blocks) + "\n"


def _ways(result: Mapping[str, Any]) -> list[str]:
    rows = []
    for run in result["ways"]:
        task = {
            "Network": f"ResNet{run['depth']}v{run['version']}",
            "Batch": run["batch_size"],
            "Precision": run["precision"],
        }
        if "missing" in run:
            rows.append({**task, "Way": run["way"], "Settings": run["missing"]})
            continue
        ours = next(
            other
            for other in result["ways"]
            if other["way"] == "ours" and _task(other) == _task(run)
        )
        ratios = [theirs / own for theirs, own in zip(run["seconds"], ours["seconds"], strict=True)]
        seconds = statistics.median(run["seconds"])
        rows.append(
            {
                **task,
                "Way": run["way"],
                "Images/s": f"{run['images'] / seconds:,.0f}",
                "s/epoch": _seconds(seconds * TRAINING_IMAGES / run["images"]),
                "Ours is faster by": ""
                if run is ours
                else f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
                "Over the floor": f"{seconds * TRAINING_IMAGES / run['images'] / max(_floor(run, result)):.1f}",
                "Compile, s": _seconds(run["compile_seconds"]),
                "Settings": f"{run['settings']}, {_versions(run)}",
            }
        )
    rounds = max(len(run.get("seconds", [])) for run in result["ways"])
    images = max(run["images"] for run in result["ways"])
    machine = result["machine"]
    rates = ", ".join(
        f"{rate / 1e9:,.0f} GFLOP/s in {name}"
        for name, rate in machine["operations_per_second"].items()
    )
    copies = f"{machine['bytes_per_second'] / 1e9:.1f} GB/s"
    below = (
        f"{rounds} rounds of {images:,} images. "
        f"This machine copies {copies} and multiplies at {rates}."
    )
    return ["### Beside other ways", _table(rows), below]


def _depths(result: Mapping[str, Any]) -> list[str]:
    rows = []
    for run in result["depths"]:
        seconds = statistics.median(run["seconds"]) * TRAINING_IMAGES / run["images"]
        row = {
            "Network": f"ResNet{run['depth']}v{run['version']}",
            "Batch": run["batch_size"],
            "Precision": run["precision"],
            "s/epoch": _seconds(seconds),
            "Compile, s": _seconds(run["compile_seconds"]),
        }
        if "machine" in result:
            arithmetic, traffic = _floor(run, result)
            row |= {"Arithmetic, s": _seconds(arithmetic), "Traffic, s": _seconds(traffic)}
            row |= {"Over the floor": f"{seconds / max(arithmetic, traffic):.1f}"}
        rows.append(row)
    note = "Medians of three parts of an epoch, some seconds each, as seconds for 50,000 images. Compile: the first call less the second."
    return ["### Depth and batch", _table(rows), note]


def _agreement(result: Mapping[str, Any]) -> list[str]:
    found = result["agreement"]
    rows, reference = [], found["accuracies"][agreement.WAYS[0]]
    for way, values in found["accuracies"].items():
        row = {
            "Way": way,
            "Accuracy %": f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f} (n={len(values)})",
        }
        if values is not reference:
            change, half, resolved = agreement.difference(values, reference)
            row |= {
                "Difference, points": f"{change:+.2f} ± {half:.2f}",
                "Would be found": f"{resolved:.2f}",
            }
        rows.append(row)
    same = [
        precision
        for precision, equal in found["one_step_a_call_gives_the_same_bits"].items()
        if equal
    ]
    other = [
        precision
        for precision in found["one_step_a_call_gives_the_same_bits"]
        if precision not in same
    ]
    steps = [
        f"One step a call and many give the same bits in {' and in '.join(same)}." if same else ""
    ]
    steps += [f"They differ in their last bits in {' and in '.join(other)}." if other else ""]
    text = (
        f"{found['network']} on the first {found['images']:,} training images, {found['epochs']} epochs at batch {found['batch_size']}, "
        f"scored on {found['test_images']:,} test images. Intervals are of 95 % (Welch); a difference as large "
        "as the last column would be found four times in five."
    )
    return ["### Same accuracy", _table(rows), " ".join([text, *filter(None, steps)])]


def _overheads(result: Mapping[str, Any]) -> list[str]:
    rows = [
        {
            "What": f"`{what}`" if what.startswith(("python", "dvc")) else what,
            "s": f"{statistics.median(seconds):.2f}",
            "Least": f"{min(seconds):.2f}",
            "Greatest": f"{max(seconds):.2f}",
        }
        for what, seconds in result["overheads"].items()
    ]
    return [
        "### Around the training",
        _table(rows),
        "Whole processes, the median of five; ResNet20v1 where a network is meant.",
    ]


def _floor(run: Mapping[str, Any], result: Mapping[str, Any]) -> tuple[float, float]:
    from resnet import backend

    backend.start()
    from resnet import model

    network = model.build(run["version"], run["depth"])
    return seconds_per_epoch(
        network, run["batch_size"], run["precision"], result["machine"], TRAINING_IMAGES
    )


def _task(run: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(run[key] for key in ("version", "depth", "batch_size", "precision"))


def _versions(run: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {version}"
        for name, version in run["versions"].items()
        if name not in ("python", "numpy")
    )


def _seconds(value: float) -> str:
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    frame = pd.DataFrame(rows).fillna("").astype(str)
    align = [
        "left" if name in ("Network", "Precision", "Way", "Settings", "What") else "right"
        for name in frame
    ]
    return str(frame.to_markdown(index=False, colalign=align, disable_numparse=True))
