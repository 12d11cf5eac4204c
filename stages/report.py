"""Render the tables and the plots.

Reads what evaluate wrote below metrics/, metrics/published.csv, and the templates in .dvc/plots/.
Writes metrics/README.md, metrics/results.csv with a row per seed, metrics/plots/all/ with the
plots' data, and metrics/pictures/, and prints the tables.
"""

import argparse
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import pandas as pd

from resnet import params
from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.results import pictures, plots, rows, score_tables, tables
from resnet.results.metrics import Results
from resnet.results.stale import is_stale
from resnet.results.store import METRICS, PAGE, PICTURES, PLOTS, ROWS, Store
from resnet.variant import Network


def report(
    networks: Mapping[str, Network], store: Store, stale: Callable[[str, Results], bool]
) -> str:
    """Write the tables, the rows and the plots; returns the tables as plain text.

    `networks` has the listed variants, in order; results of others follow them. `stale` says
    whether results are marked as stale. Where a plot has nothing to show, its file has only a
    header, and there is no picture. Raises BenchmarkError where results or published.csv cannot be
    read; nothing is written then.
    """
    results = read_results(networks, store, stale)
    # results are in the row of the network that was trained, whatever params.yaml says now
    networks = {**networks, **{name: each.network for name, each in results.items()}}
    quoted = store.published()
    histories = {name: store.histories(name, each) for name, each in results.items()}
    counts = {name: store.confusion(name, each) for name, each in list(results.items())[:1]}
    built = tables.build(networks, results, quoted, store.published_results())
    curves = {
        f"learning-curves/{name}": plots.curves(name, each, histories[name])
        for name, each in results.items()
    }
    data = {
        PLOTS / f"{name}.csv": _csv(frame)
        for name, frame in {
            **curves,
            "rates": plots.rates(results, histories),
            "speed": plots.speed(results, quoted),
            "not_comparable": plots.not_comparable(results),
            "confusion": plots.confusion(results, counts),
        }.items()
    }
    drawn = pictures.draw({METRICS / path: text for path, text in data.items()})
    page = tables.page([*built, *score_tables.build(results)], drawn)
    store.write_report(
        {
            PAGE: page,
            ROWS: _csv(rows.frame(results)),
            **data,
            **{PICTURES / name: svg for name, svg in drawn.items()},
        }
    )
    return tables.plain(built)


def _csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False, lineterminator="\n")


def read_results(
    listed: Collection[str], store: Store, stale: Callable[[str, Results], bool]
) -> dict[str, Results]:
    """All results in metrics/, those of the listed variants first, with the stale ones marked."""
    found = {}
    for name in dict.fromkeys([*listed, *store.variants()]):
        try:
            results = store.results(name)
        except BenchmarkError as error:
            if name in listed:
                raise
            raise BenchmarkError(
                f"{error}; {name} is not listed: list it in params.yaml, or delete its results"
            ) from error
        if results:
            found[name] = replace(results, stale=stale(name, results))
    return found


def main(_arguments: argparse.Namespace) -> None:
    settings = params.load()
    networks = {name: variant.network for name, variant in settings.variants.items()}
    print(report(networks, Store(), lambda name, results: is_stale(name, results, settings)))
    print(f"\nwritten to {METRICS}/README.md, with further scores, plots and notes")


if __name__ == "__main__":
    run_stage(main, command_parser("stages.report", __doc__))
