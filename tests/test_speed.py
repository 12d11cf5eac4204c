"""The speed benchmark: its lower bound, its tables, and its workers on a small network."""

import math
import re
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from resnet.data import arrays, cifar10
from resnet.errors import BenchmarkError
from resnet.files import read_json
from scripts.checkout import copy_checkout
from speed import __main__ as command
from speed import agreement, floor, measure, tables
from speed.worker import Task
from stages.fetch import fetch
from stages.preprocess import preprocess
from tests.support.checkout import ROOT
from tests.support.pages import read

BOUNDS = ("Arithmetic, s", "Traffic, s", "Time / bound")


@pytest.mark.usefixtures("device")
def test_floor_counts_operations_and_bytes() -> None:
    from resnet import model

    network = model.build(1, 8)
    assert floor.operations(model.build(1, 20)) == pytest.approx(6 * 40.81e6, rel=1e-3)
    a, b, c = 32 * 32 * 16, 16 * 16 * 32, 8 * 8 * 64  # values after each stage's convolutions
    # A block that halves the size has a 1x1 convolution in parallel to its first one.
    inputs = 32 * 32 * 3 + 2 * a + (a + a + b) + (b + b + c)
    outputs = 3 * a + 3 * b + 3 * c
    assert floor.activation_bytes(network, "float32") == 3 * 4 * (inputs + outputs)
    assert (
        floor.activation_bytes(network, "bfloat16")
        == floor.activation_bytes(network, "float32") / 2
    )
    assert floor.weight_bytes(network) == 9 * 4 * sum(
        math.prod(variable.shape) for variable in network.trainable_variables
    )
    machine = {"operations_per_second": {"float32": 2.0}, "bytes_per_second": 4.0}
    arithmetic, traffic = floor.seconds_per_epoch(network, 32, "float32", machine, 64)
    assert arithmetic == floor.operations(network) * 64 / 2
    assert (
        traffic
        == (floor.activation_bytes(network, "float32") * 64 + 2 * floor.weight_bytes(network)) / 4
    )


def test_agreement_is_welchs_interval() -> None:
    """With equal variances and sizes there are 2n - 2 degrees of freedom: t(0.975; 4) = 2.7764."""
    change, half = agreement.difference([1.0, 2.0, 3.0], [2.0, 3.0, 4.0])
    error = math.sqrt(1 / 3 + 1 / 3)
    assert (change, half) == pytest.approx((-1.0, 2.7764 * error), rel=1e-4)


def run(name: str, seconds: list[float], **changes: Any) -> dict[str, Any]:
    task = {"version": 1, "depth": 8, "batch_size": 32, "precision": "float32", "images": 1000}
    return {
        "implementation": name,
        **task,
        "seconds": seconds,
        "compile_seconds": 1.25,
        "settings": "some",
        "versions": {"keras": "3"},
        **changes,
    }


@pytest.mark.usefixtures("device")
def test_page() -> None:
    machine = {
        "bytes_per_second": 1e10,
        "operations_per_second": {"float32": 1e11, "bfloat16": 2e11},
    }
    missing = {**run("pytorch", []), "missing": "PyTorch is not installed"}
    result = {
        "device": "some card",
        "backend": "tensorflow",
        "platform": "Linux",
        "machine": machine,
        "implementations": [
            run("ours", [1.0, 2.0, 4.0]),
            run("original", [3.0, 4.0, 8.0]),
            missing,
        ],
        "depths": [run("ours", [0.5, 0.5, 0.6], depth=20)],
        "overheads": {"dvc repro, nothing to do": [1.0, 3.0, 2.0]},
        "agreement": {
            **{
                "network": "ResNet8v1",
                "images": 100,
                "epochs": 5,
                "batch_size": 32,
                "test_images": 50,
            },
            "accuracies": {"original float32": [50.0, 51.0], "ours float32": [50.5, 51.5]},
            "independent_of_steps_per_call": {"float32": True, "bfloat16": False},
        },
    }
    page = tables.page([result])
    rows = [
        [cell.strip() for cell in line.split("|")]
        for line in page.splitlines()
        if line.startswith("| ResNet8v1")
    ]
    cells = {row[4]: row for row in rows}
    assert cells["original"][5:8] == [
        "250",
        "200",
        "2.00 (2.00–3.00)",
    ]  # 1,000 images in 4 s; the ratios of the rounds are 3, 2, 2
    assert cells["ours"][7] == ""
    assert "PyTorch is not installed" in cells["pytorch"][-2]
    assert "+0.50 ±" in page
    assert (
        "the weights are bit-identical in float32. They differ in their last bits in bfloat16."
        in page
    )
    assert "`dvc repro`, nothing to do | 2.00 |      1.00 |      3.00 |" in page


def without_bounds(page: str) -> list[list[str]]:
    """The cells of each line, without the columns for which networks are built."""
    lines, kept = list[list[str]](), list[int]()
    for line in page.splitlines():
        cells = [re.sub("-+", "-", cell.strip()) for cell in line.split("|")]
        if len(cells) > 1 and not kept:  # the header of a table
            kept = [i for i, cell in enumerate(cells) if cell not in BOUNDS]
        lines.append([cells[i] for i in kept] if len(cells) > 1 else cells)
        kept = kept if len(cells) > 1 else []
    return lines


def test_the_page_shows_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_floor", lambda *_: (1.0, 1.0))
    page = tables.page([read_json(path) for path in sorted(command.RESULTS.glob("*.json"))])
    assert without_bounds(page) == without_bounds(read("speed/README.md"))


@pytest.mark.usefixtures("device")
def test_implementations_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each implementation trains; the result says so where PyTorch is not installed."""
    checkout = tmp_path / "checkout"
    copy_checkout(
        checkout,
        {
            "data.source": "synthetic",
            "data.synthetic": {"train_images": 300, "test_images": 10, "seed": 0},
            "variants": ["ResNet20v2-short"],  # what is measured does not depend on these two
            "train.recipe": "paper",
        },
    )
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(measure, "COMPARED", (Task(1, 8, 32, "float32"),))
    from resnet import params

    fetch(params.load().data, cifar10.FOLDER)
    preprocess(cifar10.FOLDER, arrays.FOLDER, "synthetic", True)
    with pytest.raises(BenchmarkError, match="train: 300 images of synthetic: must be CIFAR-10's"):
        measure.check_arrays()
    turns: list[str] = []
    runs = measure.implementations(2, 160, lambda line: turns.append(line.split(": ")[1]))
    found = {run["implementation"]: run for run in runs}
    assert list(found) == ["ours", "original", "pytorch"]
    installed = [name for name in found if "missing" not in found[name]]
    assert turns == [f"{name}, round {turn}" for turn in (1, 2) for name in installed]
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    monkeypatch.setattr(command, "PAGE", tmp_path / "README.md")
    monkeypatch.setattr(measure, "check_arrays", lambda: None)
    monkeypatch.setattr(measure, "implementations", lambda *_: runs)
    device = measure.device()
    monkeypatch.setattr(measure, "device", lambda: device)  # each call starts a process
    monkeypatch.setattr(measure, "machine", floor.machine)  # this one has Keras already
    options = Namespace(parts=["implementations"], rounds=2, images=160)
    command.main(options)
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert f"## {device}" in page
    for name in ("ours", "original"):
        assert len(found[name]["seconds"]) == 2
        assert min(found[name]["seconds"]) > 0
        assert "compile_seconds" in found[name]
        assert found[name]["images"] == 160
    assert (
        found["pytorch"].get("missing") == "PyTorch is not installed"
        or len(found["pytorch"]["seconds"]) == 2
    )
