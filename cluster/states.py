"""What a running training saves below .resume/ in its clone. Read on the nodes, like worker.py."""

import re
from collections.abc import Iterator
from pathlib import Path

from cluster.events import State, Superseded

STATE = re.compile(r"identity\.json|epoch(\d+)-\w+\.npz")


class States:
    """The folders below .resume/ in a clone, and what of them the driver has."""

    def __init__(self, root: Path):
        self._root = root
        self._sent = set(self._files())
        self._folders = {folder for folder, _ in self._sent}

    def new(self) -> Iterator[State | Superseded]:
        """What has changed since the last call."""
        files = self._files()
        for folder, name in files:
            if (folder, name) not in self._sent:
                try:
                    content = (self._root / folder / name).read_bytes()
                except FileNotFoundError:  # the training has replaced it since
                    continue
                self._sent.add((folder, name))
                yield State(
                    folder, name, content, [each for where, each in files if where == folder]
                )
        self._folders |= {folder for folder, _ in files}
        for folder in sorted(self._folders):
            if not (self._root / folder).exists():
                self._folders.remove(folder)
                yield Superseded(folder)

    def _files(self) -> list[tuple[str, str]]:
        """Folder and name of each state, the older ones first, and before them the identities."""
        found = []
        for folder in sorted(self._root.glob("*-seed*")):
            names = sorted((path.name for path in folder.glob("*")), key=_epochs)
            found += [(folder.name, name) for name in names if STATE.fullmatch(name)]
        return found


def _epochs(name: str) -> int:
    """The epochs of a state, by the name of its file; 0 for identity.json."""
    match = STATE.fullmatch(name)
    return int(match[1] or 0) if match else 0
