"""Two branches that each add a variant, merged without training, under a real git and dvc.

The merge reads no weights, so nothing is trained before it either.
"""

import shutil
from pathlib import Path

import pytest
import yaml

from resnet import params
from resnet.training.identity import training_parameters
from scripts.checkout import copy_checkout, set_params
from tests.support.checkout import ROOT, SMALL, commit, run, stages
from tests.support.results import make_run, results_of, write_results

CHANGES = {
    **SMALL,
    "ResNet8v1-sgd": {"version": 1, "n": 1, "optimizer": "sgd"},
    "ResNet11v2": {"version": 2, "n": 1},
}
MERGE = ("python", "-m", "scripts.merge")


@pytest.fixture(scope="module")
def branches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The branches main and other, which each added another variant after a common commit."""
    checkout = tmp_path_factory.mktemp("merge") / "checkout"
    copy_checkout(checkout, CHANGES)
    run(checkout, "git", "checkout", "--quiet", "-b", "main")
    for path in ("cifar-10-batches-py/x", "arrays/train/x", "arrays/test/x", "arrays/none"):
        write(checkout / "data" / path, path)
    add(checkout, "model")
    run(checkout, "git", "branch", "other")
    add(checkout, "model", "ResNet8v1-sgd")
    run(checkout, "git", "checkout", "--quiet", "other")
    run(checkout, "dvc", "checkout", "--quiet")
    add(checkout, "model", "ResNet11v2")
    run(checkout, "git", "checkout", "--quiet", "main")
    run(checkout, "dvc", "checkout", "--quiet")
    return checkout


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def add(checkout: Path, *variants: str) -> None:
    """List these variants, and record results of the last one as if it were trained here."""
    path = checkout / "params.yaml"
    set_params(path, {"variants": list(variants)})
    new = variants[-1]
    parameters = training_parameters(params.load(path), new)
    write_results(checkout / "metrics", results_of([make_run(new, parameters=parameters)]))
    write(checkout / "models" / new / "seed0" / "x", new)
    run(checkout, "python", "-m", "stages.report")
    run(checkout, "dvc", "commit", "--force", "--quiet")
    run(checkout, "python", "-m", "scripts.pages")
    commit(checkout, "trained")


@pytest.fixture
def checkout(branches: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(branches, tmp_path / "checkout", symlinks=True))


def test_both_variants_are_kept_and_nothing_is_trained(checkout: Path) -> None:
    assert "CONFLICT" in run(checkout, "git", "merge", "other", ok=False)
    printed = run(checkout, *MERGE)
    assert stages(printed) == ["report"]
    values = yaml.safe_load((checkout / "params.yaml").read_text())
    assert values["variants"] == ["model", "ResNet8v1-sgd", "ResNet11v2"]
    page = (checkout / "metrics" / "README.md").read_text(encoding="utf-8")
    assert "| ResNet8v1-sgd" in page
    assert "| ResNet11v2" in page
    for page, model in (("README.md", "ResNet8v1"), ("checkpoints/README.md", "model")):
        table = (checkout / page).read_text(encoding="utf-8").split("results -->")[1]
        rows = [line.split()[1] for line in table.splitlines() if line.startswith("| ")][1:]
        names = [row.rstrip(",") for row in rows]  # "ResNet8v1-sgd, synthetic"
        assert names == [model, "ResNet8v1-sgd", "ResNet11v2"]
    artifacts = yaml.safe_load((checkout / "dvc.yaml").read_text())["artifacts"]
    assert list(artifacts) == values["variants"]
    assert not run(checkout, "git", "diff", "--name-only")
    run(checkout, "git", "commit", "--quiet", "-m", "merged")
    run(checkout, "dvc", "checkout", "--quiet")
    assert stages(run(checkout, "dvc", "repro")) == []


def test_a_variant_that_both_changed_is_left_to_you(checkout: Path) -> None:
    for branch, rate in (("main", 0.5), ("other", 0.25)):
        run(checkout, "git", "checkout", "--quiet", branch)
        set_params(checkout / "params.yaml", {"model.learning_rate": rate})
        run(checkout, "git", "commit", "--quiet", "-am", "another rate")
    run(checkout, "git", "checkout", "--quiet", "main")
    run(checkout, "git", "merge", "other", ok=False)
    before = run(checkout, "git", "status", "--porcelain")
    text = (checkout / "params.yaml").read_text()
    assert "merge: params.yaml: both branches changed model: " in run(checkout, *MERGE, ok=False)
    assert run(checkout, "git", "status", "--porcelain") == before
    assert (checkout / "params.yaml").read_text() == text


@pytest.mark.parametrize("same_lines", [False, True])
def test_comments_stay_and_what_a_branch_deleted_is_gone(tmp_path: Path, same_lines: bool) -> None:
    """On the project's own params.yaml, with conflicts in it alone."""
    checkout = tmp_path / "checkout"
    copy_checkout(checkout, {})
    own = (ROOT / "params.yaml").read_text(encoding="utf-8")
    path = checkout / "params.yaml"

    def committed(branch: str, text: str) -> None:
        run(checkout, "git", "checkout", "--quiet", "-B", branch)
        path.write_text(text, encoding="utf-8")
        commit(checkout, branch)

    committed("base", own)
    start, end = own.index("ResNet164v1:"), own.index("ResNet20v2:")
    listed = "variants:\n- model\n"
    new = "ResNet26v1:  # ours\n  version: 1\n  n: 4\n"
    edited = "# interpolation: 0 is nearest"
    without = own[:start] + own[end:].replace(edited, f"# theirs: {edited[2:]}")
    if same_lines:
        without = without.replace("\ndata:", "ResNet38v1:  # theirs\n  version: 1\n  n: 6\n\ndata:")
    committed("theirs", without.replace(listed, f"{listed}- ResNet20v2\n"))
    run(checkout, "git", "checkout", "--quiet", "base")
    committed(
        "ours", own.replace(listed, f"{listed}- ResNet32v1\n").replace("\ndata:", f"{new}\ndata:")
    )
    run(checkout, "git", "merge", "theirs", ok=False)
    code = "from scripts import merge; merge.resolve(merge.unmerged())"
    printed = run(checkout, "python", "-c", code)
    assert ("params.yaml: check the comments" in printed) == same_lines
    text = path.read_text(encoding="utf-8")
    values, before = yaml.safe_load(text), yaml.safe_load(own)
    variants = ["model", "ResNet32v1", *before["variants"][1:], "ResNet20v2"]
    assert set(values["variants"]) == set(variants)
    assert "ResNet164v1" not in values
    assert values["ResNet26v1"] == {"version": 1, "n": 4}
    for key in before.keys() - {"variants", "ResNet164v1"}:
        assert values[key] == before[key]
    assert ("# theirs: interpolation" in text) == (not same_lines)
    assert ("ResNet38v1:  # theirs" in text) == same_lines
    comments = [line.strip() for line in own.splitlines() if line.strip().startswith("#")]
    kept = [line.strip() for line in text.splitlines() if line.strip().startswith("#")]
    assert kept == comments
    assert "l2: 0.00005" in text


