"""What the driver takes from a checkout and puts there, without a cluster."""

import hashlib
import json
import shutil
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from cluster import __main__ as command
from cluster import checkout, connection, measure, simulated, tables
from cluster.events import State
from resnet.errors import BenchmarkError
from resnet.files import read_json
from resnet.training.pending import Name, trainings
from tests.support.checkout import ROOT, run
from tests.support.pages import read
from tests.support.trainings import run_train_stage, write_workspace

NAME = Name("model", 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the test runs; only .resume/ is written there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


def test_the_inputs_are_all_that_a_real_training_imports_and_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real stage in a folder of nothing but the inputs."""
    workspace, clone = tmp_path / "workspace", tmp_path / "clone"
    write_workspace(workspace)
    shutil.copy(ROOT / "dvc.yaml", workspace)
    for name in ("resnet", "stages", ".dvc"):
        ignored = shutil.ignore_patterns("__pycache__", "tmp", "cache", "config.local")
        shutil.copytree(ROOT / name, workspace / name, ignore=ignored)
    (workspace / "data" / "arrays" / "none").touch()
    monkeypatch.chdir(workspace)
    run(workspace, "git", "init", "--quiet")
    with Repo(".") as repo:
        files = checkout.inputs(trainings(repo).values())
    assert "params.yaml" not in files
    for name, path in files.items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, clone / name)
    text = (workspace / "params.yaml").read_text(encoding="utf-8")
    (clone / "params.yaml").write_text(checkout.params_for(text, NAME), encoding="utf-8")
    done = run_train_stage(clone, {"PYTHONPATH": ""})
    assert done.returncode == 0, done.stderr
    assert (clone / "models" / "model" / "seed0" / "last.keras").exists()


def test_a_params_yaml_for_one_training_differs_in_the_lists_alone() -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    values, ours = yaml.safe_load(text), yaml.safe_load(checkout.params_for(text, NAME))
    assert ours == {**values, "variants": ["model"], "seeds": [0]}


def test_every_variable_of_a_training_is_passed_on() -> None:
    rows = {
        line.split("`")[1]
        for line in read("docs/environment.md").splitlines()
        if line.startswith("| `") and "`" in line[3:] and line.split("`")[1].isupper()
    }
    here = {"CIFAR10_ARCHIVE", "RETRAIN"}  # read before a training, in the checkout
    by_ray = {"CUDA_VISIBLE_DEVICES"}
    assert rows - set(command.VARIABLES) == here | by_ray


def test_two_drivers_and_a_dvc_repro_keep_out_of_each_others_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_workspace(tmp_path, {"recipes.original.epochs": 1})
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    with ExitStack() as stack:
        checkout.hold(stack)
        checkout.hold_outputs(stack, [NAME])
        before = (tmp_path / "params.yaml").read_text(encoding="utf-8")
        asked = Namespace(address="local", command="table", variants=["ResNet56v1"], seeds=[])
        monkeypatch.setattr(connection, "check_address", lambda _: None)  # it needs Ray
        monkeypatch.setattr(command, "LOCK", ROOT / command.LOCK)
        with pytest.raises(BenchmarkError, match="another driver, process"):
            command.main(asked)
        assert (tmp_path / "params.yaml").read_text(encoding="utf-8") == before
        with (
            ExitStack() as other,
            pytest.raises(BenchmarkError, match="models/model/seed0 is being trained by process"),
        ):
            checkout.hold_outputs(other, [NAME])
        refused = run_train_stage(tmp_path)
        assert refused.returncode == 1
        assert "train: models/model/seed0 is being trained by process" in refused.stderr


def test_a_state_replaces_the_ones_before_it(folder: Path) -> None:
    where = "model-seed0-0123456789abcdef"
    for name in ("identity.json", "epoch1-aa.npz", "epoch2-bb.npz", "epoch3-cc.npz"):
        kept = ["identity.json", "epoch2-bb.npz", "epoch3-cc.npz"] if "3" in name else [name]
        kept = ["epoch1-aa.npz", "epoch2-bb.npz"] if "2" in name else kept
        checkout.save_state(NAME, State(where, name, name.encode(), kept))
    names = sorted(path.name for path in (folder / ".resume" / where).iterdir())
    assert names == ["epoch2-bb.npz", "epoch3-cc.npz", "identity.json"]
    (folder / ".resume" / where / ".epoch4.partial").touch()
    (folder / ".resume" / "model-seed01-0123456789abcdef").mkdir()
    assert checkout.states(NAME) == {f"{where}/{name}": name.encode() for name in names}
    checkout.remove_states(NAME, where)
    assert checkout.states(NAME) == {}


@pytest.mark.parametrize(
    "where",
    ["../model-seed0-a", "model-seed0-a/../..", "locks", "model-seed1-a", "model-seed0-\0"],
)
def test_a_node_cannot_write_elsewhere(where: str, folder: Path) -> None:
    with pytest.raises(BenchmarkError, match="is not a folder of model-0's states"):
        checkout.save_state(NAME, State(where, "epoch1-a.npz", b"", []))
    with pytest.raises(BenchmarkError, match="is not a folder of model-0's states"):
        checkout.remove_states(NAME, where)
    assert not (folder / ".resume").exists()


@pytest.mark.parametrize("name", ["..", ".", "", "../epoch1-a.npz", "epoch1-a.npz/..", "a\0"])
def test_a_node_cannot_write_another_file(name: str, folder: Path) -> None:
    other = folder / ".resume" / "model-seed1-a" / "epoch1-a.npz"
    other.parent.mkdir(parents=True)
    other.touch()
    with pytest.raises(BenchmarkError, match="is not the name of a state"):
        checkout.save_state(NAME, State("model-seed0-a", name, b"", []))
    assert [path for path in folder.joinpath(".resume").rglob("*") if path.is_file()] == [other]


def test_results_are_checked_and_added_whole(folder: Path) -> None:
    simulated.write(folder, epochs=1, seconds=0)
    content = b"weights"
    digest = hashlib.md5(content).hexdigest()
    path = f"files/md5/{digest[:2]}/{digest[2:]}"
    entry = f"runs/ab/{'ab' * 32}/{'cd' * 32}"
    with Repo(".") as repo:
        with pytest.raises(BenchmarkError, match=f"{path} came damaged"):
            checkout.add_to_cache(repo, {path: b"others", entry: b"x"})
        cache = folder / ".dvc" / "cache"
        assert not [each for each in cache.rglob("*") if each.is_file()]
        escapes = ["../../escape", "runs/../../escape", "runs/../files/md5", "runs/../../../escape"]
        escapes += [f"files/../{digest[:2]}/{digest[2:]}", f"{path}/../x"]
        checkout.add_to_cache(repo, {path: content, entry: b"x", **dict.fromkeys(escapes, b"no")})
        checkout.add_to_cache(repo, {path: content, entry.replace("cdcd", "efef"): b"y"})
    files = {str(each.relative_to(cache)): each for each in cache.rglob("*") if each.is_file()}
    assert sorted(files) == sorted([path, entry, entry.replace("cdcd", "efef")])
    assert files[path].read_bytes() == content
    assert files[path].stat().st_mode & 0o777 == 0o444  # as DVC protects its cache
    assert not list(folder.rglob("escape"))


def test_the_page_shows_what_was_measured() -> None:
    found = read_json(ROOT / "cluster" / "results.json")
    text = read("cluster/README.md")
    assert tables.page(text, found) == text
    assert tables.problems(found) == []
    assert set(found) == set(tables.TABLES)
    assert "   GPUs |" in text


def test_a_lost_state_is_seen_beside_the_progress_of_another_training() -> None:
    assert measure.kept({"model-0": 3, "model-1": 8}, {"model-0": 5, "model-1": 8}) == 11
    assert measure.kept({"model-0": 3, "model-1": 8}, {"model-0": 20, "model-1": 1}) == 4
    assert measure.kept({"model-0": 3, "model-1": 8}, {"model-0": 20}) == 3
    assert measure.kept({}, {"model-0": 20}) == 0


def test_a_problem_is_reported() -> None:
    kill = {"what": "node", "epochs": 3, "kept": 3, "differences": []}
    bad = [{**kill, "kept": 2}, {**kill, "differences": ["history"]}, kill]
    found = {"kills": {"rows": bad}, "trainings": {"rows": [{"trainings": 6, "equal": 5}]}}
    assert tables.problems(json.loads(json.dumps(found))) == [
        "kill of node: history",
        "kill of node: a state was lost",
        "1 trainings differ",
    ]
