"""The environment variables that say how a training runs."""

import pytest

from resnet.errors import BenchmarkError
from resnet.training.options import Options


@pytest.mark.parametrize(
    ("variable", "value", "must"),
    [
        ("SAVE_SECONDS", "-1", "must be seconds, or 0 to save after each epoch"),
        ("SAVE_SECONDS", "nan", "must be seconds, or 0 to save after each epoch"),
        ("SAVE_SECONDS", "a while", "must be seconds, or 0 to save after each epoch"),
        ("STEPS_PER_CALL", "0", "must be a whole number, at least 1"),
        ("STEPS_PER_CALL", "-5", "must be a whole number, at least 1"),
        ("STEPS_PER_CALL", "1.5", "must be a whole number, at least 1"),
        ("STEPS_PER_CALL", "²", "must be a whole number, at least 1"),
        ("OTHER_STATE", "RESUME", "must be resume or ignore"),
        ("IMAGES_ON_DEVICE", "yes", "must be 0 or 1"),
    ],
)
def test_option_with_a_bad_value(
    variable: str, value: str, must: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(BenchmarkError) as caught:
        Options.from_environment()
    assert str(caught.value) == f"{variable} is {value!r}: {must}"


def test_options(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "SAVE_SECONDS": "1.5",
        "STEPS_PER_CALL": "7",
        "OTHER_STATE": "ignore",
        "IMAGES_ON_DEVICE": "0",
    }
    for variable in values:
        monkeypatch.delenv(variable, raising=False)
    assert Options.from_environment() == (30.0, None, True, "")
    for variable in values:
        monkeypatch.setenv(variable, "")
    assert Options.from_environment() == (30.0, None, True, "")
    for variable, value in values.items():
        monkeypatch.setenv(variable, value)
    assert Options.from_environment() == (1.5, 7, False, "ignore")
