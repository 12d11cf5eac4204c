"""The saved states of a training: the last two are kept, and a damaged one is noticed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from resnet import params
from resnet.device import Device
from resnet.errors import BenchmarkError
from resnet.training import resume
from resnet.training.record import Identity, TrainingParameters
from scripts.checkout import ROOT, environment

DEVICE = Device("a CPU", "x86_64", False, "tensorflow", False, "float32", True)


def state(epochs: int) -> resume.Saved:
    weights = np.full(1000, epochs, np.float32)
    return resume.Saved(epochs, {"weights": weights}, {"losses": [0.1] * epochs})


def identity_of(variant: str = "model", seed: int = 0) -> Identity:
    settings = params.load()
    model = settings.variant("model")
    return Identity(
        variant=variant,
        seed=seed,
        parameters=TrainingParameters(
            network=model.network,
            recipe=model.recipe,
            augment=model.augment,
            precision="float32",
            holdout=settings.train.holdout,
            watch=settings.train.watch,
            source="synthetic",
            subtract_pixel_mean=True,
        ),
        code={"a.py": "0" * 64},
        data=["1" * 64],
        device=DEVICE,
        versions={"keras": "3.15.1"},
        environment={"OMP_NUM_THREADS": None},
    )


@pytest.fixture
def store(tmp_path: Path) -> resume.Store:
    """A store with the states after epochs 10 and 11."""
    store = resume.Store(tmp_path / "runs" / "model-seed0-a")
    for epochs in (9, 10, 11):
        store.save(state(epochs), identity_of())
    return store


def saved_epochs(store: resume.Store) -> list[int]:
    assert {path.suffix for path in store.folder.iterdir()} == {".npz", ".json"}
    return sorted(int(path.name.split("-")[0][5:]) for path in store.folder.glob("*.npz"))


def test_last_two_are_kept_and_the_last_is_loaded(store: resume.Store) -> None:
    assert saved_epochs(store) == [10, 11]
    assert store.epochs == 11
    saved = store.load()
    assert saved is not None
    assert (saved.epochs, saved.notes) == (11, {"losses": [0.1] * 11})
    np.testing.assert_array_equal(saved.arrays["weights"], np.full(1000, 11, np.float32))
    empty = resume.Store(store.folder.parent / "other")
    assert empty.load() is None
    assert empty.epochs == 0


@pytest.mark.parametrize("damage", ["cut", "bit", "empty"])
def test_damaged_state_is_reported_and_the_one_before_used(
    store: resume.Store, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for epochs in (11, 10):
        (path,) = store.folder.glob(f"epoch{epochs}-*")
        content = path.read_bytes()
        flipped = content[:700] + bytes([content[700] ^ 1]) + content[701:]
        path.write_bytes({"cut": content[:-1], "bit": flipped, "empty": b""}[damage])
        saved = store.load()
        assert (saved.epochs if saved else 0) == {11: 10, 10: 0}[epochs]
        printed = capsys.readouterr().out
        assert printed.startswith(f"warning: {path}: damaged")


def test_full_disk_leaves_the_earlier_states(
    store: resume.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    message = (
        "No space left on device: the state after epoch 12 was not saved, the state after epoch 11 "
        "is kept$"
    )
    with pytest.raises(BenchmarkError, match=message):
        store.save(state(12), identity_of())
    assert saved_epochs(store) == [10, 11]
    first = resume.Store(store.folder.with_name("first"))
    message = "the state after epoch 1 was not saved, no state is kept$"
    with pytest.raises(BenchmarkError, match=message):
        first.save(state(1), identity_of())


def test_partial_file_of_a_killed_process_is_removed(store: resume.Store) -> None:
    (store.folder / ".epoch12.partial").write_bytes(b"half")
    assert store.load() is not None
    assert saved_epochs(store) == [10, 11]


def test_identity_is_saved_with_the_states(store: resume.Store) -> None:
    assert store.identity() == identity_of()
    for text in ("", "{}", '{"variant": 3}'):
        (store.folder / resume.IDENTITY).write_text(text)
        assert store.identity() is None
    (store.folder / resume.IDENTITY).write_bytes(b"\xff")
    assert store.identity() is None
    store.save(state(12), identity_of())
    assert store.identity() == identity_of()


def test_identity_is_on_the_disk_before_the_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power failure, a state without its identity could not be resumed."""
    flushed: list[str] = []
    monkeypatch.setattr(resume, "sync", lambda path: flushed.append(path.name))
    store = resume.Store(tmp_path / "model-seed0-a")
    store.save(state(1), identity_of())
    assert flushed == [resume.IDENTITY, ".epoch1.partial", "model-seed0-a"]


