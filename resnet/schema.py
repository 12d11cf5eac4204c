"""The base of everything that is read from a file: exact types, no unknown keys, no infinities.

`validate` is for values that a YAML or CSV reader gave, `validate_json` for the text of a JSON file.
"""

import re
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resnet.errors import BenchmarkError

Count = Annotated[int, Field(ge=1, lt=2**31)]
Index = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Percent = Annotated[float, Field(ge=0, le=100)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Schema(BaseModel):
    """Frozen values; a key too many, a missing one or a value of another type is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


S = TypeVar("S", bound=Schema)


def validate(schema: type[S], raw: Any, where: str) -> S:
    """Check a value; raises BenchmarkError that starts with `where` and names the first bad key."""
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        raise BenchmarkError(f"{where}: {_problem(error)}") from error


def validate_json(schema: type[S], text: str, where: str) -> S:
    """Parse and check JSON; raises BenchmarkError that starts with `where` and names the first bad key."""
    try:
        return schema.model_validate_json(text)
    except ValidationError as error:
        raise BenchmarkError(f"{where}: {_problem(error)}") from error


def _problem(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "json_invalid":
        return f"not JSON: {first['ctx']['error']}"
    if first["type"] == "missing":
        return f"{key}: missing"
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    if first["type"] == "value_error":  # a check over several keys, whose text names them
        return ": ".join(filter(None, [key, str(first["ctx"]["error"])]))
    must = re.sub("^(Input|String) should", "must", first["msg"])
    return f"{key or 'it'} is {first['input']!r:.100}: {must}"
