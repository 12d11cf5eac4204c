"""Environment variables that say how a training runs; STEPS_PER_CALL may change its last bits."""

import math
import os
from typing import NamedTuple

from resnet import backend
from resnet.errors import BenchmarkError

SAVE_SECONDS = 30.0  # of training between two states on disk


class Options(NamedTuple):
    """How a training runs."""

    save_seconds: float
    max_steps_per_call: int | None  # None leaves it to the device
    images_on_device: bool
    other_state: str  # what to do with a state saved under other conditions

    @classmethod
    def from_environment(cls) -> "Options":
        """Read them; raises BenchmarkError that names the variable."""
        text = os.environ.get("SAVE_SECONDS") or f"{SAVE_SECONDS:g}"
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not seconds >= 0:
            raise BenchmarkError(
                f"SAVE_SECONDS is {text!r}: must be seconds, or 0 to save after each epoch"
            )
        steps = os.environ.get("STEPS_PER_CALL", "")
        if steps and not (steps.isascii() and steps.isdigit() and int(steps)):
            raise BenchmarkError(f"STEPS_PER_CALL is {steps!r}: must be a whole number, at least 1")
        other = os.environ.get("OTHER_STATE", "")
        if other not in ("", "resume", "ignore"):
            raise BenchmarkError(f"OTHER_STATE is {other!r}: must be resume or ignore")
        on_device = backend.flag("IMAGES_ON_DEVICE", default=True)
        return cls(seconds, int(steps) if steps else None, on_device, other)
