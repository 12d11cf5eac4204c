"""A command that runs in a checkout until it ends or is killed."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class Running:
    """A command in its own process group; its output goes to a file, which survives a kill."""

    def __init__(self, folder: Path, command: Sequence[str], env: dict[str, str]):
        self.log = folder / ".dvc" / "tmp" / "printed.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                command, cwd=folder, env=env, stdout=file, stderr=file, start_new_session=True
            )

    @property
    def printed(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def device_found(self) -> bool:
        """Whether the training has printed its device, after which it compiles."""
        return re.search(r"^on ", self.printed, re.MULTILINE) is not None

    @property
    def epochs(self) -> list[int]:
        """The epochs that have been printed in this start."""
        return [int(found) for found in re.findall(r"^epoch (\d+)/", self.printed, re.MULTILINE)]

    @property
    def epoch(self) -> int:
        """The last epoch that has been printed in this start; 0 before the first."""
        return self.epochs[-1] if self.epochs else 0

    def wait_for(self, condition: Callable[[], Any], pause: float = 0.005) -> bool:
        """Wait until the condition is true or the command ends; returns whether it is true.

        It is asked every `pause` seconds, so that the command has the processor meanwhile.
        """
        while not condition():
            if self.process.poll() is not None:
                return bool(condition())
            time.sleep(pause)
        return True

    def kill(self, group: bool = False) -> bool:
        """Send SIGKILL to the process, or to its group; returns whether that is what ended it."""
        if self.process.poll() is None:
            if group:
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        return self.process.wait() == -signal.SIGKILL
