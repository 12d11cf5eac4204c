"""Listing the original's table, and what its trainings are said to cost."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo
from dvc.utils.serialize import modify_yaml

from cluster import simulated
from resnet import params
from resnet.errors import BenchmarkError
from resnet.results.store import Store
from scripts import table
from scripts.checkout import copy_checkout, set_params
from tests.support.checkout import ROOT, project_params, run, stages, undone


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy_checkout(tmp_path, {})
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    with modify_yaml(str(path)) as values:  # its comments stay
        values.update(undone())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def values(checkout: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((checkout / "params.yaml").read_text(encoding="utf-8")))


def test_the_originals_networks_are_the_default(tmp_path: Path) -> None:
    published = Store(ROOT / "metrics").published()
    known = [row["network"] for row in published if row["original_accuracy"] not in ("-", "NA")]
    settings = project_params(tmp_path, {})
    names = table.originals(settings)
    assert [settings.sections[name].network.name for name in names] == known
    assert names[0] == "model"


def test_where_model_is_another_network_resnet20v1_needs_a_section(checkout: Path) -> None:
    set_params(checkout / "params.yaml", {"model.n": 9})
    with pytest.raises(
        BenchmarkError, match=r"^params.yaml has no section of ResNet20v1, the orig"
    ):
        table.originals(params.load())
    set_params(checkout / "params.yaml", {"ResNet20v1": {"version": 1, "n": 3}})
    names = table.originals(params.load())
    assert names[:2] == ["ResNet20v1", "ResNet32v1"]
    assert "model" not in names


def test_another_recipe_than_the_originals_is_named(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table.originals(params.load())
    assert capsys.readouterr().out == ""
    set_params(checkout / "params.yaml", {"model.epochs": 3})
    table.originals(params.load())
    assert capsys.readouterr().out == (
        "model has recipe original with another epochs: its results will be in another table than "
        "the original's\n"
    )
    set_params(checkout / "params.yaml", {"model.epochs": 200, "train.recipe": "paper"})
    table.originals(params.load())
    assert "ResNet56v2 has recipe paper: " in capsys.readouterr().out


def test_variants_are_added_and_the_comments_stay(checkout: Path) -> None:
    before, text = values(checkout), (checkout / "params.yaml").read_text(encoding="utf-8")
    settings = table.add_to_listed(["ResNet32v1", "model", "ResNet32v1"], [0])
    assert list(settings.variants) == [*before["variants"], "ResNet32v1"]
    assert values(checkout) == {**before, "variants": [*before["variants"], "ResNet32v1"]}
    comments = [line for line in text.splitlines() if line.strip().startswith("#")]
    after = (checkout / "params.yaml").read_text(encoding="utf-8")
    assert [line for line in after.splitlines() if line.strip().startswith("#")] == comments
    table.add_to_listed(["ResNet32v1", "model"], [])
    assert (checkout / "params.yaml").read_text(encoding="utf-8") == after


def test_an_unknown_variant_or_seed_changes_nothing(checkout: Path) -> None:
    before = (checkout / "params.yaml").read_bytes()
    with pytest.raises(BenchmarkError, match=r"params.yaml has no section ResNet33v1; there are"):
        table.add_to_listed(["model", "ResNet33v1"], [])
    with pytest.raises(BenchmarkError, match=r"^7 is not among seeds of params.yaml: 0, 1, 2; add"):
        table.add_to_listed(["ResNet32v1"], [0, 7])
    assert (checkout / "params.yaml").read_bytes() == before


def test_everything_listed_is_to_be_trained_where_nothing_is(checkout: Path) -> None:
    settings = params.load()
    with Repo(str(checkout)) as repo:
        names = table.not_trained(repo)
    assert names == [(name, seed) for name in settings.variants for seed in settings.seeds]


def test_a_part_is_trained_and_evaluated_once_its_seeds_are_complete(tmp_path: Path) -> None:
    """Under a real dvc, with trainings that do nothing."""
    simulated.write(tmp_path, seeds=2, seconds=0)
    set_params(tmp_path / "params.yaml", {"variants": ["model"]})
    command = ("python", "-m", "scripts.table", "ResNet8v1", "--seeds")
    printed = run(tmp_path, *command, "0")
    assert "added ResNet8v1 to variants" in printed
    assert "1 training to run" in printed
    assert stages(printed) == ["preprocess", "train@ResNet8v1-0"]
    assert "not evaluated, since seeds are missing: ResNet8v1" in printed
    printed = run(tmp_path, *command, "1", "0")
    assert stages(printed) == ["train@ResNet8v1-1", "evaluate@ResNet8v1", "report"]
