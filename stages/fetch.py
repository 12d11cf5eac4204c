"""Download CIFAR-10, or make synthetic images in its format, as params.yaml asks.

Reads the archive or folder that the environment variable CIFAR10_ARCHIVE names, else the first of
data.urls that has the official files. Writes data/cifar-10-batches-py/, each file checked by
SHA-256.
"""

import argparse
import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from resnet import params
from resnet.data import archive, cifar10, synthetic
from resnet.data.download import download
from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.files import exclusive_lock


def main(_arguments: argparse.Namespace) -> None:
    fetch(params.load().data, cifar10.FOLDER, os.environ.get("CIFAR10_ARCHIVE", ""))


def fetch(
    data: params.Data,
    target: Path,
    local: str = "",
    members: Mapping[str, cifar10.Member] = cifar10.OFFICIAL,
) -> None:
    """Fill the folder `target` with the members and nothing else.

    They come from `local`, the path of an archive or a folder, or from the URLs where it is empty.
    Raises BenchmarkError with what was wrong with each source; `target` is then unchanged.
    """
    if data.source == "synthetic":
        sizes = data.synthetic
        synthetic.write(target, sizes.train_images, sizes.test_images, sizes.seed)
        print(
            f"{target}: {sizes.train_images:,} synthetic images for training, "
            f"{sizes.test_images:,} for testing"
        )
    elif local:
        source = Path(local).expanduser()
        archive.extract_members(source, target, members, name=f"CIFAR10_ARCHIVE={local}")
        print(f"{target}: extracted from {local}")
    elif _is_complete(target, members):
        print(f"{target}: already complete")
    else:
        _from_urls(data.urls, target, members)


def _is_complete(target: Path, members: Mapping[str, cifar10.Member]) -> bool:
    try:
        cifar10.check_official(target, members)
    except BenchmarkError:
        return False
    return {path.name for path in target.iterdir()} == set(members)


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
            shutil.rmtree(downloads)
            return
    raise BenchmarkError(
        f"no URL of data.urls has {target.name}: {'; '.join(failures) or 'there is no URL'}; "
        "download cifar-10-python.tar.gz in another way and set CIFAR10_ARCHIVE to its path"
    )


def _file_name(url: str) -> str:
    """A file name that is unique to the URL and the same in the next run."""
    path = Path(urlsplit(url).path)
    stem = re.sub(r"[^A-Za-z0-9.-]", "_", path.name)[:100]
    return f"{stem}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


if __name__ == "__main__":
    run_stage(main, command_parser("stages.fetch", __doc__))
