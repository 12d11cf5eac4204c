"""Validation: every problem in one line, unknown keys first, with the nearest known key."""

from typing import Annotated, Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from pydantic import Field

from resnet.errors import BenchmarkError
from resnet.schema import (
    MESSAGE_LENGTH,
    PROBLEM_LENGTH,
    Count,
    Problem,
    Schema,
    message,
    short_repr,
    single_line,
    validate,
    validate_json,
)
from tests.support.fuzz import fuzz


class Device(Schema):
    name: str
    memory: Count


class Record(Schema):
    schema_version: Annotated[int, Field(alias="schema")]
    batch_size: Count
    learning_rate: float
    device: Device | None = None
    starts: tuple[Device, ...] = ()
    checkpoints: dict[str, Device] | None = None
    accelerator: Annotated[Device | None, Field(alias="gpu")] = None


GOOD: dict[str, Any] = {"schema": 1, "batch_size": 32, "learning_rate": 0.1}


def error_of(changes: dict[str, Any]) -> str:
    with pytest.raises(BenchmarkError) as caught:
        validate(Record, {**GOOD, **changes}, "a.json")
    return str(caught.value)


def test_good_values() -> None:
    device = {"name": "cpu", "memory": 1}
    record = validate(Record, {**GOOD, "device": device, "starts": (device,)}, "a.json")
    assert record.batch_size == 32
    assert record.device == record.starts[0] == Device(name="cpu", memory=1)
    text = '{"schema": 1, "batch_size": 32, "learning_rate": 0.1}'
    assert validate_json(Record, text, "a.json") == validate(Record, GOOD, "a.json")


def test_every_problem_is_named_unknown_keys_first() -> None:
    assert error_of({"learning_rate": "0.1", "batch_size": 0, "batchsize": 64, "x": 1}) == (
        "a.json: batchsize: unknown key; did you mean batch_size?; "
        "x: unknown key; allowed: schema, batch_size, learning_rate, device, starts, checkpoints, "
        "gpu; "
        "batch_size is 0: must be greater than or equal to 1; "
        "learning_rate is '0.1': must be a valid number"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"device": {"nam": "cpu", "name": "cpu", "memory": 1}},
            "device.nam: unknown key; did you mean name?",
        ),
        (
            {"starts": ({"name": "cpu", "memry": 1},)},
            "starts.0.memry: unknown key; did you mean memory?",
        ),
        (
            {"checkpoints": {"last": {"names": "cpu"}}},
            "checkpoints.last.names: unknown key; did you mean name?",
        ),
        ({"gpu": {"nme": "a"}}, "gpu.nme: unknown key; did you mean name?; gpu.name: missing"),
        ({"BATCH_SIZE": 1}, "BATCH_SIZE: unknown key; did you mean batch_size?"),
        ({"shcema": 1}, "shcema: unknown key; did you mean schema?"),
        ({"schema_version": 1}, "schema_version: unknown key"),
        ({1: 2}, "1: unknown key; allowed: schema, "),
        ({"device": 3}, "device is 3: must be a mapping with the keys name, memory"),
        ({"checkpoints": 3}, "checkpoints is 3: must be a mapping"),
        ({"starts": None}, "starts is None: must be a list"),
        ({"device": {"name": "cpu"}}, "device.memory: missing"),
        ({"learning_rate": float("nan")}, "learning_rate is nan: must be a finite number"),
        ({"batch_size": True}, "batch_size is True: must be a valid integer"),
        ({"batch_size": 2**31}, "batch_size is 2147483648: must be less than 2147483648"),
    ],
)
def test_a_problem_has_its_key_and_what_would_be_right(changes: dict[str, Any], said: str) -> None:
    assert error_of(changes).startswith(f"a.json: {said}")


@pytest.mark.parametrize("raw", [None, 3, [], "text"])
def test_what_is_no_mapping(raw: Any) -> None:
    with pytest.raises(BenchmarkError) as caught:
        validate(Record, raw, "a.json")
    keys = "schema, batch_size, learning_rate, device, starts, checkpoints, gpu"
    assert str(caught.value) == f"a.json: it is {raw!r}: must be a mapping with the keys {keys}"


def test_what_is_no_json() -> None:
    with pytest.raises(BenchmarkError, match=r"^a.json: not JSON: EOF while parsing"):
        validate_json(Record, "{", "a.json")
    with pytest.raises(BenchmarkError, match=r"^a.json: schema: missing; batch_size: missing; "):
        validate_json(Record, "{}", "a.json")


def test_many_problems_are_counted() -> None:
    found = [Problem((), f"key{i} is wrong: {'x' * 90}") for i in range(30)]
    text = message(found)
    assert text.startswith("key0 is wrong: xxx")
    named = text.count(" is wrong")
    assert text.endswith(f"; and {30 - named} more")
    assert MESSAGE_LENGTH - 120 < len(text) < MESSAGE_LENGTH + 20


def test_a_problem_found_twice_is_named_once() -> None:
    assert message([Problem((), "a"), Problem(("b",), "b"), Problem((), "a")]) == "a; b"


@fuzz
@given(st.lists(st.tuples(st.text(max_size=1200), st.booleans()), min_size=1, max_size=8))
def test_messages_are_printable_and_short(found: list[tuple[str, bool]]) -> None:
    text = message(Problem((), problem, unknown) for problem, unknown in found)
    assert text.isprintable()
    assert len(text) <= MESSAGE_LENGTH + 20


@fuzz
@given(st.text(max_size=1200))
def test_single_line_keeps_what_is_short_and_printable(text: str) -> None:
    line = single_line(text)
    assert line.isprintable()
    assert len(line) <= PROBLEM_LENGTH
    if text.isprintable() and len(text) <= PROBLEM_LENGTH:
        assert line == text


def test_short_repr() -> None:
    assert short_repr([1, "a"]) == "[1, 'a']"
    assert len(short_repr("x" * 10_000)) <= 100
    assert len(short_repr(10**4000)) <= 100
    deep: list[Any] = []
    for _ in range(50):
        deep = [deep]
    assert short_repr(deep) == "[[[[...]]]]"
