"""Weights in git, in clones under a real git and dvc: pulled, published, and not trained again."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from resnet.training.resume import dvc_hash
from scripts import checkpoints
from scripts.checkout import copy_checkout, set_params
from tests.support.checkout import ROOT, SMALL, commit, run, stages
from tests.support.pages import commands

CHANGES = {
    **SMALL,
    "variants": ["model", "ResNet11v2"],
    "ResNet11v2": {"version": 2, "n": 1},
}
PULL = ("python", "-m", "scripts.checkpoints", "pull")
PUBLISH = ("python", "-m", "scripts.checkpoints", "publish")
LISTED = ("python", "-m", "scripts.listed")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A commit with two trainings and their weights. No test changes it."""
    checkout = tmp_path_factory.mktemp("checkpoints") / "checkout"
    copy_checkout(checkout, CHANGES)
    (checkout.parent / "printed").write_text(run(checkout, "dvc", "repro"))
    assert "checkpoints/: " in run(checkout, *PUBLISH)
    run(checkout, "git", "checkout", "--quiet", "-b", "main")
    commit(checkout)
    return checkout


@pytest.fixture
def warm(published: Path, tmp_path: Path) -> Path:
    """A copy of that checkout with its cache and models."""
    return Path(shutil.copytree(published, tmp_path / "warm", symlinks=True))


@pytest.fixture
def clone(published: Path, tmp_path: Path) -> Path:
    run(tmp_path, "git", "clone", "--quiet", str(published), str(tmp_path / "clone"))
    return tmp_path / "clone"


def status(checkout: Path) -> list[str]:
    return run(checkout, "git", "status", "--porcelain").splitlines()


def read(checkout: Path) -> str:
    return (checkout / "dvc.lock").read_text()