def test_other_stores_are_those_of_the_same_variant_and_seed(store: resume.Store) -> None:
    folder = store.folder.parent
    for name, epochs, identity in (
        ("model-seed0-b", 30, identity_of()),
        ("model-seed0-c", 20, identity_of()),
        ("model-seed1-a", 40, identity_of(seed=1)),
        ("model-seed0-10-a", 40, identity_of("model-seed0")),
    ):
        resume.Store(folder / name).save(state(epochs), identity)
    (folder / "model-seed0-empty").mkdir()
    (folder / "model-seed0-done" / f"result-{'0' * 32}.dir").mkdir(parents=True)
    found = resume.other_stores(folder, store, identity_of())
    names = [other.folder.name for other, _ in found]
    assert names == ["model-seed0-b", "model-seed0-c", "model-seed0-done"]
    assert [identity for _, identity in found] == [identity_of(), identity_of(), None]


def test_result_replaces_the_states_until_dvc_has_recorded_it(
    store: resume.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "seed0"
    result.mkdir()
    (result / "last.keras").write_bytes(b"weights")
    (result / "training.json").write_text("{}\n")
    store.keep_result(result)
    digest = resume.dvc_hash(result)
    (store.folder / f"result-{digest}" / ".DS_Store").write_bytes(b"")  # by a file manager
    names = {path.name for path in store.folder.iterdir()}
    assert names == {resume.IDENTITY, f"result-{digest}"}
    assert store.restore_result(tmp_path / "restored")
    assert (tmp_path / "restored" / "last.keras").read_bytes() == b"weights"

    lock = tmp_path / "dvc.lock"
    for text in (
        "",
        "not: [yaml",
        "stages: 3\n",
        "stages: {other: {outs: [{path: a, md5: 00.dir}]}}\n",
    ):
        lock.write_text(text)
        resume.forget_recorded(store.folder.parent, lock)
        assert store.folder.exists()
    lock.write_text(f"stages: {{train@model-0: {{outs: [{{path: a, md5: {digest}}}]}}}}\n")
    resume.forget_recorded(store.folder.parent, lock)
    assert not store.folder.exists()

    store.keep_result(result)
    next(store.folder.glob("result-*/last.keras")).write_bytes(b"other")
    assert not store.restore_result(tmp_path / "again")
    assert "damaged" in capsys.readouterr().out


def test_hash_is_that_of_dvc(tmp_path: Path) -> None:
    output = tmp_path / "seed0"
    output.mkdir()
    for name in ("training.json", "last.keras", "history.csv"):
        (output / name).write_text(f"{name}\n")
    shutil.copy(ROOT / ".dvcignore", tmp_path)
    ignored = (tmp_path / ".dvcignore").read_text(encoding="utf-8").splitlines()
    for name in (line.replace("*", "history") for line in ignored if not line.startswith("#")):
        (output / name).write_bytes(b"")
    for command in (["init", "--no-scm"], ["add", "seed0"]):
        subprocess.run(
            [sys.executable, "-m", "dvc", *command, "--quiet"],
            cwd=tmp_path,
            env=environment(tmp_path),
            check=True,
        )
    added = yaml.safe_load((tmp_path / "seed0.dvc").read_text(encoding="utf-8"))
    assert added["outs"][0]["md5"] == resume.dvc_hash(output)
