"""The base of everything that is read from a file: exact types, no unknown keys, no infinities.

`validate` is for the values of a YAML or CSV reader, `validate_json` for the text of a JSON file.
Both name every problem in one line, unknown keys first.
"""

import difflib
import re
import reprlib
from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from resnet.errors import BenchmarkError

Count = Annotated[int, Field(ge=1, lt=2**31)]
Index = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Percent = Annotated[float, Field(ge=0, le=100)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _exact_int(value: Any) -> Any:
    if type(value) is not int:
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


EXACT_INT = BeforeValidator(_exact_int)  # for a Literal, where true and 1.0 would pass as 1

PROBLEM_LENGTH = 400  # characters of one problem
MESSAGE_LENGTH = 800  # characters of all of them


class Schema(BaseModel):
    """Frozen values; an unknown key, a missing one or a value of another type is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


S = TypeVar("S", bound=Schema)


class Problem(NamedTuple):
    """One thing wrong with a value: where it is in the value, and the text that says so."""

    location: tuple[int | str, ...]
    text: str
    unknown_key: bool = False


def validate(schema: type[S], raw: Any, where: str) -> S:
    """Check a value; raises a BenchmarkError that starts with `where` and names every problem."""
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        raise BenchmarkError(f"{where}: {message(_problems(schema, error))}") from error


def validate_json(schema: type[S], text: str, where: str) -> S:
    """Parse and check JSON; raises a BenchmarkError as `validate` does."""
    try:
        return schema.model_validate_json(text)
    except ValidationError as error:
        raise BenchmarkError(f"{where}: {message(_problems(schema, error))}") from error


def check(schema: type[S], raw: Any, where: str = "") -> tuple[S | None, list[Problem]]:
    """The checked value, or None and its problems; `where` is put in front of their keys."""
    try:
        return schema.model_validate(raw), []
    except ValidationError as error:
        return None, _problems(schema, error, where)


def message(found: Iterable[Problem]) -> str:
    """All problems in one printable line of bounded length, unknown keys first, each one once."""
    texts = list(dict.fromkeys(p.text for p in sorted(found, key=lambda p: not p.unknown_key)))
    line = ""
    for number, text in enumerate(texts):
        longer = "; ".join(filter(None, [line, single_line(text)]))
        if len(longer) > MESSAGE_LENGTH:
            return f"{line}; and {len(texts) - number} more"
        line = longer
    return line


def unknown_key(key: str, known: Iterable[str], where: str = "") -> Problem:
    """The problem of a key that is not among the known ones, with the nearest of those."""
    known = list(known)
    lower = {name.lower(): name for name in reversed(known)}
    near = difflib.get_close_matches(key.lower(), lower, n=1)
    hint = f"did you mean {lower[near[0]]}?" if near else f"allowed: {', '.join(known)}"
    name = ".".join(filter(None, [where, key]))
    return Problem((key,), f"{name}: unknown key{f'; {hint}' if known else ''}", unknown_key=True)


def short_repr(value: Any) -> str:
    """The repr of a value, shortened where it is long or deep."""
    short = reprlib.Repr()
    short.maxlevel, short.maxlist, short.maxdict = 3, 10, 10
    short.maxstring = short.maxlong = short.maxother = 100
    return short.repr(value)


def single_line(text: str, length: int = PROBLEM_LENGTH) -> str:
    """The text as one line, what is not printable escaped, a long one cut in its middle."""
    line = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
    half = length // 2 - 3
    return line if len(line) <= length else f"{line[:half]} ... {line[-half:]}"


def _problems(schema: type[Schema], error: ValidationError, where: str = "") -> list[Problem]:
    return [_problem(schema, details, where) for details in error.errors()]


def _problem(schema: type[Schema], details: Any, where: str) -> Problem:
    kind, location = details["type"], details["loc"]
    key = ".".join(filter(None, [where, *map(str, location)]))
    if kind == "json_invalid":
        return Problem(location, f"not JSON: {details['ctx']['error']}")
    if kind == "missing":
        return Problem(location, f"{key}: missing")
    if kind in ("extra_forbidden", "invalid_key"):
        *owner, last = location
        found = unknown_key(
            str(last),
            _known_keys(schema, owner),
            ".".join(filter(None, [where, *map(str, owner)])),
        )
        return found._replace(location=location)
    if kind == "value_error":  # a check over several keys, which its text names
        return Problem(location, ": ".join(filter(None, [key, str(details["ctx"]["error"])])))
    must = re.sub(r"^\w+ should", "must", details["msg"])
    if kind in ("tuple_type", "list_type"):
        must = "must be a list"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        keys = ", ".join(_known_keys(schema, location))
        must = f"must be a mapping{f' with the keys {keys}' if keys else ''}"
    return Problem(location, f"{key or 'it'} is {short_repr(details['input'])}: {must}")


def _known_keys(schema: type[Schema], location: Iterable[int | str]) -> list[str]:
    """The keys allowed at a location of a schema; none where any key is."""
    schemas = [schema]
    for step in location:
        fields = [
            field
            for candidate in schemas
            for name, field in candidate.model_fields.items()
            if step in (name, field.alias)
        ]
        if fields:  # else a list's index or a dict's key, which leads to the same schemas
            schemas = [inner for field in fields for inner in _schemas_in(field.annotation)]
    return [
        field.alias or name
        for candidate in schemas
        for name, field in candidate.model_fields.items()
    ]


def _schemas_in(annotation: Any) -> list[type[Schema]]:
    """The schemas that an annotation such as `tuple[Drop, ...]` or `Device | None` names."""
    if isinstance(annotation, type) and issubclass(annotation, Schema):
        return [annotation]
    return [schema for inner in get_args(annotation) for schema in _schemas_in(inner)]
