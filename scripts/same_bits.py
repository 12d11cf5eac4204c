"""Show that an edit to training code changes no bit of any result, and keep the results current.

Trains every listed variant that dvc.lock records for a few steps, with the code of BASE and with
that of the working tree: on synthetic images, across a drop of the learning rate, a save and a
resume. Only where all weights, statistics, optimizer states and histories are equal to the last
bit, and so are the values that each variant is trained with, dvc.lock records the trainings as
done by the present code, and metrics/same-bits.json what was compared. Otherwise nothing changes.
"""

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dvc.utils.serialize import load_yaml

from resnet import params
from resnet.device import Device
from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.files import write_json, write_text
from resnet.overrides import value_at
from resnet.results import same_bits
from resnet.results.same_bits import Comparison, SameBits
from resnet.results.store import Store
from resnet.training import resume
from resnet.training.identity import code_hashes
from resnet.training.pending import Name
from resnet.training.record import model_folder
from scripts import side_by_side
from scripts.checkout import copy_checkout
from scripts.checkpoints import LOCK, output, recorded
from scripts.git import commit, git
from scripts.repository import repository

Lock = Mapping[Name, Mapping[str, Any]]  # what dvc.lock records of each listed training


class Row(NamedTuple):
    """The trainings of one variant that dvc.lock records."""

    variant: str
    seeds: tuple[int, ...]


def main(arguments: argparse.Namespace) -> None:
    """Compare, and record where all is equal; raises BenchmarkError with what differs."""
    lock = recorded_trainings()
    rows = recorded_rows(lock, arguments.variants)
    base = commit(arguments.base)
    check_models(rows, lock)
    with tempfile.TemporaryDirectory(prefix="same-bits-") as folder:
        before, after = Path(folder) / "before", Path(folder) / "after"
        _extract(base, before)
        copy_checkout(after, {})
        for row in rows:  # before any is compared, which changes the copies
            check_trained_with(row, lock, base, before)
            check_values(row, before, after)
        found = [compare(row, base, before, after) for row in rows]
    record(rows, found)
    if "report" in _stages():  # the tables depend on the code, to mark what is stale
        command = [sys.executable, "-m", "dvc", "repro", "--quiet", "--single-item", "report"]
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
            raise BenchmarkError(f"recorded in {LOCK} and {same_bits.PATH}; the report failed")
    print(f"recorded in {LOCK} and {same_bits.PATH}; commit both and metrics/ with the edit")


def recorded_trainings() -> Lock:
    """The listed trainings that dvc.lock records, with the values as DVC reads them."""
    names = recorded()
    stages = _stages() if names else {}
    return {name: stages[name.stage] for name in names}


def recorded_rows(lock: Lock, only: Iterable[str] = ()) -> list[Row]:
    """The listed trainings that dvc.lock records; raises BenchmarkError where there are none."""
    seeds: dict[str, list[int]] = {}
    for name in lock:
        seeds.setdefault(name.variant, []).append(name.seed)
    unknown = sorted(set(only) - set(seeds))
    if unknown or not seeds:
        raise BenchmarkError(
            f"{LOCK} records no training of a listed variant"
            + (f" that is named {' or '.join(unknown)}" if unknown else "")
        )
    return [Row(name, tuple(each)) for name, each in seeds.items() if not only or name in only]


def check_models(rows: Iterable[Row], lock: Lock) -> None:
    """Raise BenchmarkError where a trained folder that is here is not the one in dvc.lock."""
    for name in (Name(row.variant, seed) for row in rows for seed in row.seeds):
        folder = model_folder(*name)
        if folder.is_dir() and resume.dvc_hash(folder) != output(lock[name]):
            raise BenchmarkError(
                f"{folder} is not what {LOCK} records; run `dvc checkout --force {folder}`"
            )


def check_values(row: Row, before: Path, after: Path) -> None:
    """Raise BenchmarkError where a value differs that the comparison replaces on both sides."""
    for key in ("epochs", "drops", "source"):
        old, new = (_value(side, row.variant, key) for side in (before, after))
        if old != new:
            raise BenchmarkError(f"{row.variant}: {key} changed: {old} → {new}")


def compare(row: Row, base: str, before: Path, after: Path) -> Comparison:
    """Train one seed of a variant on both sides; raises BenchmarkError where anything differs."""
    seed, device = row.seeds[0], _device(row.variant)
    env = _environment(device) if device else {}
    sides = [side_by_side.train(side, row.variant, seed, **env) for side in (before, after)]
    if differences := side_by_side.differences(*sides):
        raise BenchmarkError(
            f"{row.variant}, seed {seed}: not the same: {'; '.join(differences)}; "
            f"{LOCK} is unchanged, and `dvc repro` trains with the present code"
        )
    old, new = sides
    if device and new.gpu != device.gpu:
        raise BenchmarkError(f"{row.variant} was trained on {device.name}: compare it there")
    print(
        f"{row.variant}: {new.steps} steps, {new.values:,} values: equal to the last bit",
        flush=True,
    )
    return Comparison(
        variant=row.variant,
        seed=seed,
        base=base,
        before=old.code,
        after=new.code,
        backend=new.backend,
        device=new.device,
        xla=new.xla,
        steps=new.steps,
        values=new.values,
        largest_difference=0.0,
    )


