"""history.csv: what is written can be read, and the first bad line is named."""

import re
from pathlib import Path
from typing import Any

import pytest

from resnet.errors import BenchmarkError
from resnet.training import history
from resnet.training.history import Epoch

PLAIN = [Epoch(1, 2.25, 20.5, 1e-3, 1.5), Epoch(2, 1.75, 40.0, 1e-4, 1.25)]


@pytest.mark.parametrize(
    ("more", "columns"),
    [
        ({}, ""),
        ({"val_loss": 1.5, "val_accuracy": 45.0}, ",val_loss,val_accuracy"),
        ({"test_loss": 1.5, "test_accuracy": 45.0}, ",test_loss,test_accuracy"),
        (
            {"val_loss": 1.0, "val_accuracy": 50.0, "test_loss": 1.5, "test_accuracy": 45.0},
            ",val_loss,val_accuracy,test_loss,test_accuracy",
        ),
    ],
)
def test_only_columns_with_values_are_written(
    more: dict[str, Any], columns: str, tmp_path: Path
) -> None:
    path = tmp_path / "history.csv"
    history.write(path, [epoch._replace(**more) for epoch in PLAIN])
    text = history.read(path, 2)
    header, *rows = text.splitlines()
    assert header == f"epoch,loss,accuracy,learning_rate,seconds{columns}"
    values = "".join(f",{value}" for value in more.values())
    assert rows == [f"1,2.25,20.5,0.001,1.5{values}", f"2,1.75,40.0,0.0001,1.25{values}"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epoch,loss", "epoch,cost", "line 1: must be epoch,loss,accuracy,learning_rate,seconds"),
        ("1,2.25", "0,2.25", "line 2: must be epoch 1 and 4 numbers, is '0,2.25"),
        ("2,1.75,40.0", "2,nan,40.0", "line 3: must be epoch 2 and 4 numbers"),
        ("2,1.75,40.0", "2,1.75", "line 3: must be epoch 2 and 4 numbers"),
        ("1.25\n", "1.25", "must have one complete line for each of 2 epochs"),
        (
            "2,1.75,40.0,0.0001,1.25\n",
            "",
            "must have one complete line for each of 2 epochs, has 1",
        ),
        ("accuracy", "\udcff", "not text: "),
    ],
)
def test_damage_is_named_with_its_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    history.write(path, PLAIN)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8", errors="surrogateescape")
    with pytest.raises(BenchmarkError, match=re.escape(message)):
        history.read(path, 2)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"history\.csv: no such file; restore the file"):
        history.read(tmp_path / "history.csv", 2)
