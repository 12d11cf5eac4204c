"""Copies of the checkout: what they contain, and the parameters they are given."""

from pathlib import Path

import pytest

from resnet import params
from scripts.checkout import commit, copy_checkout
from scripts.demo import SMALL
from scripts.git import git
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


@pytest.mark.parametrize("hook", ["pre-commit", "prepare-commit-msg", "post-commit"])
def test_a_commit_needs_nothing_of_the_users_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    """Neither a name nor a key for signatures nor hooks, of which none runs."""
    folder, hooks, ran = tmp_path / "copy", tmp_path / "hooks", tmp_path / "ran"
    hooks.mkdir()
    (hooks / hook).write_text(f"#!/bin/sh\ntouch '{ran}'\nexit 1\n")
    (hooks / hook).chmod(0o755)
    settings = f"[commit]\n\tgpgsign = true\n[core]\n\thooksPath = {hooks}\n"
    (tmp_path / ".gitconfig").write_text(settings)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.delenv("GIT_CONFIG_GLOBAL", raising=False)
    folder.mkdir()
    git("init", "--quiet", cwd=folder)
    (folder / "file").touch()
    commit(folder, "all")
    assert git("show", "--format=%s", "--name-only", cwd=folder).decode().split() == ["all", "file"]
    assert not ran.exists()
