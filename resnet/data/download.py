"""A download over HTTP that goes on where it broke, also after its process was killed."""

import os
import re
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, NoReturn

import requests
import urllib3.exceptions
from tqdm import tqdm

from resnet.errors import BenchmarkError

CHUNK = 2**18  # bytes
LIMIT = 512 * 2**20  # bytes: three times the archive of CIFAR-10
MOST_CONNECTIONS = 200  # in all: a throttled host that breaks off every minute is slow, not dead
PASSING = (408, 429, 500, 502, 503, 504)  # HTTP statuses that may be gone a moment later


def download(
    url: str,
    target: Path,
    *,
    timeout: float = 30.0,
    attempts: int = 4,
    backoff: float = 0.5,
    longest_wait: float = 60.0,
    limit: int = LIMIT,
) -> None:
    """Download `url` to `target`, which appears only when it is whole.

    What came so far lies beside it, in <target>.part, and the next call goes on from there. What the bytes are is the caller's to check.
    Gives up after `attempts` connections in a row that brought nothing new, `backoff` seconds apart at first, then twice as long each time.
    `timeout` is the longest silence, `longest_wait` the longest wait that a server may ask for, both in seconds; `limit` is in bytes.
    Raises BenchmarkError that starts with the URL.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    tag = target.with_name(f"{target.name}.tag")
    try:
        with part.open("ab") as file:
            transfer = _Transfer(url, file, tag, timeout, longest_wait, limit)
            most = transfer.size()
            print(f"downloading {url}" + (f" from byte {most:,} on" if most else ""), flush=True)
            fruitless = 0
            for _ in range(MOST_CONNECTIONS):
                try:
                    transfer.go_on()
                    break
                except _BrokeError as error:
                    fruitless = 0 if transfer.size() > most else fruitless + 1
                    if fruitless == attempts:
                        raise BenchmarkError(f"{url}: {error}") from error
                    most = max(most, transfer.size())
                    wait = (
                        backoff * 2 ** max(fruitless - 1, 0) if error.wait is None else error.wait
                    )
                time.sleep(wait)
            else:
                raise BenchmarkError(f"{url}: broke off {MOST_CONNECTIONS} times")
        part.replace(target)
        tag.unlink(missing_ok=True)
    finally:
        if part.exists() and not part.stat().st_size:
            part.unlink()
            tag.unlink(missing_ok=True)


class _BrokeError(Exception):
    """A connection failed, and another may do better, perhaps after a wait that the server asked for."""

    def __init__(self, text: str, wait: float | None = None) -> None:
        super().__init__(text)
        self.wait = wait


@dataclass(frozen=True)
class _Transfer:
    """The part of a file that is there, and how to get the rest."""

    url: str
    file: IO[bytes]  # open for appending
    tag: Path  # holds what tells this version of the file from another: an ETag or a date
    timeout: float
    longest_wait: float
    limit: int

    def size(self) -> int:
        return self.file.seek(0, os.SEEK_END)

    def go_on(self) -> None:
        """Receive what is missing over one connection; raises _BrokeError where another connection may go on."""
        have = self.size()
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self.tag.exists():
                headers["If-Range"] = self.tag.read_text(
                    encoding="latin-1"
                )  # a file that has changed since comes from its start
        with self._get(headers) as response:
            content_range = response.headers.get("Content-Range", "")
            if response.status_code == 206:
                total = self._total(content_range, have)
            elif response.status_code == 200:  # also from a server that knows no ranges
                self.file.truncate(0)
                have = 0
                self._remember(response)
                length = response.headers.get("Content-Length", "")
                total = int(length) if length.isdecimal() else None
            elif response.status_code == 416 and content_range == f"bytes */{have}":
                return  # killed between the last byte and the rename
            else:
                self._refuse(response)
            self._check_room(total, have)
            self._append(response, total, have)

    def _get(self, headers: dict[str, str]) -> requests.Response:
        try:
            return requests.get(self.url, headers=headers, stream=True, timeout=self.timeout)
        except requests.exceptions.SSLError as error:
            raise BenchmarkError(f"{self.url}: {_reason(error)}") from error
        except requests.Timeout as error:
            raise _BrokeError(f"no answer within {self.timeout:g} s") from error
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            raise _BrokeError(_reason(error)) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise BenchmarkError(f"{self.url}: {_reason(error)}") from error

    def _total(self, content_range: str, have: int) -> int | None:
        """The length of the whole file by a Content-Range, None if it does not tell."""
        told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range)
        if not told or int(told[1]) != have:
            self.file.truncate(0)
            raise _BrokeError(
                f"sent {content_range!r} where the bytes from {have:,} on were asked for"
            )
        return None if told[2] == "*" else int(told[2])

    def _remember(self, response: requests.Response) -> None:
        etag = response.headers.get("ETag", "")
        version = (
            response.headers.get("Last-Modified", "") if etag.startswith("W/") or not etag else etag
        )  # RFC 9110, 13.1.5: no weak tag
        if version:
            self.tag.write_text(version, encoding="latin-1")
        else:
            self.tag.unlink(missing_ok=True)

    def _refuse(self, response: requests.Response) -> NoReturn:
        status = f"HTTP {response.status_code} {response.reason}".strip()
        if response.status_code == 416:  # what is there is longer than the file
            self.file.truncate(0)
            raise _BrokeError(status)
        if response.status_code not in PASSING:
            raise BenchmarkError(f"{self.url}: {status}")
        wait = _retry_after(response.headers.get("Retry-After", ""))
        if wait is not None and wait > self.longest_wait:
            raise BenchmarkError(f"{self.url}: {status}, asks to wait {wait:.0f} s")
        raise _BrokeError(status, wait)

    def _check_room(self, total: int | None, have: int) -> None:
        if total is None:
            return
        if total > self.limit:
            raise BenchmarkError(
                f"{self.url}: announces {total:,} bytes, more than the limit of {self.limit:,}"
            )
        free = shutil.disk_usage(self.tag.parent).free
        if total - have > free:
            raise BenchmarkError(
                f"{self.url}: {self.tag.parent} needs {total - have:,} bytes, {free:,} are free"
            )

    def _append(self, response: requests.Response, total: int | None, have: int) -> None:
        """Write the body as it comes."""
        most = self.limit if total is None else total
        with tqdm(
            total=total,
            initial=have,
            unit="B",
            unit_scale=True,
            desc="download",
            leave=False,
            disable=None,
        ) as progress:
            try:
                # as it is on the wire: a .tar.gz that a server calls gzip-encoded stays a .tar.gz
                while chunk := response.raw.read1(CHUNK, decode_content=False):
                    have += len(chunk)
                    if have > most:
                        self.file.truncate(0)
                        raise BenchmarkError(
                            f"{self.url}: sends more than {most:,} bytes, {'what it announced' if total else 'the limit'}"
                        )
                    self.file.write(chunk)
                    progress.update(len(chunk))
            except urllib3.exceptions.ReadTimeoutError as error:
                raise _BrokeError(f"silent for {self.timeout:g} s after {have:,} bytes") from error
            except urllib3.exceptions.HTTPError as error:
                raise _BrokeError(f"broke off after {have:,} bytes") from error
        if total is not None and have < total:
            raise _BrokeError(
                f"broke off after {have:,} bytes"
            )  # a range can be shorter than what is missing


def _retry_after(value: str) -> float | None:
    """Seconds from now by a Retry-After header, which holds seconds or a date; None if it holds neither."""
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):  # no date, or one without a time zone
        return None


def _reason(error: Exception) -> str:
    """The last, telling part of the nested message of requests."""
    inner = error.args[0] if error.args else error
    return str(getattr(inner, "reason", inner)).rpartition(": ")[2] or type(error).__name__
