"""Records which processes open which connections, by an audit hook in every Python process.

The hook is active in a command and in all its descendants. It sees the sockets of Python itself,
requests, aiohttp and DVC's remotes, but not those that C code opens.
"""

import json
from pathlib import Path
from typing import NamedTuple

HOOK = """\
import json, os, sys

def tell(kind, what):
    with open(os.environ["CONNECTIONS"], "a", encoding="utf-8") as file:
        file.write(json.dumps([kind, what, sys.orig_argv]) + "\\n")

def hear(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        if isinstance(args[1], tuple):  # the address of a Unix socket is a path
            tell("connects", f"{args[1][0]}:{args[1][1]}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        tell("resolves", str(args[0]))

sys.addaudithook(hear)
tell("starts", "")
"""


class Heard(NamedTuple):
    kind: str  # starts, connects or resolves
    what: str
    command: str


def listening(folder: Path) -> dict[str, str]:
    """The environment for a command whose connections are to be recorded, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
    return {"PYTHONPATH": str(folder), "CONNECTIONS": str(folder / "heard")}


def heard(folder: Path) -> list[Heard]:
    lines = (folder / "heard").read_text(encoding="utf-8").splitlines()
    return [Heard(kind, what, " ".join(command)) for kind, what, command in map(json.loads, lines)]
