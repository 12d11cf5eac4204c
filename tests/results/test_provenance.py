"""What the review says of figures that are not those of the code and parameters beside them: under a real dvc, in clones without data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.demo import copy_checkout, environment
from tests.conftest import ROOT
from tests.results.test_review import git, run, write

VARIANTS = ("model", "ResNet32v1")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A commit whose results, made up, `dvc commit` recorded as those of its code and parameters."""
    checkout = tmp_path_factory.mktemp("provenance") / "checkout"
    copy_checkout(checkout, {"variants": list(VARIANTS), "seeds": [0, 1]})
    for seed, name in enumerate(VARIANTS):
        write(checkout, name, seed, [0.90, 0.91])
        for path in (
            f"metrics/plots/history/{name}/seed0.csv",
            f"metrics/plots/confusion/{name}.csv",
            *(f"models/{name}/seed{s}/x" for s in (0, 1)),
        ):
            (checkout / path).parent.mkdir(parents=True, exist_ok=True)
            (checkout / path).write_text("")
    for path in (
        "data/cifar-10-batches-py/x",
        "data/arrays/train/x",
        "data/arrays/test/x",
        "data/arrays/pixel_mean.npy",
        "metrics/plots/all/x",
    ):
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text("")
    (checkout / "metrics" / "README.md").write_text("the tables")
    subprocess.run(
        ["dvc", "commit", "--force", "--quiet"], cwd=checkout, env=environment(checkout), check=True
    )
    git(checkout, "checkout", "--quiet", "-b", "main")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "-m", "main")
    return checkout


@pytest.fixture
def clone(recorded: Path, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "--quiet", str(recorded), str(tmp_path / "clone"))
    return tmp_path / "clone"


def doubtful(checkout: Path, *revisions: str) -> list[str]:
    """The lines of that section, none where there is no such section; `--fail-on doubtful` fails where REV is among them."""
    status, text, said = run(checkout, *revisions, "--fail-on", "doubtful")
    lines = [line for line in text.split("## Accuracy, %")[0].splitlines() if line.startswith("- ")]
    assert ("## Doubtful figures" in text) == bool(lines)
    rev = revisions[1] if len(revisions) > 1 else "workspace"
    assert (status, said) == (int(any(line.startswith(f"- `{rev}`") for line in lines)), "")
    return lines


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_figures_as_they_were_recorded(recorded: Path, clone: Path) -> None:
    assert not (clone / "data").exists()
    for checkout in (recorded, clone):
        assert doubtful(checkout, "main") == doubtful(checkout, "main", "HEAD") == []
    (clone / "README.md").write_text("What no stage reads.")
    (clone / "models" / "model").mkdir(
        parents=True
    )  # as a `dvc checkout` leaves it that finds no cache
    assert doubtful(clone, "main") == []


def test_other_code_and_parameters_are_said_with_the_variants_they_are_about(clone: Path) -> None:
    edit(clone / "params.yaml", "model:\n  version: 1\n  n: 3", "model:\n  version: 1\n  n: 2")
    assert doubtful(clone, "main") == [
        "- `workspace`: model: train ran with another `model` in `params.yaml`",
        "- `workspace`: the tables: report ran with another `model` in `params.yaml`",
    ]
    with (clone / "resnet" / "training" / "loop.py").open("a", encoding="utf-8") as file:
        file.write("# a comment\n")
    edit(clone / "params.yaml", "    l2: 0.0001", "    l2: 0.0002")
    expected = [
        "model, ResNet32v1: train ran with another `resnet/training/loop.py`, `recipes.original` in `params.yaml`",
        "model: train ran with another `model` in `params.yaml`",
        "the tables: report ran with another `model` in `params.yaml`, `recipes` in `params.yaml`",
    ]
    assert sorted(doubtful(clone, "main")) == sorted(f"- `workspace`: {line}" for line in expected)
    git(clone, "commit", "--quiet", "--all", "-m", "change")
    for revisions in (
        ("HEAD~1", "HEAD"),
        ("HEAD", "HEAD~1"),
    ):  # which side it is makes no difference to what is said of it
        assert sorted(doubtful(clone, *revisions)) == sorted(
            f"- `HEAD`: {line}" for line in expected
        )


def test_a_figure_typed_by_hand(clone: Path) -> None:
    path = clone / "metrics" / "runs" / "ResNet32v1.json"
    typed = json.loads(path.read_text())
    path.write_text(json.dumps({**typed, "accuracy": typed["accuracy"] + 1}))
    assert doubtful(clone, "main") == [
        "- `workspace`: ResNet32v1: evaluate wrote another `metrics/runs/ResNet32v1.json`",
        "- `workspace`: the tables: report ran with another `metrics/runs`",
    ]
    git(clone, "checkout", "--quiet", ".")
    edit(clone / "metrics" / "README.md", "tables", "best tables")
    assert doubtful(clone, "main") == [
        "- `workspace`: the tables: report wrote another `metrics/README.md`"
    ]


def test_figures_that_dvc_lock_has_no_record_of(clone: Path) -> None:
    edit(clone / "params.yaml", "- ResNet32v1\n", "- ResNet32v1\n- ResNet44v1\n")
    write(clone, "ResNet44v1", 9, [0.9, 0.9])
    assert (
        doubtful(clone, "main")[0]
        == "- `workspace`: ResNet44v1: `dvc.lock` has no record of evaluate@ResNet44v1, train@ResNet44v1-0, train@ResNet44v1-1"
    )
    (clone / "dvc.lock").unlink()
    assert len(doubtful(clone, "main")) > 1


def test_the_figures_of_this_checkout_are_what_its_stages_wrote(tmp_path: Path) -> None:
    code = "from dvc.repo import Repo; from resnet import provenance; print(*provenance.doubts(Repo('.'), 'workspace'), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert not [line for line in done.stdout.splitlines() if " wrote another " in line]
