"""What the driver finds stale, and what it records at the end, beside a real `dvc repro`."""

import re
import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
import yaml

from cluster import checkout, simulated
from cluster.__main__ import record
from resnet.errors import BenchmarkError
from resnet.training.pending import Name
from scripts.checkout import set_params
from scripts.repository import repository
from tests.support.checkout import run, stages

NAMES = ["ResNet8v1", "ResNet14v1", "ResNet20v1"]


def change(folder: Path) -> None:
    set_params(folder / "params.yaml", {"ResNet14v1.batch_size": 64})


def change_and_return(folder: Path) -> None:
    before = (folder / "params.yaml").read_bytes()
    change(folder)
    run(folder, "dvc", "repro")
    (folder / "params.yaml").write_bytes(before)


def delete_one(folder: Path, variant: str = "ResNet14v1", seed: int = 1) -> None:
    """A model and its files in DVC's cache; the record in the run cache stays."""
    model = folder / "models" / variant / f"seed{seed}"
    locked = yaml.safe_load((folder / "dvc.lock").read_text())["stages"][f"train@{variant}-{seed}"]
    oid = locked["outs"][0]["md5"]
    for path in (folder / ".dvc" / "cache" / "files" / "md5" / oid[:2]).glob(f"{oid[2:]}*"):
        path.unlink()
    shutil.rmtree(model)


def add_a_seed(folder: Path) -> None:
    set_params(folder / "params.yaml", {"seeds": [0, 1, 2, 3]})


def add_a_variant(folder: Path) -> None:
    changes = {"variants": [*NAMES, "ResNet26v1"], "ResNet26v1": {"version": 1, "n": 4}}
    set_params(folder / "params.yaml", changes)


def edit(name: str) -> Callable[[Path], None]:
    def append(folder: Path) -> None:
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write("# an edit\n")

    return append


CASES: dict[str, tuple[Callable[[Path], None], int]] = {
    "no change": (lambda _: None, 0),
    "one section changed": (change, 3),
    "and back to its earlier value": (change_and_return, 0),
    "a model and its cache deleted": (delete_one, 1),
    "one more seed": (add_a_seed, 3),
    "one more variant": (add_a_variant, 3),
    "an edit to a module of train": (edit("stages/train.py"), 9),
    "an edit to a file that train does not depend on": (edit("resnet/errors.py"), 0),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout after `dvc repro`; no test changes it."""
    folder = tmp_path_factory.mktemp("stale") / "checkout"
    simulated.write(folder, variants=3, seeds=3, epochs=1, seconds=0)
    run(folder, "dvc", "repro", "preprocess")
    assert len(stale(folder)) == 9
    assert len(trainings(run(folder, "dvc", "repro"))) == 9
    return folder


def stale(folder: Path) -> list[Name]:
    """What the driver finds in that checkout."""
    with chdir(folder):
        return checkout.stale()


def trainings(printed: str) -> list[str]:
    """The trainings that `dvc repro` says it ran."""
    found = [re.fullmatch(r"train@(.+)", stage) for stage in stages(printed)]
    return sorted(match[1] for match in found if match)


@pytest.mark.parametrize("case", CASES)
def test_the_driver_finds_what_dvc_repro_runs(case: str, trained: Path, tmp_path: Path) -> None:
    edit_checkout, expected = CASES[case]
    folder = Path(shutil.copytree(trained, tmp_path / "copy", symlinks=True))
    edit_checkout(folder)
    found = stale(folder)
    assert sorted(map(str, found)) == trainings(run(folder, "dvc", "repro"))
    assert len(found) == expected


def test_an_output_that_was_lost_and_trained_again_is_found(tmp_path: Path) -> None:
    """It has another hash: a training records its seconds."""
    folder = simulated.write(tmp_path / "checkout", epochs=1, seconds=0)
    train = folder / "stages" / "train.py"
    train.write_text(train.read_text(encoding="utf-8").replace("Random(1)", "Random()"))
    run(folder, "dvc", "repro")
    delete_one(folder, "ResNet8v1", 0)
    node = Path(shutil.copytree(folder, tmp_path / "node"))
    shutil.rmtree(node / ".dvc" / "cache" / "runs")
    run(node, "dvc", "repro", "train@ResNet8v1-0")
    cache = node / ".dvc" / "cache"
    files = {
        path.relative_to(cache).as_posix(): path.read_bytes()
        for path in cache.rglob("*")
        if path.is_file()
    }
    with chdir(folder):
        checkout.forget_lost()
        assert checkout.stale() == [Name("ResNet8v1", 0)]  # nothing is forgotten in vain
        with repository() as repo:
            checkout.add_to_cache(repo, files)
        checkout.forget_lost()
        assert checkout.stale() == []
    assert trainings(run(folder, "dvc", "repro")) == []
    model = Path("models", "ResNet8v1", "seed0", "last.keras")
    assert (folder / model).read_bytes() == (node / model).read_bytes()


def at_the_end(folder: Path, wanted: list[Name]) -> str:
    """What the driver says at its end if all of `wanted` ran."""
    with chdir(folder), pytest.raises(BenchmarkError) as caught:
        record(wanted, {}, everything=True)
    return str(caught.value)


def test_an_edit_upstream_of_the_trainings_does_not_train_here(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = simulated.write(tmp_path / "checkout", epochs=1, seconds=0)
    run(folder, "dvc", "repro")
    pipeline = folder / "dvc.yaml"
    pipeline.write_text(pipeline.read_text(encoding="utf-8").replace("echo data", "echo others"))
    said = at_the_end(folder, [Name("ResNet8v1", 0)])
    assert said == "1 of 1 not trained: ResNet8v1-0: its inputs have changed since it started"
    printed = capfd.readouterr().out
    assert "Running stage 'preprocess'" in printed
    assert not trainings(printed)


def test_a_variant_removed_while_others_train_leaves_their_results(tmp_path: Path) -> None:
    folder = simulated.write(tmp_path / "checkout", variants=2, epochs=1, seconds=0)
    wanted = [Name("ResNet8v1", 0), Name("ResNet14v1", 0)]
    for name in wanted:
        run(folder, "dvc", "repro", name.stage)
    set_params(folder / "params.yaml", {"variants": ["ResNet14v1", "ResNet20v1"]})
    assert at_the_end(folder, wanted) == (
        "2 of 3 not trained: "
        "ResNet8v1-0: it was removed from params.yaml after the start; DVC's cache has its result; "
        "ResNet20v1-0: it was added to params.yaml after the start"
    )
    assert (folder / "metrics" / "ResNet14v1").exists()
