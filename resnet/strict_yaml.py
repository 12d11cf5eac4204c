"""Reads YAML that is written by hand: the values DVC reads, or one line that says what is wrong.

The reader is DVC's own, ruamel.yaml. Plain scalars that YAML 1.1 and 1.2 read differently, except
for numbers such as 1e-3, and what `dvc exp run -S` fails to change are refused, with a line that
says how to write them.
"""

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.events import (
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    NodeEvent,
    ScalarEvent,
)

from resnet.errors import BenchmarkError
from resnet.schema import short_repr, single_line

MAX_LENGTH = 1000  # characters of a key or a value
MAX_DEPTH = 20  # of mappings and lists in each other

# YAML 1.1 and 1.2 differ in these words and in what begins like a number: 010, 1_000, 1:30, dates.
_WORD = re.compile(r"yes|no|on|off|=|<<", re.IGNORECASE)
_NUMBER_LIKE = re.compile(r"[-+]?([0-9]|\.[0-9_])")
_NUMBER = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?([eE][-+]?[0-9]+)?|\.[0-9]+)")


def read(path: Path) -> Any:
    """The values of a YAML file; raises BenchmarkError where it is missing, not YAML or unclear."""
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        depth = 0
        for event in _yaml().parse(text):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            problem = f"nested more than {MAX_DEPTH} levels deep" if depth > MAX_DEPTH else None
            if problem := problem or _unclear(event):
                raise BenchmarkError(f"{path}: {_place(text, event.start_mark)}: {problem}")
        return _yaml().load(text)
    except FileNotFoundError as error:
        raise BenchmarkError(
            f"{path}: no such file; run the stages from the root of the checkout"
        ) from error
    except OSError as error:
        raise BenchmarkError(f"{path}: {error.strerror}") from error
    except (YAMLError, ValueError, OverflowError) as error:  # bytes and escapes of no character
        raise BenchmarkError(f"{path}: not YAML: {reason(text, error)}") from error


def _yaml() -> YAML:
    return YAML(typ="safe", pure=True)  # what DVC has, since its C extension is not installed


def _unclear(event: Event) -> str | None:
    """Why a part of the file is refused, and how to write it; None where it is clear."""
    if isinstance(event, DocumentStartEvent) and (event.version or event.tags):
        return "no directives (%): remove the line"
    if isinstance(event, NodeEvent) and event.anchor is not None:
        return "no anchors (&) or aliases (*): `dvc exp run -S` changes another value or none"
    if isinstance(event, ScalarEvent | CollectionStartEvent) and event.ctag is not None:
        return f"no tags such as {short_repr(str(event.ctag))}: write the plain value"
    if not isinstance(event, ScalarEvent):
        return None
    if len(event.value) > MAX_LENGTH:
        return f"a value of {len(event.value):,} characters, more than {MAX_LENGTH:,}"
    if event.style:  # quoted, or a block: text to every reader
        return None
    number_like = _NUMBER_LIKE.match(event.value) and not _NUMBER.fullmatch(event.value)
    if not number_like and not _WORD.fullmatch(event.value):
        return None
    return (
        f"YAML readers may read {short_repr(event.value)} as different values: write true, false "
        "or a plain decimal number, or put text in quotes"
    )


def reason(text: str, error: Exception) -> str:
    """What ruamel.yaml says is wrong, as one line with the place."""
    if not isinstance(error, MarkedYAMLError):
        return single_line(" ".join(str(error).split()))
    if isinstance(error, DuplicateKeyError):
        problem = "a key that is given twice"
    else:
        problem = ", ".join(filter(None, [error.context, error.problem]))
    return f"{_place(text, error.problem_mark)}: {single_line(problem)}"


def _place(text: str, mark: StringMark) -> str:
    """The line number and the line, by which its key is found."""
    lines = text.splitlines()
    line = lines[mark.line].strip(" ") if mark.line < len(lines) else ""
    return f"line {mark.line + 1}{f', {short_repr(line)}' if line else ''}"
