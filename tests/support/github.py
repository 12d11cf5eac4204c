"""The part of GitHub's REST API that a comment needs, on loopback, and the steps of a workflow."""

import json
import os
import re
import subprocess
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import yaml

from scripts.checkout import environment
from tests.support.checkout import AUTHOR, ROOT

BOT = "github-actions[bot]"
PATH = re.compile(r"/repos/our/project/issues/(comments/(\d+)|7/comments(\?.*)?)")


def load(name: str) -> dict[Any, Any]:
    """A workflow of this project."""
    path = ROOT / ".github" / "workflows" / f"{name}.yml"
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def run_step(step: Mapping[str, Any], cwd: Path, env: Mapping[str, str]) -> tuple[int, str]:
    """Run a step's script as a runner does; returns its exit status and both streams.

    The step's own `env` may contain expressions, so the caller gives their values in `env`.
    """
    script = ["bash", "--noprofile", "--norc", "-e"]
    script += ["-o", "pipefail"] if step.get("shell") == "bash" else []
    plain = {key: text for key, text in step.get("env", {}).items() if "${{" not in text}
    assert step.get("env", {}).keys() - plain.keys() <= env.keys()
    done = subprocess.run(
        [*script, "-c", step["run"]],
        cwd=cwd,
        env={**environment(cwd), **AUTHOR, **plain, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


class Comments:
    """A server on loopback with the comments of pull request 7 of our/project, 100 a page."""

    def __init__(self, *comments: tuple[str, str]) -> None:
        """`comments` are authors and texts."""
        self.comments: list[dict[str, Any]] = [
            {"id": number, "user": {"login": author}, "body": text, "html_url": f"page/{number}"}
            for number, (author, text) in enumerate(comments)
        ]
        self.requests: list[str] = []
        self.tokens: set[str | None] = set()
        handler = type("Bound", (_Handler,), {"site": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What a runner sets, and the token of the job."""
        return {
            "GITHUB_API_URL": self.url,
            "GITHUB_REPOSITORY": "our/project",
            "GITHUB_TOKEN": "secret",
            "RUN_URL": "https://example.com/run",
            "no_proxy": "127.0.0.1",
        }


class _Handler(BaseHTTPRequestHandler):
    site: Comments

    def do_GET(self) -> None:
        query = dict(pair.split("=") for pair in self.path.partition("?")[2].split("&"))
        size, page = int(query["per_page"]), int(query["page"])
        self._answer(lambda _: self.site.comments[size * (page - 1) : size * page])

    def do_POST(self) -> None:
        def create(content: Any) -> Any:
            number = len(self.site.comments)
            comment = {"id": number, "user": {"login": BOT}, "html_url": f"page/{number}"}
            self.site.comments.append({**comment, **content})
            return self.site.comments[-1]

        self._answer(create)

    def do_PATCH(self) -> None:
        def update(content: Any) -> Any:
            comment = self.site.comments[int(self.path.rpartition("/")[2])]
            comment |= content
            return comment

        self._answer(update)

    def _answer(self, act: Any) -> None:
        self.site.requests.append(self.command)
        self.site.tokens.add(self.headers["Authorization"])
        length = int(self.headers["Content-Length"] or 0)
        content = json.loads(self.rfile.read(length) or "null")
        valid = PATH.fullmatch(self.path) and len((content or {}).get("body", "")) <= 65_536
        self.send_response(200 if valid else 422)
        self.end_headers()
        answer = act(content) if valid else {"message": "Validation Failed"}
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: Any) -> None:
        pass


def runner_environment(folder: Path, **more: str) -> dict[str, str]:
    """The variables that a runner sets, with programs in `folder` first on PATH."""
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    return {"PATH": path, "GITHUB_STEP_SUMMARY": str(folder / "summary.md"), **more}
