"""What the tests of the tables share."""

import pytest

from resnet.results.published import Quoted
from resnet.results.store import Store
from tests.support.checkout import ROOT


@pytest.fixture(scope="session")
def published() -> list[Quoted]:
    """The original's tables, from this checkout's metrics/published.csv."""
    return Store(ROOT / "metrics").published()
