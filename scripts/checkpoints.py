"""The trained weights in git: checkpoints/, a remote of DVC's that every clone has.

`pull` fetches the weights that dvc.lock asks for and that are in the folder, but not in models/ and
DVC's cache; make calls it after the installation and before the targets that may need weights.
`publish` brings the folder up to date: afterwards it has the weights of every listed variant that
is trained, and nothing else.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from resnet import params
from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.files import replaced
from resnet.results.provenance import changes_behind
from resnet.training.pending import Name, trainings
from resnet.training.record import model_folder
from resnet.training.resume import files_hash
from scripts.repository import repository

FOLDER = Path("checkpoints")
REMOTE = "checkpoints"  # its name in .dvc/config
LOCK = Path("dvc.lock")
LARGEST_VARIANT, LARGEST = 26e6, 100e6  # bytes: the most that a clone is asked to have


def recorded() -> dict[Name, Mapping[str, Any]]:
    """The listed trainings that dvc.lock records, with what it records; raises BenchmarkError."""
    settings = params.load()
    if not LOCK.exists():
        return {}
    try:
        stages = yaml.safe_load(LOCK.read_text(encoding="utf-8"))["stages"]
        names = (Name(name, seed) for name in settings.variants for seed in settings.seeds)
        found = {name: stages[name.stage] for name in names if name.stage in stages}
        for stage in found.values():
            output(stage)
    except (yaml.YAMLError, UnicodeDecodeError, LookupError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise BenchmarkError(f"{LOCK}: not a lock file of DVC's: {reason[:200]}") from error
    return found


def output(stage: Mapping[str, Any]) -> str:
    """The hash of a training's output."""
    return str(stage["outs"][0]["md5"])


def object_path(root: Path, oid: str) -> Path:
    """Where a cache or a remote has the object with that hash."""
    return root / "files" / "md5" / oid[:2] / oid[2:]


def objects(root: Path, oid: str) -> Iterator[Path]:
    """The files in a cache or a remote that make up an output: the list of its files, and each.

    Raises BenchmarkError where one is missing, or its hash is not the one in its name.
    """
    files = json.loads(_content(object_path(root, oid)))
    yield object_path(root, oid)
    for file in files:
        path = object_path(root, file["md5"])
        _content(path)
        yield path


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise BenchmarkError(f"{path}: no such file")
    content = path.read_bytes()
    if hashlib.md5(content).hexdigest() != path.parent.name + path.name.removesuffix(".dir"):
        raise BenchmarkError(f"{path}: damaged, its MD5 is not the one in its name")
    return content


