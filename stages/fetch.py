"""Download CIFAR-10, or make synthetic images in its format, as params.yaml asks.

Reads the archive or folder that the environment variable CIFAR10_ARCHIVE names, else DVC's cache,
else the first of data.urls that has the official files. Writes data/cifar-10-batches-py/, each file
checked by SHA-256. Official files that are there already stay.
"""

import argparse
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from resnet import params
from resnet.data import archive, cifar10, synthetic
from resnet.data.download import download
from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.files import LEFT_BEHIND, exclusive_lock, replaced


def main(_arguments: argparse.Namespace) -> None:
    fetch(params.load().data, cifar10.FOLDER, os.environ.get("CIFAR10_ARCHIVE", ""))


def dvc_cache() -> Path | None:
    """Where DVC's cache has its files by their MD5; None outside of a DVC repository."""
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo  # takes a second to import

    try:
        with Repo(".") as repo:
            return Path(repo.cache.local.path)
    except NotDvcRepoError:
        return None


def fetch(
    data: params.Data,
    target: Path,
    local: str = "",
    members: Mapping[str, cifar10.Member] = cifar10.OFFICIAL,
    cache: Callable[[], Path | None] = dvc_cache,
) -> None:
    """Fill the folder `target` with the members and nothing else.

    They come from `local`, the path of an archive or a folder. Where it is empty, they stay if they
    are in `target` already, or come from `cache` or from the URLs. Raises BenchmarkError with what
    was wrong with each source, and where `target` has a file that would be lost: one that is not a
    member's, or, for synthetic images, one of which the cache has no copy. `target` is then
    unchanged.
    """
    if data.source == "synthetic":
        _refuse_to_lose(target, cache)
        sizes = data.synthetic
        synthetic.write(target, sizes.train_images, sizes.test_images, sizes.seed)
        print(
            f"{target}: {sizes.train_images:,} synthetic images for training, "
            f"{sizes.test_images:,} for testing"
        )
        return
    _refuse_others(target, members)
    if local:
        name = f"CIFAR10_ARCHIVE={local}"
        try:
            source = Path(local).expanduser()
        except RuntimeError as error:  # ~name of a user whom the system does not know
            raise BenchmarkError(f"{name}: {error}") from error
        archive.extract_members(source, target, members, name=name)
        print(f"{target}: extracted from {local}")
    elif _is_complete(target, members):
        print(f"{target}: already complete")
    elif _from_cache(target, members, cache):
        print(f"{target}: copied from DVC's cache")
    else:
        _from_urls(data.urls, target, members)


def _is_complete(target: Path, members: Mapping[str, cifar10.Member]) -> bool:
    try:
        cifar10.check_official(target, members)
    except BenchmarkError:
        return False
    return True


def _refuse_others(target: Path, members: Mapping[str, cifar10.Member]) -> None:
    """Raise BenchmarkError where `target` has a file that is not a member's, e.g. someone's notes.

    It would be part of the stage's output, and replacing the folder would delete it.
    """
    for path in sorted(target.iterdir()) if target.is_dir() else ():
        if path.name not in members and not LEFT_BEHIND.fullmatch(path.name):
            raise BenchmarkError(f"{path} is not a file of CIFAR-10: move it elsewhere")


def _from_cache(
    target: Path, members: Mapping[str, cifar10.Member], cache: Callable[[], Path | None]
) -> bool:
    """Copy the members from DVC's cache; returns whether all of them are there."""
    if not all(member.md5 for member in members.values()):
        return False
    root = cache()
    paths = {name: _cached(root, member.md5) for name, member in members.items()}
    if root is None or not all(path.is_file() for path in paths.values()):
        return False
    try:
        with replaced(target) as partial:
            partial.mkdir()
            for name, path in paths.items():
                shutil.copyfile(path, partial / name)
            cifar10.check_official(partial, members)
    except BenchmarkError:  # a damaged cache
        return False
    return True


def _refuse_to_lose(target: Path, cache: Callable[[], Path | None]) -> None:
    """Raise BenchmarkError where `target` has files that are neither synthetic nor in the cache."""
    if not target.is_dir():
        return
    if _is_synthetic(target):
        _refuse_others(target, cifar10.OFFICIAL)
        return
    root = cache()
    for path in sorted(target.rglob("*")):
        if LEFT_BEHIND.fullmatch(path.name):
            continue
        if path.is_file() and not _cached(root, _md5(path)).is_file():
            raise BenchmarkError(
                f"{path} would be lost, since DVC's cache has no copy: move {target} elsewhere; "
                "CIFAR10_ARCHIVE can name it there"
            )


def _is_synthetic(target: Path) -> bool:
    try:
        return tuple(cifar10.class_names(target)) == synthetic.CLASS_NAMES
    except BenchmarkError:
        return False


def _cached(root: Path | None, md5: str) -> Path:
    return (root or Path()) / md5[:2] / md5[2:]


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _from_urls(urls: tuple[str, ...], target: Path, members: Mapping[str, cifar10.Member]) -> None:
    downloads = target.parent / "download"
    failures = []
    busy = f"another fetch is using {downloads}, {{holder}}; wait for it, or end it"
    with exclusive_lock(downloads / "lock", busy):
        for url in urls:
            file = downloads / _file_name(url)
            try:
                download(url, file)
                archive.extract_members(file, target, members, name=url)
            except BenchmarkError as error:
                print(error, flush=True)
                failures.append(str(error))
                # A complete file is wrong; a part of one stays, for the next fetch to continue.
                file.unlink(missing_ok=True)
                continue
            print(f"{target}: extracted from {url}")
            shutil.rmtree(downloads, ignore_errors=True)  # NFS keeps the lock until it is closed
            return
    raise BenchmarkError(
        f"no URL of data.urls has {target.name}: {'; '.join(failures) or 'there is no URL'}; "
        "download cifar-10-python.tar.gz in another way and set CIFAR10_ARCHIVE to its path"
    )


def _file_name(url: str) -> str:
    """A file name that is unique to the URL and the same in the next run."""
    last = re.split("[?#]", url)[0].rpartition("/")[2]
    stem = re.sub(r"[^A-Za-z0-9.-]", "_", last)[:100]
    return f"{stem}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


if __name__ == "__main__":
    run_stage(main, command_parser("stages.fetch", __doc__))
