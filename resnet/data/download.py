"""A download over HTTP that resumes after a lost connection, and after its process was killed."""

import glob
import os
import re
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NoReturn, Self
from urllib.parse import quote, unquote

import requests
import urllib3.exceptions
from tqdm import tqdm

from resnet.errors import BenchmarkError
from resnet.files import names_in_errors

CHUNK = 2**18  # bytes
LIMIT = 512 * 2**20  # bytes: three times the archive of CIFAR-10
MAX_CONNECTIONS = 200  # in all: a host that drops the connection every minute is slow, not dead
MAX_VALIDATOR = 100  # characters: it is part of a file name
CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # variables of requests, in its order
TEMPORARY = (408, 429, 500, 502, 503, 504)  # HTTP statuses that may be gone a moment later


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
    """Download `url` to `target`, which appears only when it is complete.

    The bytes received so far are in <target>@<validator>.part, and the next call continues from
    there. The caller checks what the bytes are. Gives up after `attempts` connections in a row
    that brought nothing new; the first two are `backoff` seconds apart, and each wait is twice the
    one before. `timeout` is the longest silence and `longest_wait` the longest wait that a server
    may ask for, both in seconds; `limit` is in bytes. Raises BenchmarkError, with the URL first.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with names_in_errors(target), _Part(target) as part:
        transfer = _Transfer(url, part, timeout, longest_wait, limit)
        most = part.size()
        print(f"downloading {url}" + (f" from byte {most:,}" if most else ""), flush=True)
        fruitless = 0
        for _ in range(MAX_CONNECTIONS):
            try:
                transfer.resume()
                break
            except _ConnectionLost as error:
                fruitless = 0 if part.size() > most else fruitless + 1
                if fruitless == attempts:
                    raise BenchmarkError(f"{url}: {error}") from error
                most = max(most, part.size())
                wait = backoff * 2 ** max(fruitless - 1, 0) if error.wait is None else error.wait
            time.sleep(wait)
        else:
            raise BenchmarkError(f"{url}: lost the connection {MAX_CONNECTIONS} times")
        part.finish()


class _ConnectionLost(Exception):
    """A connection failed; another may succeed, after a wait where the server asks for one."""

    def __init__(self, text: str, wait: float | None = None) -> None:
        super().__init__(text)
        self.wait = wait  # seconds


class _Part:
    """The bytes received so far, in <target>@<validator>.part; removed on exit if it is empty.

    The validator, an ETag or a date, identifies the version of the file on the server. It is in
    the file name, percent-encoded, so that it cannot be lost or belong to other bytes.
    """

    def __init__(self, target: Path) -> None:
        found = sorted(target.parent.glob(f"{glob.escape(target.name)}@*.part"))
        self._target = target
        self.path = found[0] if found else self._path("")
        self._file = self.path.open("ab")

    @property
    def validator(self) -> str:
        return unquote(self.path.name.removeprefix(f"{self._target.name}@").removesuffix(".part"))

    def size(self) -> int:
        return self._file.seek(0, os.SEEK_END)

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)

    def clear(self) -> None:
        """Discard all bytes."""
        self._file.truncate(0)

    def restart(self, validator: str) -> None:
        """Discard all bytes, then record the version that the next ones belong to."""
        self.clear()
        self.path = self.path.rename(self._path(validator))

    def finish(self) -> None:
        """Rename the complete file to its final name."""
        self._file.close()  # which writes the buffered bytes
        self.path.replace(self._target)

    def _path(self, validator: str) -> Path:
        quoted = quote(validator, safe="")
        if len(quoted) > MAX_VALIDATOR:
            quoted = ""  # resumed without a check of the version; the caller checks the bytes
        return self._target.with_name(f"{self._target.name}@{quoted}.part")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self.path.exists() and not self.path.stat().st_size:
            self.path.unlink()


@dataclass(frozen=True)
class _Transfer:
    """How to receive the rest of a file; `download` describes the limits."""

    url: str
    part: _Part
    timeout: float
    longest_wait: float
    limit: int

    def resume(self) -> None:
        """Receive the missing bytes over one connection.

        Raises _ConnectionLost where another connection may continue, BenchmarkError otherwise.
        """
        have = self.part.size()
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self.part.validator:  # a server whose file has changed sends it from its start
                headers["If-Range"] = self.part.validator
        with self._get(headers) as response:
            content_range = response.headers.get("Content-Range", "")
            if response.status_code == 206:
                total = self._total(content_range, have)
            elif response.status_code == 200:  # also from a server that knows no ranges
                self.part.restart(_validator(response))
                have = 0
                total = _count(response.headers.get("Content-Length", ""))
            elif response.status_code == 416 and content_range == f"bytes */{have}":
                return  # killed between the last byte and the rename
            else:
                self._refuse(response)
            self._check_space(total, have)
            self._append(response, total, have)

    def _get(self, headers: dict[str, str]) -> requests.Response:
        try:
            return requests.get(self.url, headers=headers, stream=True, timeout=self.timeout)
        except requests.exceptions.SSLError as error:
            raise BenchmarkError(f"{self.url}: {_reason(error)}") from error
        except requests.Timeout as error:
            raise _ConnectionLost(f"no answer within {self.timeout:g} s") from error
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            raise _ConnectionLost(_reason(error)) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise BenchmarkError(f"{self.url}: {_reason(error)}") from error
        except OSError as error:  # requests does not find the file of trusted certificates
            where = next((name for name in CA_BUNDLES if os.environ.get(name)), self.url)
            raise BenchmarkError(f"{where}: {error}") from error

    def _total(self, content_range: str, have: int) -> int | None:
        """The length of the whole file by a Content-Range, None where it is unknown."""
        match = re.fullmatch(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)", content_range)
        if not match or _count(match[1]) != have:
            self.part.clear()
            raise _ConnectionLost(f"sent {content_range[:100]!r}, not the bytes from {have:,}")
        return _count(match[2])

    def _refuse(self, response: requests.Response) -> NoReturn:
        status = f"HTTP {response.status_code} {response.reason}".strip()
        if response.status_code == 416:  # the part is longer than the file
            self.part.clear()
            raise _ConnectionLost(status)
        if response.status_code not in TEMPORARY:
            raise BenchmarkError(f"{self.url}: {status}")
        wait = _retry_after(response.headers.get("Retry-After", ""))
        if wait is not None and wait > self.longest_wait:
            raise BenchmarkError(f"{self.url}: {status}, asks to wait {wait:.0f} s")
        raise _ConnectionLost(status, wait)

    def _check_space(self, total: int | None, have: int) -> None:
        if total is None:
            return
        if total > self.limit:
            announced = f"announces {total:,} bytes, more than the limit of {self.limit:,}"
            raise BenchmarkError(f"{self.url}: {announced}")
        folder = self.part.path.parent
        free = shutil.disk_usage(folder).free
        if total - have > free:
            needed = f"{folder} needs {total - have:,} bytes, {free:,} are free"
            raise BenchmarkError(f"{self.url}: {needed}")

    def _append(self, response: requests.Response, total: int | None, have: int) -> None:
        """Write the body as it arrives."""
        limit, name = (self.limit, "the limit") if total is None else (total, "what it announced")
        with tqdm(
            total=total,
            initial=have,
            unit="B",
            unit_scale=True,
            desc="download",
            leave=False,
            disable=None,  # shown on a terminal only
        ) as progress:
            try:
                # Not decoded: a .tar.gz that a server calls gzip-encoded stays a .tar.gz.
                while chunk := response.raw.read1(CHUNK, decode_content=False):
                    have += len(chunk)
                    if have > limit:
                        self.part.clear()
                        raise BenchmarkError(f"{self.url}: sends more than {limit:,} bytes, {name}")
                    self.part.write(chunk)
                    progress.update(len(chunk))
            except urllib3.exceptions.ReadTimeoutError as error:
                text = f"silent for {self.timeout:g} s after {have:,} bytes"
                raise _ConnectionLost(text) from error
            except urllib3.exceptions.HTTPError as error:
                raise _ConnectionLost(f"connection lost after {have:,} bytes") from error
        if total is not None and have < total:  # a range can be shorter than the missing bytes
            raise _ConnectionLost(f"connection lost after {have:,} bytes")


def _validator(response: requests.Response) -> str:
    """What If-Range may contain: an ETag that is not weak, else a date (RFC 9110, 13.1.5)."""
    etag = response.headers.get("ETag", "")
    strong = etag and not etag.startswith("W/")
    return etag if strong else response.headers.get("Last-Modified", "")


def _count(text: str) -> int | None:
    """A number of bytes, None where a header contains none, or an absurd one."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def _retry_after(value: str) -> float | None:
    """Seconds from now by a Retry-After header, which is a number of seconds or a date."""
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):  # no date, or one without a time zone
        return None


def _reason(error: Exception) -> str:
    """The last, telling part of the nested message of requests."""
    inner = error.args[0] if error.args else error
    return str(getattr(inner, "reason", inner)).rpartition(": ")[2] or type(error).__name__
