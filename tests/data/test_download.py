"""Downloads from a real server on loopback."""

import resource
import shutil
from datetime import datetime
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from resnet.data.download import download
from resnet.errors import BenchmarkError
from tests.support.loopback import BODY, Answer, Handler, Site, serve, status


def fetched(tmp_path: Path, site: Site, timeout: float = 5, **options: Any) -> None:
    download(site.url, tmp_path / "set", timeout=timeout, backoff=0.001, **options)
    assert (tmp_path / "set").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def fails(tmp_path: Path, site: Site, message: str, timeout: float = 5, **options: Any) -> None:
    with pytest.raises(BenchmarkError) as caught:
        download(site.url, tmp_path / "set", timeout=timeout, backoff=0.001, **options)
    assert str(caught.value).startswith(f"{site.url}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "set").exists()


def test_whole(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Site(serve(ETag='"1"')) as site:
        fetched(tmp_path, site)
        fetched(tmp_path, site)  # does nothing
    assert len(site.requests) == 1
    assert site.requests[0]["Accept-Encoding"] == "identity"
    assert capfd.readouterr() == (f"downloading {site.url}\n", "")


def test_dropped_again_and_again(tmp_path: Path) -> None:
    """More lost connections than attempts, but each brought new bytes."""
    with Site(serve(most=15_000)) as site:
        fetched(tmp_path, site, attempts=2)
    assert site.ranges() == [None, *(f"bytes={start}-" for start in range(15_000, 100_000, 15_000))]


def test_connections_that_bring_nothing(tmp_path: Path) -> None:
    with Site(serve(most=60_000), serve(most=0)) as site:
        fails(tmp_path, site, "connection lost after 60,000", attempts=3)
    assert len(site.requests) == 4
    assert (tmp_path / "set@.part").read_bytes() == BODY[:60_000]


def test_the_next_call_resumes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Site(serve(most=60_000), serve(most=0), serve()) as site:
        fails(tmp_path, site, "connection lost", attempts=1)
        fetched(tmp_path, site)
    assert site.ranges()[-1] == "bytes=60000-"
    assert capfd.readouterr().out.endswith("from byte 60,000\n")


@pytest.mark.parametrize(
    "tag", [{"ETag": '"1"'}, {"Last_Modified": "Sun, 07 Jun 2009 00:00:00 GMT"}]
)
def test_a_file_that_changed_on_the_server_is_downloaded_from_its_start(
    tmp_path: Path, tag: dict[str, Any]
) -> None:
    old = b"old" * 30_000
    with Site(serve(old, most=60_000, **tag), serve(ETag='"2"', most=50_000), serve()) as site:
        fetched(tmp_path, site)
    assert [request["If-Range"] for request in site.requests] == [
        None,
        next(iter(tag.values())),
        '"2"',
    ]


@pytest.mark.parametrize(("now", "first"), [('"1/ä%"', 60_000), ('"2"', 0)])
def test_the_next_call_knows_which_version_it_has(tmp_path: Path, now: str, first: int) -> None:
    """The part that a call left behind is continued if the file is the same, else replaced."""
    version = '"1/ä%"'
    old = BODY if now == version else bytes(100_000)
    dropped = (serve(old, most=most, ETag=version) for most in (60_000, 0))
    with Site(*dropped, serve(ETag=now)) as site:
        fails(tmp_path, site, "connection lost", attempts=1)
        assert len(list(tmp_path.iterdir())) == 1
        fetched(tmp_path, site)
    assert site.requests[2]["Range"] == "bytes=60000-"
    assert site.requests[2]["If-Range"] == version
    assert site.starts == [0, 60_000, first]


def test_a_long_etag_is_no_file_name(tmp_path: Path) -> None:
    with Site(serve(most=60_000, ETag=f'"{"x" * 5000}"')) as site:
        fetched(tmp_path, site)
    assert site.ranges() == [None, "bytes=60000-"]


def test_weak_etag_is_not_asked_for(tmp_path: Path) -> None:
    with Site(serve(most=60_000, ETag='W/"1"')) as site:
        fetched(tmp_path, site)
    assert site.requests[1]["If-Range"] is None


def test_server_without_ranges(tmp_path: Path) -> None:
    with Site(serve(most=60_000), serve(ranges=False)) as site:
        fetched(tmp_path, site)
    assert len(site.requests) == 2


def test_server_without_ranges_that_drops(tmp_path: Path) -> None:
    """Bytes that were received before are no progress."""
    with Site(serve(most=60_000, ranges=False)) as site:
        fails(tmp_path, site, "connection lost after 60,000 bytes", attempts=3)
    assert len(site.requests) == 4


@pytest.mark.parametrize(
    "content_range", ["bytes 0-99999/100000", "bytes 70000-99999/100000", "nonsense", ""]
)
def test_wrong_range_starts_over(tmp_path: Path, content_range: str) -> None:
    def wrong(request: Handler) -> None:
        request.head(206, Content_Length=100, Content_Range=content_range)
        request.wfile.write(b"x" * 100)

    with Site(serve(most=60_000), wrong, serve()) as site:
        fetched(tmp_path, site)
    assert site.ranges() == [None, "bytes=60000-", None]


def test_ranges_in_pieces(tmp_path: Path) -> None:
    """A server may send less than was asked for."""

    def piece(request: Handler) -> None:
        start = int(request.headers["Range"].strip("bytes=-"))
        part = BODY[start : start + 15_000]
        request.head(
            206,
            Content_Length=len(part),
            Content_Range=f"bytes {start}-{start + len(part) - 1}/{len(BODY)}",
        )
        request.wfile.write(part)

    with Site(serve(most=60_000), piece) as site:
        fetched(tmp_path, site, attempts=1)
    assert len(site.requests) == 4


def test_range_of_unknown_total(tmp_path: Path) -> None:
    with Site(serve(most=60_000), serve(Content_Range="bytes 60000-99999/*")) as site:
        fetched(tmp_path, site)


def test_killed_before_the_rename(tmp_path: Path) -> None:
    (tmp_path / "set@.part").write_bytes(BODY)
    with Site(serve()) as site:
        fetched(tmp_path, site)
    assert site.ranges() == ["bytes=100000-"]


def test_part_longer_than_the_file(tmp_path: Path) -> None:
    (tmp_path / "set@.part").write_bytes(BODY + b"more")
    with Site(serve()) as site:
        fetched(tmp_path, site)
    assert site.ranges() == ["bytes=100004-", None]


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_busy_for_a_while(tmp_path: Path, code: int) -> None:
    with Site(
        status(code), status(code, Retry_After=0), status(code, Retry_After="soon"), serve()
    ) as site:
        fetched(tmp_path, site)


def test_always_busy(tmp_path: Path) -> None:
    with Site(status(503)) as site:
        fails(tmp_path, site, "HTTP 503 Service Unavailable", attempts=3)
    assert len(site.requests) == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_asks_to_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """It waits for a minute, but not for an hour, by a clock that stands still."""
    waits: list[float] = []
    now = 1_000_000_000
    clock = SimpleNamespace(now=lambda zone: datetime.fromtimestamp(now, zone))
    monkeypatch.setattr("resnet.data.download.datetime", clock)
    monkeypatch.setattr("resnet.data.download.time", SimpleNamespace(sleep=waits.append))

    def after(seconds: int) -> Answer:
        date = formatdate(now + seconds, usegmt=True)
        return status(503, Retry_After=seconds if form == "seconds" else date)

    with Site(after(50), serve()) as site:
        fetched(tmp_path, site)
    assert waits == [50]
    (tmp_path / "set").unlink()
    with Site(after(3600)) as site:
        fails(tmp_path, site, "HTTP 503 Service Unavailable, asks to wait 3600 s")
    assert len(site.requests) == 1


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_refused_at_once(tmp_path: Path, code: int) -> None:
    with Site(status(code)) as site:
        fails(tmp_path, site, f"HTTP {code}")
    assert len(site.requests) == 1


def test_stalls(tmp_path: Path) -> None:
    with Site(serve(most=60_000, stall=True), serve()) as site:
        fetched(tmp_path, site, timeout=2.0)
    assert site.ranges() == [None, "bytes=60000-"]


def test_never_answers(tmp_path: Path) -> None:
    with Site(lambda request: void(request.site.stopping.wait())) as site:
        fails(tmp_path, site, "no answer within 0.1 s", timeout=0.1, attempts=2)


def void(_: object) -> None:
    pass


def test_connection_refused(tmp_path: Path) -> None:
    with Site(serve()) as site:
        pass
    fails(tmp_path, site, "Connection refused", attempts=2)


def test_redirects(tmp_path: Path) -> None:
    with Site(serve()) as there, Site(status(302, Location=there.url)) as site:
        fetched(tmp_path, site)
    with Site(serve()) as site:
        site.answers = [status(301, Location=site.url)]
        (tmp_path / "set").unlink()
        fails(tmp_path, site, "Exceeded 30 redirects")


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("file:///etc/passwd", "No connection adapters"),
        ("http://[x/a", "Invalid IPv6 URL"),
    ],
)
def test_redirect_to_what_is_not_http(tmp_path: Path, location: str, reason: str) -> None:
    with Site(status(302, Location=location)) as site:
        fails(tmp_path, site, reason)


