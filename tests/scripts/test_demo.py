"""The demo: its network learns the synthetic classes, what it prints, and the folder it keeps."""

from pathlib import Path

import numpy as np

from resnet import params
from resnet.data import arrays, synthetic
from resnet.device import Device
from scripts import demo
from scripts.checkout import copy_checkout
from scripts.demo import SMALL
from stages.preprocess import preprocess
from tests.support import checkout
from tests.support.checkout import ROOT, run
from tests.support.pages import commands


def test_the_demos_network_learns_the_synthetic_classes(device: Device, tmp_path: Path) -> None:
    """On test images, far above the 10 % of a guess."""
    from resnet import model
    from resnet.training import inputs, loop

    copy_checkout(tmp_path / "copy", SMALL)
    settings = params.load(tmp_path / "copy" / "params.yaml")
    size = settings.data.synthetic
    synthetic.write(tmp_path / "source", size.train_images, size.test_images, size.seed)
    preprocess(tmp_path / "source", tmp_path / "arrays", "synthetic", True)
    train, test = (arrays.open_split(tmp_path / "arrays" / name) for name in ("train", "test"))
    variant = settings.variant("model")
    depth = variant.network.depth
    network = model.build(1, depth)
    training = loop.Training(network, depth, variant.recipe, variant.augment, 0, device)
    for _ in training.epochs(inputs.whole(train)):
        pass
    correct = network.predict(test.images, verbose=0).argmax(axis=1) == test.labels
    assert np.mean(correct) > 0.5


SMALLER = f"""\
import argparse, pathlib, sys
from scripts import demo
demo.SMALL = {checkout.SMALL}
demo.main(argparse.Namespace(keep=pathlib.Path(sys.argv[1])))
"""


def status() -> str:
    """What a run of the pipeline could have changed in this checkout."""
    paths = ("params.yaml", "dvc.lock", "metrics", "models", "data", ".resume", "demo")
    return run(ROOT, "git", "status", "--porcelain", "--ignored", "--", *paths)


def test_it_ends_with_what_to_type_next_and_keeps_a_checkout(tmp_path: Path) -> None:
    before, kept = status(), tmp_path / "a demo"
    printed = run(ROOT, "python", "-c", SMALLER, str(kept))
    assert status() == before
    assert not [line for line in printed.splitlines() if demo.HINTS.match(line)]
    report = printed.index("Running stage 'report':")
    assert printed.index("Running stage 'fetch':") < printed.index("epoch 1/1") < report
    end = printed[printed.index("\nThe demo took ") :]
    assert f"'{kept}' is a checkout of its own" in end
    activate, enter, *_ = end.split("\n  ")[1:]
    script = f"cd '{ROOT}' && {activate} && {enter} && dvc params diff && git status --porcelain"
    assert not run(tmp_path, "bash", "-c", script)
    assert "## Accuracy" in run(kept, "python", "-m", "scripts.review", "HEAD")
    # what dvc prints where the demo does not hide it
    printed = run(kept, "dvc", "repro", "--force", "--single-item", "report")
    hints = [line for line in printed.splitlines() if demo.HINTS.match(line)]
    assert [line.split()[0] for line in hints] == ["written", "Use"]
    (kept / "dvc.lock").unlink()
    printed = run(kept, "dvc", "repro", "--single-item", "report")
    hints = [line.split()[0] for line in printed.splitlines() if demo.HINTS.match(line)]
    assert hints == ["written", "To", "git", "To", "dvc", "Use"]


def test_a_folder_to_keep_must_be_new(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    before = status()
    for folder, reason in (
        (tmp_path, "not empty; name a new folder"),
        (tmp_path / "file", "not a folder; name a new one"),
        (ROOT / "demo", "inside this checkout; name a folder outside of it"),
    ):
        printed = run(ROOT, "python", "-m", "scripts.demo", "--keep", str(folder), ok=False)
        assert printed == f"demo: {folder}: {reason}\n"
    assert status() == before
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_to_type_next_is_in_the_docs() -> None:
    shown = [line.split("  #")[0].strip() for line in demo.NEXT.splitlines() if "  make " in line]
    assert shown[1] == "make demo KEEP=../demo"
    assert {shown[0], shown[2]} <= set(commands("README.md"))


def test_hints_are_left_out_with_the_empty_lines_before_them() -> None:
    lines = ["a\n", "\n", "b\n", "\n", "Use `dvc push` to send\n", "\n", "\n", "c\n", "\n"]
    assert list(demo.without_hints(lines)) == ["a\n", "\n", "b\n", "\n", "\n", "c\n"]
