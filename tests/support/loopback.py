"""A real server on loopback whose faults can be chosen, for the tests of downloads."""

import random
import threading
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

BODY = random.Random(0).randbytes(100_000)
Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    site: "Site"

    def do_GET(self) -> None:
        self.site.requests.append(self.headers)
        answers = self.site.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)
        self.close_connection = True

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Site:
    """A server on loopback that gives its answers in turn and repeats the last one."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[Message] = []
        self.starts: list[int] = []  # the first byte of each body that `serve` sent
        self.stopping = threading.Event()
        self.server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Bound", (Handler,), {"site": self})
        )
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self.url = f"http://127.0.0.1:{self.server.server_port}/set.tar.gz"

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def ranges(self) -> list[str | None]:
        return [request["Range"] for request in self.requests]


def serve(
    body: bytes = BODY,
    *,
    most: int | None = None,
    ranges: bool = True,
    stall: bool = False,
    **headers: Any,
) -> Answer:
    """A correct answer, cut after the first `most` bytes; then the end, or silence (`stall`).

    The silence lasts until the site stops: after a deadline, a slow test would see the end.
    """

    def answer(request: Handler) -> None:
        asked = request.headers["Range"]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if ranges and asked else 0
        if request.headers["If-Range"] not in (
            None,
            headers.get("ETag"),
            headers.get("Last_Modified"),
        ):
            start = 0
        if start >= len(body) and start:
            request.head(416, Content_Range=f"bytes */{len(body)}", Content_Length=0)
            return
        request.site.starts.append(start)
        range_header = (
            {"Content_Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
        )
        request.head(
            206 if start else 200,
            **{"Content_Length": len(body) - start, **range_header, **headers},
        )
        request.wfile.write(body[start:][:most])
        if stall:
            request.wfile.flush()
            request.site.stopping.wait()

    return answer


def status(code: int, **headers: object) -> Answer:
    return lambda request: request.head(code, Content_Length=0, **headers)