def test_a_section_that_both_added_at_different_places_is_there_once(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    copy_checkout(checkout, {})
    path, listed = checkout / "params.yaml", "variants:\n- model\n"
    own = (ROOT / "params.yaml").read_text(encoding="utf-8")
    path.write_text(own, encoding="utf-8")
    section = "ResNet26v1:\n  version: 1\n  n: 4\n"
    run(checkout, "git", "checkout", "--quiet", "-b", "base")
    commit(checkout, "base")
    for branch, before, variant in (
        ("theirs", "\npreprocess:", "ResNet20v2"),
        ("ours", "\ndata:", "ResNet32v1"),
    ):
        run(checkout, "git", "checkout", "--quiet", "-b", branch, "base")
        text = own.replace(before, f"{section}{before}", 1)
        path.write_text(text.replace(listed, f"{listed}- {variant}\n"), encoding="utf-8")
        commit(checkout, branch)
    run(checkout, "git", "merge", "theirs", ok=False)
    printed = run(
        checkout, "python", "-c", "from scripts import merge; merge.resolve(merge.unmerged())"
    )
    assert "params.yaml: check the comments" in printed
    assert path.read_text(encoding="utf-8").count("ResNet26v1:") == 1
    assert {"ResNet20v2", "ResNet32v1"} <= {*yaml.safe_load(path.read_text())["variants"]}


def test_what_branches_change_at_different_places_of_a_shared_section_is_merged(
    tmp_path: Path,
) -> None:
    checkout = tmp_path / "checkout"
    copy_checkout(checkout, {})
    path = checkout / "params.yaml"
    own = (ROOT / "params.yaml").read_text(encoding="utf-8")
    paper = own[own.index("  paper:  #") :]
    mirror = "  - https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz\n"
    merge = ("python", "-c", "from scripts import merge; merge.resolve(merge.unmerged())")
    path.write_text(own, encoding="utf-8")
    run(checkout, "git", "checkout", "--quiet", "-b", "base")
    commit(checkout, "base")
    for branch, name, variant, old, new in (
        ("theirs", "slower", "ResNet20v2", mirror, ""),
        ("ours", "faster", "ResNet32v1", "train_images: 5000", "train_images: 50"),
        ("both", "faster", "ResNet44v1", mirror, mirror * 2),
    ):
        run(checkout, "git", "checkout", "--quiet", "-b", branch, "base")
        text = f"{own}{paper.replace('paper', name, 1)}".replace(old, new)
        listed = "variants:\n- model\n"
        path.write_text(text.replace(listed, f"{listed}- {variant}\n"), encoding="utf-8")
        commit(checkout, branch)
    run(checkout, "git", "checkout", "--quiet", "ours")
    run(checkout, "git", "merge", "theirs", ok=False)
    run(checkout, *merge)
    values, before = yaml.safe_load(path.read_text(encoding="utf-8")), yaml.safe_load(own)
    assert list(values["recipes"]) == ["original", "paper", "faster", "slower"]
    assert values["data"]["urls"] == before["data"]["urls"][1:]
    assert values["data"]["synthetic"]["train_images"] == 50
    assert "train_images: 50  # a multiple of 5" in path.read_text(encoding="utf-8")
    run(checkout, "git", "merge", "--abort")
    run(checkout, "git", "checkout", "--quiet", "both")
    run(checkout, "git", "merge", "theirs", ok=False)
    assert "both branches changed data.urls: " in run(checkout, *merge, ok=False)


def test_a_page_that_both_changed_elsewhere_is_left_to_you(checkout: Path) -> None:
    for branch in ("main", "other"):
        run(checkout, "git", "checkout", "--quiet", branch)
        page = checkout / "README.md"
        page.write_text(page.read_text().replace("# CIFAR-10 ResNet benchmark", f"# {branch}"))
        run(checkout, "git", "commit", "--quiet", "-am", "another title")
    run(checkout, "git", "merge", "main", ok=False)
    before = (checkout / "README.md").read_bytes()
    printed = run(checkout, *MERGE, ok=False)
    assert "merge: README.md: both branches changed the same lines, also outside of" in printed
    assert (checkout / "README.md").read_bytes() == before


def test_other_conflicts_are_resolved_first(checkout: Path) -> None:
    assert "merge: no file has conflicts" in run(checkout, *MERGE, ok=False)
    for branch in ("main", "other"):
        run(checkout, "git", "checkout", "--quiet", branch)
        (checkout / "LICENSE").write_text(branch)
        run(checkout, "git", "commit", "--quiet", "-am", "another licence")
    run(checkout, "git", "merge", "main", ok=False)
    assert "merge: LICENSE: not merged by this command" in run(checkout, *MERGE, ok=False)
