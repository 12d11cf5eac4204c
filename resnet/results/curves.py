"""Learning curves of both sides of a review in one picture, in the language of Mermaid.

GitHub draws it within a comment, so the picture needs no place to be stored. It contains numbers
alone: the names of the sides and of the variant are in the text beside it.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

COLUMNS = {"test_accuracy": "test", "val_accuracy": "held-out"}  # column to the images it is on
COLORS = {"grey": "#848d97", "blue": "#0969da"}  # before and after, on light and dark pages
HEADER = """---
config:
  xyChart:
    width: 700
    height: 300
  themeVariables:
    xyChart:
      plotColorPalette: "{palette}"
---
xychart-beta
x-axis "epoch" 1 --> {epochs}
y-axis "accuracy, %" {low} --> {high}"""


def column(histories: Sequence[pd.DataFrame]) -> str | None:
    """The column of accuracies that all histories have, on test images if they were watched."""
    return next((name for name in COLUMNS if all(name in each for each in histories)), None)


def mean_curve(histories: Sequence[pd.DataFrame], name: str) -> list[float]:
    """The mean over the seeds of a column, a value per epoch; all histories must be as long."""
    columns = [each[name].to_numpy(float) for each in histories]
    return [float(value) for value in np.mean(columns, axis=0)]


def chart(before: Sequence[float], after: Sequence[float]) -> str:
    """Two curves over the same two or more epochs, with the same axes, as a Mermaid block."""
    low, high = math.floor(min(*before, *after)), math.ceil(max(*before, *after))
    header = HEADER.format(
        palette=", ".join(COLORS.values()), epochs=len(before), low=low, high=max(high, low + 1)
    )
    lines = [f"line [{', '.join(f'{value:.2f}' for value in curve)}]" for curve in (before, after)]
    return "\n".join(["```mermaid", header, *lines, "```"])
