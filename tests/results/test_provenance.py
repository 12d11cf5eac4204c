"""Stale results, under a real dvc in clones without data."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from resnet import params
from resnet.results.same_bits import Comparison
from resnet.training.identity import code_hashes, training_parameters
from resnet.variant import Network
from scripts.checkout import copy_checkout, environment, set_params
from tests.support.checkout import ROOT, commit, git, run
from tests.support.results import make_results, review, write_results

VARIANTS = ("model", "ResNet32v1")


def write(checkout: Path, name: str, draw: int, **options: Any) -> None:
    results = make_results(name, seeds=2, images=1000, **options)
    write_results(checkout / "metrics", results, draw)


def record_this_code(checkout: Path, name: str) -> dict[str, Any]:
    """Make the records of results name the checkout's code and parameters; returns them all."""
    path = checkout / "metrics" / "provenance" / f"{name}.json"
    parameters = training_parameters(params.load(checkout / "params.yaml"), name)
    values: dict[str, Any] = json.loads(path.read_text())
    for each in values["runs"]:
        each["training"]["identity"]["parameters"] = parameters.model_dump(mode="json")
        each["training"]["identity"]["code"] = code_hashes(checkout / "dvc.yaml")
    path.write_text(json.dumps(values))
    return values


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A commit with results that `dvc commit` recorded as those of its code and parameters."""
    checkout = tmp_path_factory.mktemp("provenance") / "checkout"
    copy_checkout(checkout, {"variants": list(VARIANTS), "seeds": [0, 1]})
    for draw, name in enumerate(VARIANTS):
        write(checkout, name, draw)
        record_this_code(checkout, name)
    for path in (
        *(f"models/{name}/seed{seed}/x" for name in VARIANTS for seed in (0, 1)),
        "data/cifar-10-batches-py/x",
        "data/arrays/train/x",
        "data/arrays/test/x",
        "data/arrays/none",
        "metrics/plots/all/x",
        "metrics/pictures/learning-rate.svg",
        "metrics/results.csv",
    ):
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text("")
    (checkout / "metrics" / "README.md").write_text("the tables")
    run(checkout, "dvc", "commit", "--force", "--quiet")
    git(checkout, "checkout", "--quiet", "-b", "main")
    commit(checkout, "main")
    return checkout


@pytest.fixture
def clone(recorded: Path, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "--quiet", str(recorded), str(tmp_path / "clone"))
    return tmp_path / "clone"


def stale(checkout: Path, *revisions: str) -> list[str]:
    """The lines of the section on stale results; `--fail-on stale` fails where REV has any."""
    status, text, error = review(checkout, *revisions, "--fail-on", "stale")
    lines = [line for line in text.split("## Accuracy, %")[0].splitlines() if line.startswith("- ")]
    assert ("## Stale results" in text) == bool(lines)
    rev = revisions[1] if len(revisions) > 1 else "workspace"
    failed = any(line.startswith(f"- `{rev}`") for line in lines)
    assert (status, error) == (int(failed), "")
    return lines


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_results_as_they_were_recorded_are_not_stale(recorded: Path, clone: Path) -> None:
    assert not (clone / "data").exists()
    for checkout in (recorded, clone):
        assert stale(checkout, "main") == stale(checkout, "main", "HEAD") == []
    (clone / "README.md").write_text("No stage reads this.")
    (clone / "models" / "model").mkdir(parents=True)  # as `dvc checkout` leaves it without a cache
    assert stale(clone, "main") == []


def test_other_code_and_parameters_are_named_with_the_variants(clone: Path) -> None:
    edit(clone / "params.yaml", "model:\n  version: 1\n  n: 3", "model:\n  version: 1\n  n: 2")
    assert stale(clone, "main") == [
        "- `workspace`: `model`: `train` ran with a different `model` in `params.yaml`",
        "- `workspace`: the tables: `report` ran with a different `model` in `params.yaml`",
    ]
    with (clone / "resnet" / "training" / "loop.py").open("a", encoding="utf-8") as file:
        file.write("# a comment\n")
    edit(clone / "params.yaml", "    l2: 0.0001", "    l2: 0.0002")
    expected = [
        "`model`, `ResNet32v1`: `train` ran with a different `resnet/training/loop.py`, "
        "`recipes.original` in `params.yaml`",
        "`model`: `train` ran with a different `model` in `params.yaml`",
        "the tables: `report` ran with a different `resnet/training/loop.py`, "
        "`model` in `params.yaml`, `recipes` in `params.yaml`",
    ]
    assert sorted(stale(clone, "main")) == sorted(f"- `workspace`: {line}" for line in expected)
    git(clone, "commit", "--quiet", "--all", "-m", "change")
    for revisions in (("HEAD~1", "HEAD"), ("HEAD", "HEAD~1")):  # either side is checked
        lines = sorted(stale(clone, *revisions))
        assert lines == sorted(f"- `HEAD`: {line}" for line in expected)


def test_a_result_edited_by_hand(clone: Path) -> None:
    path = clone / "metrics" / "runs" / "ResNet32v1.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "s/epoch": 1.0}))
    assert stale(clone, "main") == [
        "- `workspace`: `ResNet32v1`: `evaluate` wrote a different `metrics/runs/ResNet32v1.json`",
        "- `workspace`: the tables: `report` ran with a different `metrics/runs`",
    ]
    git(clone, "checkout", "--quiet", ".")
    edit(clone / "metrics" / "README.md", "tables", "best tables")
    assert stale(clone, "main") == [
        "- `workspace`: the tables: `report` wrote a different `metrics/README.md`"
    ]


def test_what_is_outside_the_repository_is_named_and_not_opened(clone: Path) -> None:
    url = "https://localhost:1/@octocat"
    edit(
        clone / "dvc.yaml", "    - stages/evaluate.py\n", f"    - stages/evaluate.py\n    - {url}\n"
    )
    line = f"`evaluate` depends on what is not in this repository: `{url}`"
    assert f"- `workspace`: `model`, `ResNet32v1`: {line}" in stale(clone, "main")


def test_pictures_that_are_not_of_these_numbers(clone: Path) -> None:
    """Drawn by hand, or with a template that has changed."""
    (clone / "metrics" / "pictures" / "learning-rate.svg").write_text("<svg/>")
    edit(clone / ".dvc" / "plots" / "curves.json", "epoch", "the epoch")
    assert stale(clone, "main") == [
        "- `workspace`: the tables: `report` ran with a different `.dvc/plots/curves.json`",
        "- `workspace`: the tables: `report` wrote a different `metrics/pictures`",
    ]


def test_results_of_which_dvc_lock_has_no_record(clone: Path) -> None:
    edit(clone / "params.yaml", "- ResNet32v1\n", "- ResNet32v1\n- ResNet44v1\n")
    write(clone, "ResNet44v1", 9, network=Network(version=1, n=7))
    assert stale(clone, "main")[0] == (
        "- `workspace`: `ResNet44v1`: `dvc.lock` has no record of `evaluate@ResNet44v1`, "
        "`train@ResNet44v1-0`, `train@ResNet44v1-1`"
    )
    (clone / "dvc.lock").unlink()
    assert len(stale(clone, "main")) > 1


def test_results_whose_training_did_not_record_its_code(clone: Path) -> None:
    path = clone / "metrics" / "provenance" / "model.json"
    record = json.loads(path.read_text())
    record["runs"][1]["training"]["identity"]["code"] = {}
    path.write_text(json.dumps(record))
    line = "`model`: its training did not record its code and data"
    assert [text for text in stale(clone, "main") if text.endswith(line)] == [
        f"- `workspace`: {line}"
    ]


def test_the_results_of_this_checkout_were_not_edited_by_hand(tmp_path: Path) -> None:
    """In a process of its own, because DVC's libraries give warnings."""
    code = (
        "from dvc.repo import Repo; from resnet.results.provenance import stale_results; "
        "print(*stale_results(Repo('.'), 'workspace'), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert not [line for line in done.stdout.splitlines() if " wrote a different " in line]


def test_results_of_an_earlier_training_than_dvc_lock_records(clone: Path) -> None:
    """After a training without an evaluation, DVC compares nothing that is in git."""
    values = yaml.safe_load((clone / "dvc.lock").read_text())
    for stage in values["stages"].values():
        for section in stage.get("params", {}).values():
            if "ResNet32v1" in section:
                section["ResNet32v1"] = {"version": 1, "n": 5, "batch_size": 64}
    (clone / "dvc.lock").write_text(yaml.safe_dump(values))
    set_params(clone / "params.yaml", {"ResNet32v1.batch_size": 64})
    assert stale(clone, "main") == ["- `workspace`: `ResNet32v1`: trained with other parameters"]


def test_an_unlisted_variant_is_compared_by_its_own_records(clone: Path) -> None:
    """It has no stage that DVC compares, and its results are still shown and compared."""
    path = clone / "metrics" / "provenance" / "ResNet32v1.json"
    values = record_this_code(clone, "ResNet32v1")
    code = values["runs"][0]["training"]["identity"]["code"]
    edit(clone / "params.yaml", "- ResNet32v1\n", "")

    def reasons(*revisions: str) -> list[str]:
        found = [line for line in stale(clone, *revisions) if "not in `variants`" in line]
        return [line.partition("with other ")[2] for line in found]

    assert reasons("main") == []
    edit(clone / "params.yaml", "    l2: 0.0001", "    l2: 0.0002")
    assert reasons("main") == ["parameters"]
    (clone / "resnet" / "model.py").write_text("# edited")
    assert reasons("main") == ["code", "parameters"]
    for name in ("../../etc/passwd", "a\0b.py", "\ud800.py", "x" * 200_000 + ".py"):
        for each in values["runs"]:
            each["training"]["identity"]["code"] = {name: code["resnet/model.py"]}
        path.write_text(json.dumps(values))
        commit(clone, "x")
        assert reasons("HEAD~1", "HEAD")[-2:] == ["code", "parameters"]


def test_code_that_was_shown_to_be_equal_is_equal_though_it_has_more_modules(clone: Path) -> None:
    """The modules before are those that the record names, and those after are the stage's."""
    path = clone / "metrics" / "provenance" / "ResNet32v1.json"
    after = code_hashes(clone / "dvc.yaml")
    before = {"resnet/model.py": "0" * 64}
    values = json.loads(path.read_text())
    for each in values["runs"]:
        each["training"]["identity"]["code"] = before
    path.write_text(json.dumps(values))
    edit(clone / "params.yaml", "- ResNet32v1\n", "")
    line = "- `workspace`: `ResNet32v1`: not in `variants`, and trained with other code"
    assert line in stale(clone, "main")
    same = Comparison(
        variant="ResNet32v1",
        seed=0,
        base="abc",
        before=before,
        after=after,
        backend="tensorflow",
        device="a CPU",
        xla=False,
        steps=10,
        values=100,
        largest_difference=0.0,
    )
    known = {"schema": 1, "comparisons": [same.model_dump(mode="json")]}
    (clone / "metrics" / "same-bits.json").write_text(json.dumps(known))
    assert line not in stale(clone, "main")


def test_the_name_of_a_stage_has_no_effect(clone: Path) -> None:
    """DVC reads any name from a dvc.yaml, and a pull request can have any."""
    name = "x\n\n## Better\n\n[free](https://example.com) <img src=x>"
    for path in ("dvc.yaml", "dvc.lock"):
        values = yaml.safe_load((clone / path).read_text())
        values["stages"][name] = {"cmd": "true", "deps": ["params.yaml"]}
        if path == "dvc.lock":
            values["stages"][name]["cmd"] = "false"
            values["stages"][name]["deps"] = [
                {"path": "params.yaml", "hash": "md5", "md5": "0" * 32}
            ]
        else:
            values["stages"][name]["metrics"] = [{"metrics/runs/evil.json": {"cache": False}}]
        (clone / path).write_text(yaml.safe_dump(values, sort_keys=False))
    (clone / "metrics" / "runs" / "evil.json").write_text("{}")
    _, text, _ = review(clone, "main")
    assert name not in text
    assert (
        "`x ## Better [free](https://example.com) <img src=x>` ran with a different command" in text
    )
