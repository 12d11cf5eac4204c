"""What the tests of the tables share."""

import pandas as pd
import pytest

from resnet.results.store import Store
from tests.support.checkout import ROOT


@pytest.fixture(scope="session")
def published() -> pd.DataFrame:
    """The original's tables, from this checkout's metrics/published.csv."""
    return Store(ROOT / "metrics").published()
