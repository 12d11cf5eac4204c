import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from resnet.data import cifar10 as cifar
from resnet.data import synthetic
from resnet.data.cifar10 import FOLDER
from resnet.errors import BenchmarkError
from resnet.params import Data, Synthetic
from scripts.checkout import copy_checkout, environment, set_params
from stages import fetch as stage
from tests.support.archives import CONTENTS, MEMBERS, files, make_archive
from tests.support.checkout import ROOT, run
from tests.support.connections import heard, listening
from tests.support.loopback import Site, serve, status


@pytest.fixture
def packed(tmp_path: Path) -> bytes:
    return make_archive(tmp_path / "packed.tar.gz", mode="w:gz").read_bytes()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def cifar10(*urls: str) -> Data:
    return Data(
        source="cifar10", urls=urls, synthetic=Synthetic(train_images=10, test_images=10, seed=0)
    )


def fetch(data: Path, *urls: str, local: Path | str = "") -> None:
    stage.fetch(cifar10(*urls), data / FOLDER.name, str(local), MEMBERS)
    assert files(data) == {f"{FOLDER.name}/{name}": content for name, content in CONTENTS.items()}


def test_from_a_url(data: Path, packed: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with Site(serve(packed)) as site:
        fetch(data, site.url)
        assert (
            capsys.readouterr().out
            == f"downloading {site.url}\n{data / FOLDER.name}: extracted from {site.url}\n"
        )
        fetch(data, site.url)
    assert capsys.readouterr().out == f"{data / FOLDER.name}: already complete\n"
    assert len(site.requests) == 1


def test_its_connections_are_recorded(tmp_path: Path, packed: bytes) -> None:
    """So test_pipeline.py's check, that no other stage opens a connection, can fail."""
    checkout = tmp_path / "checkout"
    with Site(serve(packed)) as site:
        copy_checkout(checkout, {"data.urls": [site.url]})
        env = {
            **environment(checkout),
            **listening(tmp_path / "connections"),
            "CIFAR10_ARCHIVE": "",
        }
        done = subprocess.run(
            [sys.executable, "-m", "stages.fetch"],
            cwd=checkout,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
    assert "no URL of data.urls has" in done.stderr  # its files are not CIFAR-10's
    assert len(site.requests) == 1
    connected = [event for event in heard(tmp_path / "connections") if event.kind == "connects"]
    assert [event.what for event in connected] == [f"127.0.0.1:{site.server.server_port}"]
    assert connected[0].command.endswith("-m stages.fetch")


@pytest.mark.parametrize("change", ["other", "missing"])
def test_an_incomplete_folder_is_fetched_again(data: Path, packed: bytes, change: str) -> None:
    path = data / FOLDER.name / "test_batch"
    with Site(serve(packed)) as site:
        fetch(data, site.url)
        path.write_bytes(b"x") if change == "other" else path.unlink()
        fetch(data, site.url)
    assert len(site.requests) == 2


@pytest.mark.parametrize("source", ["there", "url", "local"])
def test_a_file_of_others_in_the_folder_is_not_deleted(
    data: Path, tmp_path: Path, packed: bytes, source: str
) -> None:
    notes = data / FOLDER.name / "notes.txt"
    local = tmp_path / "packed.tar.gz" if source == "local" else ""
    with Site(serve(packed)) as site:
        fetch(data, site.url)
        notes.write_text("mine")
        (data / FOLDER.name / ".DS_Store").touch()
        if source == "url":
            (data / FOLDER.name / "test_batch").unlink()
        before = files(data)
        with pytest.raises(BenchmarkError) as caught:
            fetch(data, site.url, local=local)
        assert str(caught.value) == f"{notes} is not a file of CIFAR-10: move it elsewhere"
        assert files(data) == before
        assert len(site.requests) == 1
        notes.unlink()
        (data / FOLDER.name / ".DS_Store").unlink()
        fetch(data, site.url, local=local)


def wrong_file() -> bytes:
    """An archive of the right members with a wrong byte in one."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in CONTENTS.items():
            info = tarfile.TarInfo(f"{FOLDER.name}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content.replace(b"test", b"tset")))
    return stream.getvalue()


def test_next_source(data: Path, packed: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file, a web page, a wrong file, a file cut short: one line each, then the next."""
    page = b"<!DOCTYPE html><title>Log in</title>" * 100
    with (
        Site(status(404)) as gone,
        Site(serve(page)) as web,
        Site(serve(wrong_file())) as wrong,
        Site(serve(packed[:-1000])) as cut,
        Site(serve(packed)) as good,
        Site(serve(packed)) as spare,
    ):
        bad = {
            gone: "HTTP 404",
            web: "not a tar archive",
            wrong: "'cifar-10-batches-py/test_batch' is not the official file",
            cut: "cut short",
        }
        fetch(data, *(site.url for site in (*bad, good, spare)))
    assert not spare.requests
    lines = [
        line for line in capsys.readouterr().out.splitlines() if not line.startswith("downloading ")
    ]
    for (site, message), line in zip(bad.items(), lines[:-1], strict=True):
        assert line.startswith(f"{site.url}: ")
        assert message in line


def test_no_source(data: Path, packed: bytes) -> None:
    """One line names each failure and the remedy; the next fetch continues the part that stays."""
    with (
        Site(serve(b"wrong")) as wrong,
        Site(serve(packed, most=50_000), status(403), serve(packed)) as breaks,
    ):
        with pytest.raises(BenchmarkError, match=r"no URL of data.urls has") as caught:
            fetch(data, wrong.url, breaks.url)
        for part in (f"{wrong.url}: not a tar", f"{breaks.url}: HTTP 403", "CIFAR10_ARCHIVE"):
            assert part in str(caught.value)
        assert "\n" not in str(caught.value)
        assert [
            len(content) for name, content in files(data).items() if name != "download/lock"
        ] == [50_000]
        fetch(data, wrong.url, breaks.url)
    assert breaks.ranges()[-1] == "bytes=50000-"


def test_a_url_or_a_path_that_is_none(data: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"there is no URL; .*CIFAR10_ARCHIVE"):
        fetch(data)
    with pytest.raises(BenchmarkError, match=r"http://\[x/a.tar.gz: .*CIFAR10_ARCHIVE"):
        fetch(data, "http://[x/a.tar.gz")
    with pytest.raises(BenchmarkError, match=r"^CIFAR10_ARCHIVE=~no-such-user/x: .*home"):
        fetch(data, local="~no-such-user/x")


def test_a_local_archive_or_folder_comes_first(data: Path, tmp_path: Path, packed: bytes) -> None:
    assert packed
    with Site(serve(packed)) as site:
        fetch(data, site.url, local=tmp_path / "packed.tar.gz")
        (data / FOLDER.name).rename(tmp_path / FOLDER.name)
        fetch(data, site.url, local=tmp_path)
        (data / FOLDER.name / "test_batch").write_bytes(b"other")
        fetch(data, site.url, local=tmp_path / FOLDER.name)
        fetch(data, site.url, local=data)  # itself
    assert not site.requests


@pytest.mark.parametrize("there", [False, True])
def test_a_bad_local_archive_is_an_error(
    data: Path, tmp_path: Path, packed: bytes, there: bool
) -> None:
    bad = tmp_path / "bad.tar.gz"
    if there:
        bad.write_bytes(packed[:-1000])
    with (
        Site(serve(packed)) as site,
        pytest.raises(BenchmarkError, match=f"CIFAR10_ARCHIVE={bad}: "),
    ):
        fetch(data, site.url, local=bad)
    assert not site.requests
    assert not (data / FOLDER.name).exists()


def test_files_that_are_there_stay_and_those_in_dvcs_cache_are_copied(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = {
        name: member._replace(md5=hashlib.md5(CONTENTS[name]).hexdigest())
        for name, member in MEMBERS.items()
    }
    cache = tmp_path / "cache"
    for name, content in CONTENTS.items():
        path = cache / members[name].md5[:2] / members[name].md5[2:]
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    target = data / FOLDER.name
    stage.fetch(cifar10(), target, "", members, lambda: cache)
    assert capsys.readouterr().out == f"{target}: copied from DVC's cache\n"
    assert files(target) == CONTENTS
    before = (target / "test_batch").stat().st_ino
    stage.fetch(cifar10(), target, "", members, lambda: cache)
    assert (target / "test_batch").stat().st_ino == before
    shutil.rmtree(target)
    path.write_bytes(b"damaged")
    with pytest.raises(BenchmarkError, match=r"there is no URL"):
        stage.fetch(cifar10(), target, "", members, lambda: cache)
    assert not target.exists()


def test_synthetic_images_replace_only_what_the_cache_has(data: Path, tmp_path: Path) -> None:
    target, cache = data / FOLDER.name, tmp_path / "cache"
    target.mkdir(parents=True)
    (target / "mine").write_bytes(b"mine")
    wanted = cifar10().model_copy(update={"source": "synthetic"})
    with pytest.raises(BenchmarkError, match=f"^{target / 'mine'} would be lost, since DVC's"):
        stage.fetch(wanted, target, cache=lambda: cache)
    assert files(data) == {f"{FOLDER.name}/mine": b"mine"}
    md5 = hashlib.md5(b"mine").hexdigest()
    (cache / md5[:2]).mkdir(parents=True)
    (cache / md5[:2] / md5[2:]).write_bytes(b"mine")
    stage.fetch(wanted, target, cache=lambda: cache)
    assert len(files(target)) == 8
    stage.fetch(wanted, target, cache=lambda: None)  # its own are no loss
    (target / "notes.txt").write_text("mine")
    with pytest.raises(BenchmarkError, match=r"notes.txt is not a file of CIFAR-10: move it"):
        stage.fetch(wanted, target, cache=lambda: None)
    assert len(files(target)) == 9


def test_files_put_in_place_by_hand_survive_dvc_and_synthetic_images(tmp_path: Path) -> None:
    """Under a real dvc, without a network: eight small files pose as the official ones."""
    checkout, target = tmp_path / "checkout", tmp_path / "checkout" / FOLDER
    changes = {
        "data.source": "synthetic",
        "data.synthetic": {"train_images": 10, "test_images": 10, "seed": 0},
        "data.urls": [],
    }
    copy_checkout(checkout, changes)
    synthetic.write(tmp_path / "official", 10, 10, seed=1)
    cifar.write_meta(tmp_path / "official" / "batches.meta", tuple("abcdefghij"), 2)
    official = files(tmp_path / "official")
    with (checkout / "resnet" / "data" / "cifar10.py").open("a") as file:
        file.write("\nOFFICIAL = {\n")
        for name, content in official.items():
            digests = [hashlib.new(kind, content).hexdigest() for kind in ("sha256", "md5")]
            file.write(f"    {name!r}: Member({len(content)}, *{digests}),\n")
        file.write("}\n")
    shutil.copytree(tmp_path / "official", target)
    assert "would be lost" in run(checkout, "dvc", "repro", "fetch", ok=False)
    assert files(target) == official
    set_params(checkout / "params.yaml", {"data.source": "cifar10"})
    assert "already complete" in run(checkout, "dvc", "repro", "fetch")
    assert files(target) == official
    set_params(checkout / "params.yaml", {"data.source": "synthetic"})
    run(checkout, "dvc", "repro", "fetch")
    assert files(target) != official
    set_params(checkout / "params.yaml", {"data.source": "cifar10"})
    assert "copied from DVC's cache" in run(checkout, "dvc", "repro", "fetch")
    assert files(target) == official


KILLED = """
import hashlib, pathlib, sys
from resnet.data.cifar10 import Member
from resnet.params import Data, Synthetic
from stages.fetch import fetch
contents = {path.name: path.read_bytes() for path in pathlib.Path("contents").iterdir()}
members = {
    name: Member(len(content), hashlib.sha256(content).hexdigest())
    for name, content in contents.items()
}
synthetic = Synthetic(train_images=10, test_images=10, seed=0)
data = Data(source="cifar10", urls=sys.argv[1:], synthetic=synthetic)
fetch(data, pathlib.Path("data/cifar-10-batches-py"), "", members)
"""


def test_killed_in_the_middle(tmp_path: Path, packed: bytes) -> None:
    """SIGKILL leaves the part, whose rest is all that the next fetch asks for.

    While the first one runs, another is refused.
    """
    (tmp_path / "contents").mkdir()
    for name, content in CONTENTS.items():
        (tmp_path / "contents" / name).write_bytes(content)
    run = [sys.executable, "-c", KILLED]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Site(
        serve(packed, most=200_000, stall=True, ETag='"1"'), serve(packed, ETag='"1"')
    ) as site:
        with subprocess.Popen(
            [*run, site.url], cwd=tmp_path, env=env, stdout=subprocess.DEVNULL
        ) as process:
            try:
                part = wait_for_part(tmp_path / "data" / "download", 190_000, process)
                with pytest.raises(
                    BenchmarkError, match=f"another fetch is using .*, process {process.pid} on"
                ):
                    fetch(tmp_path / "data", site.url)
            finally:
                process.send_signal(signal.SIGKILL)
        had = part.stat().st_size
        assert not (tmp_path / "data" / FOLDER.name).exists()
        done = subprocess.run(
            [*run, site.url], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
        )
    assert f"from byte {had:,}\n" in done.stdout
    assert site.ranges() == [None, f"bytes={had}-"]
    assert site.requests[1]["If-Range"] == '"1"'
    assert files(tmp_path / "data") == {
        f"{FOLDER.name}/{name}": content for name, content in CONTENTS.items()
    }


def wait_for_part(downloads: Path, size: int, process: subprocess.Popen[bytes]) -> Path:
    """The part of a download once it has that size; a process that ends before is an error."""
    while process.poll() is None:
        for part in downloads.glob("*.part"):
            if part.stat().st_size >= size:
                return part
        time.sleep(0.01)
    raise AssertionError(f"no part of {size} bytes in {downloads}: status {process.returncode}")


def run_stage(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, "-m", "stages.fetch"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_stage_writes_synthetic_images(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(
        text.replace("source: cifar10", "source: synthetic").replace(
            "train_images: 5000", "train_images: 50"
        )
    )
    done = run_stage(tmp_path, CIFAR10_ARCHIVE="nowhere")
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout
        == "data/cifar-10-batches-py: 50 synthetic images for training, 1,000 for testing\n"
    )
    assert len(files(tmp_path / FOLDER)) == 8


def test_stage_error_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / "empty").touch()
    done = run_stage(tmp_path, CIFAR10_ARCHIVE="empty")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == "fetch: CIFAR10_ARCHIVE=empty: not a tar archive, or a damaged one: empty file\n"
    )
