"""metrics/same-bits.json: edits to code that were shown to change no bit of a result.

`make same-bits` adds to it and updates dvc.lock; scripts/verify.py reads it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from resnet.schema import Count, Index, NotNegative, Schema, Sha256, validate_json

PATH = Path("metrics/same-bits.json")
Code = Mapping[str, str]  # path to SHA-256


class Comparison(Schema):
    """One variant, trained side by side by two states of the code."""

    variant: str
    seed: Index
    base: str  # the commit of the code before
    before: dict[str, Sha256]  # the modules that the train stage depends on, by path
    after: dict[str, Sha256]
    backend: Literal["tensorflow", "jax"]
    device: str
    xla: bool
    steps: Count  # of each side, across a drop of the rate, a save and a resume
    values: Count  # weights, statistics and optimizer state that were compared
    largest_difference: NotNegative


class SameBits(Schema):
    """All of metrics/same-bits.json."""

    schema_version: Literal[1] = Field(1, alias="schema")
    comparisons: list[Comparison]


def read(path: Path = PATH) -> list[Comparison]:
    """The recorded comparisons; none where there is no such file. Raises BenchmarkError."""
    if not path.exists():
        return []
    return parse(path.read_text(encoding="utf-8", errors="replace"), str(path))


def parse(text: str, where: str) -> list[Comparison]:
    """The comparisons in the text of such a file; raises BenchmarkError, which names `where`."""
    return validate_json(SameBits, text, where).comparisons


def same_code(variant: str, before: Code, after: Code, known: Sequence[Comparison]) -> bool:
    """Whether code is the same, or was shown to be by a chain of comparisons of that variant."""
    reached = [dict(before)]
    for code in reached:  # grows as it is walked
        if code == after:
            return True
        for comparison in known:
            fits = comparison.variant == variant and comparison.largest_difference == 0
            if fits and comparison.before == code and comparison.after not in reached:
                reached.append(comparison.after)
    return False
