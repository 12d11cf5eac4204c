"""Copies of the checkout: what they contain, and the parameters they are given."""

from pathlib import Path

from resnet import params
from scripts.checkout import copy_checkout
from scripts.demo import SMALL
from tests.support.checkout import ROOT


def test_a_copy_has_the_code_but_no_results(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy_checkout(copy, SMALL)
    assert (copy / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    assert (copy / ".git").is_dir()
    assert {path.name for path in (copy / "metrics").rglob("*") if path.is_file()} == {
        "published.csv",
        "same-bits.json",
    }
    assert [path.name for path in (copy / "checkpoints").iterdir()] == ["README.md"]
    assert not (copy / "dvc.lock").exists()
    assert not (copy / "data").exists()
    assert params.load(copy / "params.yaml").data.source == "synthetic"