def pull() -> None:
    """Pull what is missing; a failure is one line and no error, since few targets need weights."""
    reason = ""
    try:
        cache = cache_folder()
        names = [name for name, stage in recorded().items() if _to_pull(name, output(stage), cache)]
        if not names:
            return
        command = [sys.executable, "-m", "dvc", "pull", "--run-cache", "-r", REMOTE]
        stages = [name.stage for name in names]
        done = subprocess.run([*command, *stages], capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            errors = [line for line in lines if line.startswith("ERROR: ")] or lines[-1:]
            reason = errors[0].removeprefix("ERROR: ")[:200]  # the last is how many failed
    except (BenchmarkError, OSError) as error:
        reason = str(error)
    if reason:
        print(f"checkpoints: the trained weights were not pulled: {reason}")
    else:
        plural = "s" * (len(names) > 1)
        print(f"checkpoints: pulled the weights of {len(names)} training{plural} to models/")


def _to_pull(name: Name, oid: str, cache: Path) -> bool:
    """Whether an output is in checkpoints/, but not all its files are in models/ and the cache.

    DVC trains again where its cache lacks a file, also if models/ has it.
    """
    listed = object_path(FOLDER, oid)
    if not listed.exists():
        return False
    folder = model_folder(*name)
    for file in json.loads(_content(listed)):
        path = folder / file["relpath"]
        if not object_path(cache, file["md5"]).is_file():
            return True
        if not path.is_file() or hashlib.md5(path.read_bytes()).hexdigest() != file["md5"]:
            return True
    return not object_path(cache, oid).is_file()


def cache_folder() -> Path:
    """DVC's cache, by its configuration."""
    from dvc.config import Config, ConfigError  # faster than a Repo, which takes a second

    try:
        return Path(Config(dvc_dir=".dvc")["cache"].get("dir", ".dvc/cache"))
    except ConfigError as error:
        raise BenchmarkError(f"DVC: {error}") from error


def publish() -> None:
    """Bring the folder up to date; where it cannot be, raises BenchmarkError and changes nothing.

    Beside the weights, the folder has DVC's record of each training in its run cache. With it,
    `dvc exp run` finds the weights again after another experiment.
    """
    wanted, sizes = _wanted()
    if not wanted:
        raise BenchmarkError("no listed variant is trained")
    for variant, size in sizes.items():
        if size > LARGEST_VARIANT:
            raise BenchmarkError(
                f"the weights of {variant} take {size / 1e6:.0f} MB; the limit in git is "
                f"{LARGEST_VARIANT / 1e6:.0f} MB per variant: remove it from variants; its results "
                "stay in the tables"
            )
    if sum(sizes.values()) > LARGEST:
        raise BenchmarkError(
            f"all weights take {sum(sizes.values()) / 1e6:.0f} MB; the limit in git is "
            f"{LARGEST / 1e6:.0f} MB: remove one from variants; its results stay in the tables"
        )
    for target, source in wanted.items():
        if not target.exists() or target.read_bytes() != source.read_bytes():
            with replaced(target) as partial:
                shutil.copyfile(source, partial)
    for part in ("files", "runs"):
        for path in sorted((FOLDER / part).rglob("*"), reverse=True):  # files before their folder
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
            elif not path.is_dir() and path not in wanted:
                path.unlink()
    print(f"{FOLDER}/: {len(wanted)} files, {sum(sizes.values()) / 1e6:.1f} MB; commit them")


def not_evaluated(repo: Any, lists: Mapping[Name, Path]) -> Iterator[str]:
    """A line for each variant whose evaluation, by dvc.lock, did not read these very weights.

    It is then older than a training, or read the weights of a seed that is no longer listed, so
    that every clone would repeat it. `lists` has the objects that list the files of trainings; a
    variant whose trainings are not all among them is left out.
    """
    settings = params.load()
    stages = {getattr(stage, "name", None): stage for stage in repo.index.stages}
    for variant in settings.variants:
        names = [Name(variant, seed) for seed in settings.seeds]
        if not all(name in lists for name in names):
            continue
        files = [
            {"md5": file["md5"], "relpath": f"seed{name.seed}/{file['relpath']}"}
            for name in names
            for file in json.loads(_content(lists[name]))
        ]
        folder, target = model_folder(variant, 0).parent, f"evaluate@{variant}"
        deps = {dep.def_path: dep.hash_info.value for dep in stages[target].deps if dep.hash_info}
        if deps.get(folder.as_posix()) == files_hash(files):
            continue
        listed = {model_folder(*name) for name in names}
        if others := sorted(path for path in folder.glob("seed*") if path not in listed):
            yield f"{others[0]} is of no listed seed: remove it and run `dvc repro {target}`"
        else:
            yield f"{variant}: these weights are not evaluated: run `dvc repro {target}`"


def _wanted() -> tuple[dict[Path, Path], dict[str, int]]:
    """The files that the folder must have, each with its source, and the bytes of each variant."""
    wanted, sizes, lists = dict[Path, Path](), dict[str, int](), dict[Name, Path]()
    with repository() as repo:
        cache = Path(repo.cache.legacy.path)
        stages = trainings(repo)
        for name, locked in recorded().items():
            stage = stages[name]
            if changed := [f"{what} {item}" for what, item in changes_behind(stage)]:
                raise BenchmarkError(
                    f"{name.stage}: {changed[0]}: run `dvc repro` or `make same-bits`, or remove "
                    "it from variants"
                )
            root, files = _complete(name, output(locked), cache)
            lists[name] = files[0]
            size = sum(path.stat().st_size for path in files)
            sizes[name.variant] = sizes.get(name.variant, 0) + size
            entry = _run_cache_entry(locked, cache) or _run_cache_entry(locked, FOLDER)
            if entry is None:  # `make same-bits` leaves this to be done
                repo.stage_cache.save(stage)
                entry = _run_cache_entry(locked, cache)
            wanted |= {FOLDER / path.relative_to(root): path for path in files}
            if entry:
                wanted[FOLDER.joinpath(*entry.parts[-4:])] = entry
        for problem in not_evaluated(repo, lists):
            raise BenchmarkError(problem)
    return wanted, sizes


def _complete(name: Name, oid: str, cache: Path) -> tuple[Path, list[Path]]:
    """Where an output is complete, in DVC's cache or in checkpoints/, and its files there."""
    missing = []
    for root in (cache, FOLDER):
        try:
            return root, list(objects(root, oid))
        except BenchmarkError as error:
            missing.append(str(error))
    raise BenchmarkError(
        f"{name.stage}: its weights are not here: {'; '.join(missing)}; `dvc pull {name.stage}` "
        "fetches them from a remote that has them"
    )


def _run_cache_entry(locked: Mapping[str, Any], root: Path) -> Path | None:
    """The file in a run cache that records a training."""
    for path in sorted((root / "runs").glob("*/*/*")):
        text = path.read_text(encoding="utf-8")
        if output(locked) in text and yaml.safe_load(text) == locked:  # YAML takes long to parse
            return path
    return None


COMMANDS = {"pull": pull, "publish": publish}


def main(arguments: argparse.Namespace) -> None:
    COMMANDS[arguments.command]()


if __name__ == "__main__":
    command = command_parser("scripts.checkpoints", __doc__)
    command.add_argument("command", choices=COMMANDS)
    run_stage(main, command)
