"""speed/README.md, rendered from the measured files."""

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from resnet.results import markdown
from speed import agreement
from speed.floor import seconds_per_epoch
from speed.worker import TRAINING_IMAGES

INTRODUCTION = (
    "# Speed",
    "`python -m speed render` renders this page from `speed/results/*.json`; do not edit it. "
    "`make speed` measures, which takes about an hour on two cores. It needs the images "
    "(`dvc repro preprocess`) and a machine that does nothing else.",
    "Three implementations train the same network on the same images by the original's recipe, "
    "with the same batch size and precision. Each has its own process, and they take turns of "
    "one epoch. **ours** is the training of `python -m stages.train`. **original** is Keras' "
    "`fit` with `ImageDataGenerator`, as in the original, with settings that favour it "
    "(`speed/original.py`). **pytorch** is a plain, fast PyTorch loop with data and augmentation"
    " on the device (`speed/pytorch.py`). Epochs are timed without startup and compilation. The "
    "speedup is the other's time divided by ours in the same round: the median, with the minimum"
    " and maximum.",
    "PyTorch is installed only for this, from `requirements/speed.lock`: its CPU build for Python "
    "3.11 on x86-64 Linux, from PyTorch's own package index: "
    "`PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make speed`. On other machines, "
    "install PyTorch into `.venv` as pytorch.org describes. Where it is missing, the table says "
    "so.",
    "The bound of an epoch is the larger of two times: that of its arithmetic at the measured rate "
    "of matrix products, and that of its memory traffic at the measured bandwidth. It is an "
    "estimate for direct convolutions; `speed/floor.py` defines both times.",
)


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """The whole page as Markdown, with a section per device and backend."""
    blocks = list(INTRODUCTION)
    for result in results:
        blocks += [f"## {result['device']}, Keras on {result['backend']}", f"{result['platform']}."]
        for part, render in (
            ("implementations", _implementations),
            ("depths", _depths),
            ("agreement", _agreement),
            ("overheads", _overheads),
        ):
            if part in result:
                blocks += render(result)
    return "\n\n".join(blocks) + "\n"


def _implementations(result: Mapping[str, Any]) -> list[str]:
    rows = []
    for run in result["implementations"]:
        task = {
            "Network": f"ResNet{run['depth']}v{run['version']}",
            "Batch": run["batch_size"],
            "Precision": run["precision"],
        }
        if "missing" in run:
            rows.append(
                {**task, "Implementation": run["implementation"], "Settings": run["missing"]}
            )
            continue
        ours = next(
            other
            for other in result["implementations"]
            if other["implementation"] == "ours" and _task(other) == _task(run)
        )
        pairs = zip(run["seconds"], ours["seconds"], strict=True)
        ratios = [theirs / own for theirs, own in pairs]
        speedup = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        seconds = statistics.median(run["seconds"])
        epoch = seconds * TRAINING_IMAGES / run["images"]
        rows.append(
            {
                **task,
                "Implementation": run["implementation"],
                "Images/s": f"{run['images'] / seconds:,.0f}",
                "s/epoch": _seconds(epoch),
                "Speedup of ours": "" if run is ours else speedup,
                "Time / bound": f"{epoch / max(_floor(run, result)):.1f}",
                "Compile, s": _seconds(run["compile_seconds"]),
                "Settings": f"{run['settings']}, {_versions(run)}",
            }
        )
    rounds = max(len(run.get("seconds", [])) for run in result["implementations"])
    images = max(run["images"] for run in result["implementations"])
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
    return ["### Comparison", _table(rows), below]


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
            row |= {"Time / bound": f"{seconds / max(arithmetic, traffic):.1f}"}
        rows.append(row)
    note = (
        "Medians of three parts of an epoch of some seconds each, scaled to 50,000 images. Compile "
        "is the time of the first call minus that of the second."
    )
    return ["### Depth and batch size", _table(rows), note]


def _agreement(result: Mapping[str, Any]) -> list[str]:
    found = result["agreement"]
    rows, reference = [], found["accuracies"][agreement.IMPLEMENTATIONS[0]]
    for name, values in found["accuracies"].items():
        mean, std = statistics.mean(values), statistics.stdev(values)
        row = {
            "Implementation": name,
            "Accuracy %": f"{mean:.2f} ± {std:.2f} (n={len(values)})",
        }
        if values is not reference:
            change, half = agreement.difference(values, reference)
            row["Difference, percentage points"] = f"{change:+.2f} ± {half:.2f}"
        rows.append(row)
    independent = found["independent_of_steps_per_call"]
    same = [precision for precision, equal in independent.items() if equal]
    other = [precision for precision, equal in independent.items() if not equal]
    notes = [
        f"{found['network']} on the first {found['images']:,} training images, "
        f"{found['epochs']} epochs at batch size {found['batch_size']}, evaluated on "
        f"{found['test_images']:,} test images. Accuracies are the mean ± the standard deviation, "
        "differences ± half their 95 % confidence interval (Welch)."
    ]
    if same:
        precisions = " and ".join(same)
        notes.append(
            f"With one step per call or many, the weights are bit-identical in {precisions}."
        )
    if other:
        precisions = " and ".join(other)
        notes.append(f"They differ in their last bits in {precisions}.")
    return ["### Accuracy", _table(rows), " ".join(notes)]


def _overheads(result: Mapping[str, Any]) -> list[str]:
    rows = [
        {
            "Command": re.sub("^(python|dvc)[^,]*", r"`\g<0>`", what),
            "s": f"{statistics.median(seconds):.2f}",
            "Minimum": f"{min(seconds):.2f}",
            "Maximum": f"{max(seconds):.2f}",
        }
        for what, seconds in result["overheads"].items()
    ]
    return [
        "### Overheads",
        _table(rows),
        "Whole processes, the median of five runs. The network is ResNet20v1.",
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
    columns = list(dict.fromkeys(name for row in rows for name in row))
    texts = ("Network", "Precision", "Implementation", "Settings", "Command")
    cells = [[str(row.get(name, "")) for name in columns] for row in rows]
    align = ["left" if name in texts else "right" for name in columns]
    return markdown.table(columns, cells, align)