def wanted(checkout: Path) -> set[Path]:
    """The objects in checkpoints/ that the trainings in dvc.lock consist of."""
    values = yaml.safe_load((checkout / "params.yaml").read_text(encoding="utf-8"))
    lock = yaml.safe_load((checkout / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    found, root = set(), checkout / "checkpoints" / "files" / "md5"
    for variant in values["variants"]:
        for seed in values["seeds"]:
            for out in lock.get(f"train@{variant}-{seed}", {}).get("outs", []):
                listed = root / out["md5"][:2] / out["md5"][2:]
                files = json.loads(listed.read_text(encoding="utf-8"))
                hashes = [file["md5"] for file in files]
                found |= {listed, *(root / md5[:2] / md5[2:] for md5 in hashes)}
    return found


def objects(checkout: Path) -> set[Path]:
    folder = checkout / "checkpoints" / "files"
    return {path for path in folder.rglob("*") if path.is_file()}


def test_this_repository_has_the_weights_of_what_dvc_lock_records_and_no_others() -> None:
    assert objects(ROOT) == wanted(ROOT)
    for path in objects(ROOT):
        assert checkpoints._content(path)  # whose hash is its name
    size = sum(path.stat().st_size for path in (ROOT / "checkpoints").rglob("*") if path.is_file())
    assert size <= checkpoints.LARGEST


def test_both_trainings_run_and_are_counted(published: Path) -> None:
    printed = (published.parent / "printed").read_text()
    trainings = ["train@model-0", "train@ResNet11v2-0"]
    evaluations = ["evaluate@model", "evaluate@ResNet11v2"]
    assert stages(printed) == ["fetch", "preprocess", *trainings, *evaluations, "report"]
    said = [line for line in printed.splitlines() if line.startswith(("up to", "training "))]
    assert said == [
        "up to 2 trainings to run",
        "training 1 of up to 2: model, seed 0",
        "training 2 of up to 2: ResNet11v2, seed 0",
    ]


def test_publish_writes_what_is_listed_and_removes_the_rest(warm: Path) -> None:
    assert objects(warm) == wanted(warm)
    assert run(warm, *LISTED) == ""
    run(warm, *PUBLISH)
    assert not status(warm)
    set_params(
        warm / "params.yaml", {"variants": ["ResNet8v1"], "ResNet8v1": {"version": 1, "n": 1}}
    )
    assert "no listed variant is trained" in run(warm, *PUBLISH, ok=False)
    assert {line[3:] for line in status(warm)} == {"params.yaml"}
    set_params(warm / "params.yaml", {"variants": ["model"]})
    (warm / "checkpoints" / "files" / "md5" / "stray").write_text("")
    (warm / "checkpoints" / "README.md").write_text("kept")
    run(warm, *PUBLISH)
    assert objects(warm) == wanted(warm)
    assert len(list((warm / "checkpoints" / "runs").glob("*/*/*"))) == 1
    assert (warm / "checkpoints" / "README.md").exists()
    changed = {line[3:].split("/")[0] for line in status(warm)}
    assert changed == {"checkpoints", "params.yaml"}


def test_publish_refuses_what_is_too_large_missing_or_not_of_this_code(warm: Path) -> None:
    before = objects(warm)
    limit = "from scripts import checkpoints as c; c.{} = 1e5; c.publish()"
    for name, text in (
        ("LARGEST_VARIANT", "the weights of model take"),
        ("LARGEST", "all weights take 2 MB; the limit in git is 0 MB: remove one from variants"),
    ):
        assert text in run(warm, "python", "-c", limit.format(name), ok=False)
    with (warm / "resnet" / "model.py").open("a") as file:
        file.write("# a comment\n")
    assert "train@model-0: `train` ran with a different `resnet/model.py`: run" in run(
        warm, *PUBLISH, ok=False
    )
    run(warm, "git", "restore", "resnet")
    lock = yaml.safe_load((warm / "dvc.lock").read_text())["stages"]["train@model-0"]
    md5 = lock["outs"][0]["md5"]
    path = warm / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    path.unlink()
    run(warm, *PUBLISH)  # what checkpoints/ has already is enough, e.g. after a merge
    assert objects(warm) == before
    (warm / "checkpoints" / "files" / "md5" / md5[:2] / md5[2:]).unlink()
    assert "no such file; checkpoints/files/md5/" in run(warm, *PUBLISH, ok=False)


def test_weights_that_are_not_the_evaluated_ones_are_refused(warm: Path) -> None:
    before, lock = objects(warm), (warm / "dvc.lock").read_text()
    set_params(warm / "params.yaml", {"model.learning_rate": 0.002})
    run(warm, "dvc", "repro", "train")
    text = "model: these weights are not evaluated: run `dvc repro evaluate@model`"
    assert text in run(warm, *PUBLISH, ok=False)
    assert objects(warm) == before
    shutil.copytree(warm / "models/model/seed0", warm / "models/model/seed9")
    run(warm, "dvc", "repro", "evaluate@model")
    text = "models/model/seed9 is of no listed seed: remove it and run `dvc repro evaluate@model`"
    assert text in run(warm, *PUBLISH, ok=False)
    shutil.rmtree(warm / "models/model/seed9")
    run(warm, "dvc", "repro", "evaluate@model")
    run(warm, *PUBLISH)
    run(warm, "dvc", "repro", "--single-item", "report")
    assert run(warm, *LISTED) == ""
    evaluated = yaml.safe_load(lock)["stages"]["evaluate@model"]["deps"]
    (old,) = [dep["md5"] for dep in evaluated if dep["path"] == "models/model"]
    (new,) = set(re.findall(r"models/model\n *hash: md5\n *md5: (\S+)", read(warm)))
    (warm / "dvc.lock").write_text(read(warm).replace(new, old))
    text = "listed: model: these weights are not evaluated: run `dvc repro evaluate@model`"
    assert run(warm, *LISTED, ok=False).startswith(text)


def test_a_clone_pulls_them_and_trains_only_what_is_asked_for(clone: Path) -> None:
    printed = run(clone, *PULL)
    assert printed == "checkpoints: pulled the weights of 2 trainings to models/\n"
    assert run(clone, *PULL) == ""
    assert run(clone, *LISTED) == ""
    changed = re.findall(r"^\t\t(.*): +(\S+)$", run(clone, "dvc", "status"), re.MULTILINE)
    assert {what for what, _ in changed} <= {"deleted", "not in cache"}
    assert {Path(path).parts[0] for _, path in changed} == {"data"}
    assert "dvc exp run -S model.n=9" in commands("README.md")
    more = stages(run(clone, "dvc", "exp", "run", "-S", "model.n=2"))
    assert more == ["fetch", "preprocess", "train@model-0", "evaluate@model", "report"]
    back = stages(run(clone, "dvc", "exp", "run", "-S", "model.n=1"))
    assert back == ["evaluate@model", "report"]
    assert not status(clone)


def test_a_clone_without_them_does_not_train_in_silence(clone: Path) -> None:
    printed = run(clone, "dvc", "repro", ok=False)
    assert "train: model with seed 0 is trained already, and a remote has its weights" in printed
    assert "run `dvc pull train`; RETRAIN=1 trains it again" in printed
    run(clone, "dvc", "remote", "add", "--default", "storage", "../nowhere")
    printed = run(clone, "dvc", "repro", ok=False)
    assert "run `dvc pull --remote checkpoints train`; RETRAIN=1" in printed
    run(clone, "git", "restore", ".dvc/config")
    printed = run(clone, "dvc", "repro", "train@model-0", more={"RETRAIN": "1"})
    assert stages(printed) == ["train@model-0"]
    again = ("dvc", "repro", "--force", "train@model-0")  # its result is kept in .resume/
    assert "\nepoch 1/1 " in run(clone, *again, more={"RETRAIN": "1"})
    run(clone, "dvc", "pull", "train")
    assert stages(run(clone, "dvc", "repro")) == ["evaluate@model", "report"]  # it has other times


def test_weights_are_pulled_again_where_the_cache_lost_them(clone: Path) -> None:
    run(clone, *PULL)
    run(clone, "dvc", "cache", "dir", "--local", str(clone.parent / "other cache"))
    assert "2 trainings" in run(clone, *PULL)
    printed = run(clone, "dvc", "repro")
    assert stages(printed) == ["fetch", "preprocess"]
    assert run(clone, *PULL) == ""


def test_new_weights_are_pulled_after_git_pull(warm: Path, clone: Path) -> None:
    run(clone, *PULL)
    set_params(warm / "params.yaml", {"model.learning_rate": 0.002})
    run(warm, "dvc", "repro", "train")
    run(warm, "dvc", "repro", "evaluate")
    run(warm, *PUBLISH)
    commit(warm)
    run(clone, "git", "pull", "--quiet", str(warm), "main")
    assert "of 1 training to" in run(clone, *PULL)
    lock = yaml.safe_load((clone / "dvc.lock").read_text())["stages"]
    for name in ("model", "ResNet11v2"):
        md5 = lock[f"train@{name}-0"]["outs"][0]["md5"]
        assert dvc_hash(clone / "models" / name / "seed0") == md5


def test_a_pull_that_fails_is_one_line_and_no_error(clone: Path, tmp_path: Path) -> None:
    weights = max(objects(clone), key=lambda path: path.stat().st_size)
    weights.unlink()
    assert weights.name in assert_one_line(run(clone, *PULL))
    unpacked = tmp_path / "zip"
    shutil.copytree(clone, unpacked, ignore=shutil.ignore_patterns(".git"))
    assert "git" in assert_one_line(run(unpacked, *PULL))
    (clone / "dvc.lock").write_text("stages: [")
    assert "dvc.lock: not a lock file" in assert_one_line(run(clone, *PULL))


def assert_one_line(printed: str) -> str:
    """The reason that it gives."""
    line, rest = printed.split("\n", 1)
    assert not rest
    start, _, reason = line.partition("were not pulled: ")
    assert start == "checkpoints: the trained weights "
    return reason


def test_the_check_names_what_is_not_as_listed(warm: Path) -> None:
    set_params(warm / "params.yaml", {"ResNet11v2.learning_rate": 0.5})
    printed = run(warm, *LISTED, ok=False)
    assert printed.startswith("listed: ResNet11v2-0: `train` ran with a different `ResNet11v2` in")
    assert "remove it from variants" in printed
    run(warm, "git", "restore", "params.yaml")
    set_params(warm / "params.yaml", {"preprocess.subtract_pixel_mean": False})
    for command in (LISTED, PUBLISH):
        assert "`preprocess` ran with a different `preprocess` in" in run(warm, *command, ok=False)
    run(warm, "git", "restore", "params.yaml")
    with (warm / "metrics" / "README.md").open("a", encoding="utf-8") as page:
        page.write("another accuracy\n")
    assert "listed: `report` wrote a different `metrics/README.md`" in run(warm, *LISTED, ok=False)
    run(warm, "git", "restore", "metrics/README.md")
    set_params(warm / "params.yaml", {"variants": ["model"]})
    run(warm, "dvc", "repro", "--single-item", "report")
    assert run(warm, *LISTED) == ""
    set_params(warm / "params.yaml", {"seeds": [0, 1]})
    assert "listed: model-1: dvc.lock does not record it" in run(warm, *LISTED, ok=False)
    set_params(warm / "params.yaml", {"seeds": [0]})
    lock = yaml.safe_load((warm / "dvc.lock").read_text())
    del lock["stages"]["train@model-0"]
    (warm / "dvc.lock").write_text(yaml.safe_dump(lock))
    assert run(warm, *LISTED) == ""  # model may wait for its first training
    set_params(warm / "params.yaml", {"variants": ["model", "ResNet8v1"]})
    set_params(warm / "params.yaml", {"ResNet8v1": {"version": 1, "n": 1}})
    assert "ResNet8v1-0: dvc.lock does not record it" in run(warm, *LISTED, ok=False)
    run(warm, "git", "restore", "params.yaml", "dvc.lock")
    shutil.rmtree(warm / "checkpoints")
    assert "its weights are not in checkpoints/" in run(warm, *LISTED, ok=False)
