"""Tables of results of the tests' own, and their cells as read back from the page."""

from typing import Any

from resnet.results import tables
from resnet.results.published import Quoted
from resnet.results.tables import Table
from resnet.variant import Network
from tests.support.results import make_results, table_rows

LISTED = {
    "model": Network(version=1, n=3),
    "ResNet32v1": Network(version=1, n=5),
    "ResNet56v1": Network(version=1, n=9),
    "ResNet56v2": Network(version=2, n=6),
}
THREE_SEEDS = "91.50 ± 0.21 (3 seeds)"


def build(
    published: list[Quoted], networks: dict[str, Network], **changed: dict[str, Any]
) -> list[Table]:
    """The tables where the variants in `changed` have results, with these changes."""
    results = {
        name: make_results(name, network=networks[name], **changes)
        for name, changes in changed.items()
    }
    return tables.build(networks, results, published)


def rows(built: list[Table]) -> dict[str, list[dict[str, str]]]:
    """The tables as read back from the page, by title."""
    page = tables.page(built)
    return {table.title: table_rows(page, table.title) for table in built}


def cell(built: list[Table], title: str, key: str, column: str) -> str:
    return next(row[column] for row in rows(built)[title] if key in list(row.values())[:2])
