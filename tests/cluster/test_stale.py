"""Which trainings the driver finds stale, beside those that a real `dvc repro` then runs."""

import re
import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
import yaml

from cluster import checkout, simulated
from resnet.training.pending import Name
from scripts.checkout import set_params
from tests.support.checkout import run, stages

NAMES = ["ResNet8v1", "ResNet14v1", "ResNet20v1"]


def change(folder: Path) -> None:
    set_params(folder / "params.yaml", {"ResNet14v1.batch_size": 64})


def change_and_return(folder: Path) -> None:
    before = (folder / "params.yaml").read_bytes()
    change(folder)
    run(folder, "dvc", "repro")
    (folder / "params.yaml").write_bytes(before)


def delete_one(folder: Path) -> None:
    """A model and its files in DVC's cache; the record in the run cache stays."""
    model = folder / "models" / "ResNet14v1" / "seed1"
    locked = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]["train@ResNet14v1-1"]
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
