"""Put CIFAR-10, or the synthetic set in its place, into data/cifar-10-batches-py: the same bytes for everybody, wherever they came from."""

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from resnet import params
from resnet.data import archive, cifar10, synthetic
from resnet.data.download import download
from resnet.errors import BenchmarkError, run_stage


def main(argv: list[str]) -> None:
    """Fetch what params.yaml asks for; the environment's CIFAR10_ARCHIVE, a file or a folder, goes before its URLs."""
    if argv:
        raise BenchmarkError(f"takes no arguments, got {' '.join(argv)}")
    fetch(params.load().data, cifar10.FOLDER, os.environ.get("CIFAR10_ARCHIVE", ""))


def fetch(
    data: params.Data,
    target: Path,
    local: str = "",
    members: Mapping[str, cifar10.Member] = cifar10.OFFICIAL,
) -> None:
    """Make the folder `target` hold the members and nothing else, from `local` if that names an archive or a folder, else from the URLs.

    Raises BenchmarkError with what was wrong with each source; `target` is then as it was before.
    """
    if data.source == "synthetic":
        made = data.synthetic
        synthetic.write(target, made.train_images, made.test_images, made.seed)
        print(
            f"wrote the synthetic set, {made.train_images:,} + {made.test_images:,} images, to {target}"
        )
    elif local:
        archive.take(Path(local).expanduser(), target, members, name=f"CIFAR10_ARCHIVE={local}")
        print(f"took {target} from {local}")
    elif _is_whole(target, members):
        print(f"{target} is there already")
    else:
        _from_urls(data.urls, target, members)


def _is_whole(target: Path, members: Mapping[str, cifar10.Member]) -> bool:
    try:
        cifar10.check_official(target, members)
    except BenchmarkError:
        return False
    return {path.name for path in target.iterdir()} == set(members)


def _from_urls(urls: tuple[str, ...], target: Path, members: Mapping[str, cifar10.Member]) -> None:
    downloads = target.parent / "download"
    failures = []
    with _alone(downloads):
        for url in urls:
            file = downloads / _file_name(url)
            try:
                download(url, file)
                archive.take(file, target, members, name=url)
            except BenchmarkError as error:
                print(error, flush=True)
                failures.append(str(error))
                file.unlink(
                    missing_ok=True
                )  # whole, but wrong; a part that broke off stays for the next time
                continue
            print(f"took {target} from {url}")
            shutil.rmtree(downloads)
            return
    raise BenchmarkError(
        f"no URL of data.urls gave {target.name}: {'; '.join(failures) or 'there are none'}; "
        "get cifar-10-python.tar.gz in another way and set CIFAR10_ARCHIVE to it"
    )


def _file_name(url: str) -> str:
    """A name that differs between URLs, and is the same the next time."""
    path = Path(urlsplit(url).path)
    stem = re.sub(r"[^A-Za-z0-9.-]", "_", path.name)[:100]
    return f"{stem}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


@contextmanager
def _alone(downloads: Path) -> Iterator[None]:
    """Keep a second fetch, or one whose dvc was killed, from writing to the same parts."""
    downloads.mkdir(parents=True, exist_ok=True)
    with (downloads / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BenchmarkError(
                f"another fetch is at work in {downloads}; wait for it, or end it"
            ) from error
        yield


if __name__ == "__main__":
    run_stage("fetch", main)
