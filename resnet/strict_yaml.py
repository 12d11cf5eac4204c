"""YAML from a person's hand: what it means without a doubt, or one line that says what is wrong."""

import re
import reprlib
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from resnet.errors import BenchmarkError

LONGEST = 1000  # characters of a key or a value
LINE = 500  # of an error


def read(path: Path) -> Any:
    """What a YAML file holds; raises BenchmarkError where it is missing or no YAML."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)
    except FileNotFoundError as error:
        raise BenchmarkError(
            f"{path}: no such file; run the stages from the root of the checkout"
        ) from error
    except OSError as error:
        raise BenchmarkError(f"{path}: {error.strerror}") from error
    except RecursionError as error:
        raise BenchmarkError(f"{path}: not YAML: nested too deeply") from error
    except (
        yaml.YAMLError,
        ValueError,
        OverflowError,
    ) as error:  # the last two of bytes and escapes that are no character
        raise BenchmarkError(f"{path}: not YAML: {line(' '.join(str(error).split()))}") from error


def shown(value: Any) -> str:
    """A value as Python writes it, a long or deep one shortened."""
    short = reprlib.Repr()
    short.maxlevel, short.maxlist, short.maxdict = 4, 20, 10
    short.maxstring = short.maxlong = short.maxother = 100
    return short.repr(value)


def line(text: str) -> str:
    """A text as one line of at most LINE characters, cut out of its middle; what does not print is escaped."""
    one = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
    return one if len(one) <= LINE else f"{one[: LINE // 2]} ... {one[-LINE // 2 :]}"


class Loader(yaml.SafeLoader):
    """YAML as DVC reads it: a key given twice is an error, and what YAML 1.1 and 1.2 read as different values stays a text.

    1e-3 is a number to both DVC and this, while 010, 1:30, 1_000, yes and 2026-01-31 are texts here, which no key takes for a number.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.ScalarNode) and len(node.value) > LONGEST:
            raise _refusal(
                f"a value of {len(node.value):,} characters, more than {LONGEST:,}", node
            )
        try:
            return super().construct_object(node, deep=deep)
        except (
            ValueError,
            ArithmeticError,
            LookupError,
            AttributeError,
        ) as error:  # of PyYAML, on !!int x and !!timestamp x
            raise _refusal(f"no value for its tag {node.tag!r}", node) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        doubled = [key for i, key in enumerate(keys) if key in keys[:i]]
        if doubled:
            raise _refusal(f"{shown(doubled[0])} is given twice", node)
        return super().construct_mapping(node, deep=deep)


def _refusal(text: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, text, node.start_mark)


_NUMBER = r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?"
Loader.yaml_implicit_resolvers = {}  # without PyYAML's own, which are those of YAML 1.1
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", rf"{_NUMBER}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.0123456789")),
):
    Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first
    )