def record(rows: Iterable[Row], found: list[Comparison]) -> None:
    """Write the present code into dvc.lock; restores it where more than code would change."""
    known = same_bits.read()
    if any(comparison.after != code_hashes() for comparison in found):
        raise BenchmarkError("the code was edited during the comparison; run it again")
    names = [Name(row.variant, seed).stage for row in rows for seed in row.seeds]
    with repository() as repo, repo.lock:  # so that no other dvc writes dvc.lock meanwhile
        lock, old = LOCK.read_text(encoding="utf-8"), _stages()
        try:
            for name in names:
                (stage,) = repo.stage.collect(name)
                # no entry in the run cache, which would outlive a refusal below
                stage.save(allow_missing=True, run_cache=False)
                stage.dump(update_pipeline=False)
            new = _stages()
            for name in names:
                _check_recorded(name, old[name], new[name])
            comparisons = [*known, *(each for each in found if each not in known)]
            value = SameBits(schema=1, comparisons=comparisons)
            write_json(same_bits.PATH, value.model_dump(mode="json", by_alias=True))
        except BaseException:
            write_text(LOCK, lock)
            raise


def _device(variant: str) -> Device | None:
    """The device of a variant's results; raises BenchmarkError where seeds differ in its kind."""
    results = Store().results(variant)
    if results is None:
        return None
    devices = [run.training.identity.device for run in results.runs]
    if len({(device.backend, device.xla, device.gpu) for device in devices}) > 1:
        raise BenchmarkError(f"{variant}: its seeds were trained on different kinds of devices")
    return devices[0]


def _environment(device: Device) -> dict[str, str]:
    """The variables with which a training runs as on that device."""
    return {
        "KERAS_BACKEND": device.backend,
        "XLA": str(int(device.xla)),
        "GPU": str(int(device.gpu)),
        "TF32": str(int(device.float32_products == "tf32")),
        "DETERMINISTIC": str(int(device.gpu)),  # without it, equal code gives other bits on a GPU
    }


def check_trained_with(row: Row, lock: Lock, base: str, before: Path) -> None:
    """Raise BenchmarkError where dvc.lock records other code or values than those of BASE."""
    values = load_yaml(before / params.PATH)
    for seed in row.seeds:
        stage = lock[Name(row.variant, seed)]
        for dep in stage["deps"]:
            path = before / dep["path"]
            if path.suffix != ".py":
                continue
            there = path.is_file() and hashlib.md5(path.read_bytes()).hexdigest()
            if there != dep["md5"]:
                raise BenchmarkError(
                    f"{row.variant}, seed {seed}, was not trained with {dep['path']} of "
                    f"{base[:12]}: BASE must be a commit whose code trained it"
                )
        for key, value in stage.get("params", {}).get(str(params.PATH), {}).items():
            if value_at(values, *key.split(".")) != value:
                raise BenchmarkError(
                    f"{row.variant}, seed {seed}, was not trained with the {key} of "
                    f"{base[:12]}: BASE must be a commit whose parameters trained it"
                )


def _check_recorded(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise BenchmarkError where anything but code has changed; keys of parameters may come and go.

    What the keys mean is the code's, which was compared.
    """

    def data(stage: Mapping[str, Any]) -> dict[str, str]:
        deps = stage.get("deps", [])
        return {dep["path"]: dep.get("md5") for dep in deps if not dep["path"].endswith(".py")}

    def values(stage: Mapping[str, Any]) -> dict[str, str]:
        return dict(side_by_side.flat(stage.get("params", {})))

    for what, of in (
        ("command", lambda stage: {"": stage["cmd"]}),
        ("output", lambda stage: {"": stage["outs"]}),
        ("data", data),
        ("value", values),
    ):
        before, after = of(old), of(new)
        keys = before.keys() & after.keys() if what == "value" else before.keys()
        for key in keys:
            if after.get(key) != before[key]:
                raise BenchmarkError(
                    f"{name}: its {' '.join(filter(None, (what, key)))} in {LOCK} would change; "
                    "nothing was recorded"
                )


def _value(checkout: Path, variant: str, key: str) -> Any:
    """A key of the recipe that a variant is trained with, or data.source."""
    raw = load_yaml(checkout / params.PATH)
    if key == "source":
        return raw["data"]["source"]
    section = raw.get(variant, {})
    return section[key] if key in section else raw["recipes"][raw["train"]["recipe"]][key]


def _stages() -> dict[str, Any]:
    """What dvc.lock records of each stage."""
    return dict(load_yaml(LOCK)["stages"])


def _extract(revision: str, target: Path) -> None:
    """The files of a commit, as a folder of its own."""
    # not a tar: its safe extraction needs Python 3.11.4, and Debian 12 has 3.11.2
    with zipfile.ZipFile(io.BytesIO(git("archive", "--format=zip", revision))) as archive:
        archive.extractall(target)


if __name__ == "__main__":
    command = command_parser("scripts.same_bits", __doc__)
    command.add_argument("base", metavar="BASE", help="the commit to compare with")
    command.add_argument(
        "variants", metavar="VARIANT", nargs="*", help="default: all listed ones in dvc.lock"
    )
    run_stage(main, command)
