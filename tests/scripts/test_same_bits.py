"""Edits to training code that change no bit, and one that does, under a real git and dvc."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from resnet.errors import BenchmarkError
from resnet.files import read_json
from resnet.results.same_bits import Comparison, same_code
from scripts import same_bits
from scripts.checkout import copy_checkout, set_params
from tests.support.checkout import SMALL, commit, run, stages

CHANGES = {**SMALL, "recipes.original.drops": [{"epoch": 5, "factor": 0.5}]}  # after the end
LOOP = Path("resnet/training/loop.py")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A commit with one training."""
    checkout = tmp_path_factory.mktemp("same-bits") / "checkout"
    copy_checkout(checkout, CHANGES)
    run(checkout, "dvc", "repro", "evaluate@model")
    commit(checkout, "trained")
    return checkout


@pytest.fixture
def checkout(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "checkout", symlinks=True))


def test_an_edit_that_changes_no_bit_costs_no_training(checkout: Path) -> None:
    with (checkout / LOOP).open("a") as file:
        file.write("# a comment\n")
    before = yaml.safe_load((checkout / "dvc.lock").read_text())["stages"]["train@model-0"]
    assert str(LOOP) in run(checkout, "dvc", "status", "train@model-0")

    printed = run(checkout, "python", "-m", "scripts.same_bits", "HEAD")
    assert "model: 6 steps" in printed
    assert "equal to the last bit" in printed
    assert "up to date" in run(checkout, "dvc", "status", "train@model-0")
    assert stages(run(checkout, "dvc", "repro", "evaluate@model")) == []
    assert "verified: model: " in run(checkout, "python", "-m", "scripts.verify")
    assert "BASE must be a commit whose code trained it" in run(
        checkout, "python", "-m", "scripts.same_bits", "HEAD", ok=False
    )
    paths = ("dvc.lock", "metrics", "params.yaml", "resnet")
    assert run(checkout, "git", "status", "--porcelain", "--", *paths).split() == [
        *("M", "dvc.lock", "M", "metrics/same-bits.json", "M", str(LOOP)),
    ]
    after = yaml.safe_load((checkout / "dvc.lock").read_text())["stages"]["train@model-0"]
    changed = [
        old["path"] for old, new in zip(before["deps"], after["deps"], strict=True) if old != new
    ]
    assert changed == [str(LOOP)]
    assert {**after, "deps": before["deps"]} == before
    *_, comparison = read_json(checkout / "metrics" / "same-bits.json")["comparisons"]
    assert comparison["largest_difference"] == 0
    assert comparison["before"][str(LOOP)] != comparison["after"][str(LOOP)]


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("optimizer", "epsilon: float = 1e-7", "epsilon: float = 1.0001e-7"),
        ("schedule", "epoch >= drop.epoch", "epoch > drop.epoch"),  # shows only at a drop
        ("run", "state=done.state,", "state=None,"),  # shows only after the resume
    ],
)
def test_an_edit_that_changes_a_bit_is_refused(
    checkout: Path, module: str, old: str, new: str
) -> None:
    path = checkout / "resnet" / "training" / f"{module}.py"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    recorded = [checkout / "dvc.lock", checkout / "metrics" / "same-bits.json"]
    before = [path.read_bytes() for path in recorded]
    printed = run(checkout, "python", "-m", "scripts.same_bits", "HEAD", ok=False)
    assert "same_bits: model, seed 0: not the same: " in printed
    assert "Traceback" not in printed
    assert [path.read_bytes() for path in recorded] == before


def test_other_values_and_tampered_weights_are_refused(checkout: Path) -> None:
    params = checkout / "params.yaml"
    text = params.read_text()
    set_params(params, {"recipes.original.epochs": 2})
    printed = run(checkout, "python", "-m", "scripts.same_bits", "HEAD", ok=False)
    assert "model: epochs changed: 1 → 2" in printed
    params.write_text(text)

    checkpoint = checkout / "models" / "model" / "seed0" / "last.keras"
    content = checkpoint.read_bytes()
    checkpoint.unlink()
    checkpoint.write_bytes(content[:-1])
    printed = run(checkout, "python", "-m", "scripts.same_bits", "HEAD", ok=False)
    assert "models/model/seed0 is not what dvc.lock records" in printed
    printed = run(checkout, "python", "-m", "scripts.same_bits", "no-such-commit", ok=False)
    assert "same_bits: 'no-such-commit' is not a commit of this repository; name" in printed


def comparison(before: str, after: str, variant: str = "model", apart: float = 0.0) -> Comparison:
    return Comparison(
        variant=variant,
        seed=0,
        base="0" * 40,
        before={"a.py": before * 64},
        after={"a.py": after * 64},
        backend="tensorflow",
        device="a CPU",
        xla=False,
        steps=1,
        values=1,
        largest_difference=apart,
    )


def test_what_is_recorded_differs_in_code_alone() -> None:
    """An edit of dvc.yaml could otherwise be recorded with it, e.g. of the command."""
    stage: dict[str, Any] = {
        "cmd": "python -m stages.train model 0",
        "deps": [{"path": "a.py", "md5": "1"}, {"path": "data", "md5": "2"}],
        "params": {"params.yaml": {"model": {"n": 3}}},
        "outs": [{"path": "models", "md5": "3"}],
    }
    code = [{"path": "a.py", "md5": "4"}, {"path": "data", "md5": "2"}]
    new_key = {"params.yaml": {"model": {"n": 3, "new": 1}}}
    same_bits._check_recorded("train", stage, {**stage, "deps": code, "params": new_key})
    for change, what in (
        ({"cmd": "env KERAS_BACKEND=jax python -m stages.train model 0"}, "command"),
        ({"outs": [{"path": "models", "md5": "4"}]}, "output"),
        ({"deps": [{"path": "other", "md5": "2"}]}, "data data"),
        ({"params": {"params.yaml": {"model": {"n": 4}}}}, "value params.yaml.model.n"),
    ):
        with pytest.raises(BenchmarkError, match=f"^train: its {what} in dvc.lock would change"):
            same_bits._check_recorded("train", stage, {**stage, **change})


def test_comparisons_form_chains() -> None:
    a, c = {"a.py": "a" * 64}, {"a.py": "c" * 64}
    chain = [comparison("a", "b"), comparison("b", "a"), comparison("b", "c")]
    assert same_code("model", a, a, [])
    assert same_code("model", a, c, chain)
    assert not same_code("model", c, a, chain)
    assert not same_code("other", a, c, chain)
    assert not same_code("model", a, c, [comparison("a", "c", apart=1e-9)])
    assert not same_code("model", a, c, [comparison("a", "c", variant="other")])