def test_a_date_that_no_calendar_has(tmp_path: Path) -> None:
    """It waits then as after an answer without a date."""
    date = f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT"
    with Site(status(503, Retry_After=date), serve()) as site:
        fetched(tmp_path, site)


def test_shorter_than_announced(tmp_path: Path) -> None:
    with Site(serve(Content_Length=100_001)) as site:
        fetched(tmp_path, site)  # asked for the last byte, the server says that there is none
    assert site.ranges() == [None, "bytes=100000-"]
    (tmp_path / "set").unlink()
    with Site(serve(Content_Length=100_001, ranges=False)) as site:
        fails(tmp_path, site, "connection lost after 100,000 bytes")


def test_longer_than_announced(tmp_path: Path) -> None:
    """A body ends after Content-Length bytes, but Content-Range can state fewer."""
    with Site(serve(most=60_000), serve(Content_Range="bytes 60000-60009/60010")) as site:
        fails(tmp_path, site, "sends more than 60,010 bytes, what it announced")
    assert not list(tmp_path.iterdir())


def test_without_length(tmp_path: Path) -> None:
    def chunked(request: Handler) -> None:
        request.protocol_version = "HTTP/1.1"
        request.head(200, Transfer_Encoding="chunked")
        request.wfile.write(f"{len(BODY):x}\r\n".encode() + BODY + b"\r\n0\r\n\r\n")

    def until_close(request: Handler) -> None:
        request.head(200)
        request.wfile.write(BODY)

    for answer in (chunked, until_close):
        with Site(answer) as site:
            fetched(tmp_path, site)
        (tmp_path / "set").unlink()
        with Site(answer) as site:
            fails(tmp_path, site, "sends more than 99,999 bytes, the limit", limit=99_999)
        assert not list(tmp_path.iterdir())


def test_absurdly_long(tmp_path: Path) -> None:
    with Site(serve(Content_Length=10**12)) as site:
        fails(
            tmp_path, site, "announces 1,000,000,000,000 bytes, more than the limit of 536,870,912"
        )
    assert not list(tmp_path.iterdir())


def test_a_length_of_5000_digits_is_no_length(tmp_path: Path) -> None:
    with Site(serve(most=60_000), serve(Content_Range=f"bytes 60000-99999/{'9' * 5000}")) as site:
        fetched(tmp_path, site)


def test_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with Site(serve()) as site:
        fails(tmp_path, site, "needs 100,000 bytes, 10 are free")


def test_disk_that_fills_during_the_download(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Site(serve()) as site:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
        try:
            with pytest.raises(OSError, match="File too large") as caught:
                fetched(tmp_path, site)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["set@.part"]  # for the next call


def test_gzip_is_left_alone(tmp_path: Path) -> None:
    """Some servers call a .tar.gz a gzip-encoded .tar."""
    with Site(serve(Content_Encoding="gzip")) as site:
        fetched(tmp_path, site)


def test_progress_is_shown_on_a_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Site(serve()) as site:
        fetched(tmp_path, site)
    assert "download: " in capfd.readouterr().err
