"""Render the tables and the data of the plots over all variants.

Reads what evaluate wrote below metrics/, and metrics/published.csv. Writes metrics/README.md and
metrics/plots/all/, and prints the tables.
"""

import argparse
from collections.abc import Mapping

from resnet import params
from resnet.errors import command_parser, run_stage
from resnet.results import plots, tables
from resnet.results.metrics import Results
from resnet.results.store import METRICS, Store
from resnet.variant import Network


def report(networks: Mapping[str, Network], store: Store) -> str:
    """Write metrics/README.md and metrics/plots/all/; returns the same tables as plain text.

    `networks` has the listed variants, in order. Where a plot has nothing to show, its file has
    only a header. Raises BenchmarkError where the results of a listed variant or published.csv
    cannot be read; nothing is written then.
    """
    results, left_out = read_results(networks, store)
    published = store.published()
    histories = {name: store.histories(name, each) for name, each in results.items()}
    counts = {name: store.confusion(name) for name in list(results)[:1]}
    built = tables.build(networks, results, published)
    frames = {
        "v1": plots.curves(1, results, histories),
        "v2": plots.curves(2, results, histories),
        "rates": plots.rates(results, histories),
        "speed": plots.speed(results, published),
        "not_comparable": plots.not_comparable(results),
        "confusion": plots.confusion(results, counts),
    }
    store.write_report(tables.page(built, left_out), frames)
    return tables.plain(built, left_out)


def read_results(networks: Mapping[str, Network], store: Store) -> tuple[dict[str, Results], str]:
    """The results of the listed variants, and a line on the files left out, or an empty string.

    Results of another network than params.yaml has for the variant are left out, too: they would
    be in the wrong row.
    """
    left_out = [
        f"`{store.metrics_path(name)}` (not among variants)"
        for name in store.variants()
        if name not in networks
    ]
    found = {}
    for name, network in networks.items():
        results = store.results(name)
        if results is None:
            continue
        if results.network == network:
            found[name] = results
        else:
            left_out.append(
                f"`{store.metrics_path(name)}` (of {results.network.name}, but {name} is now "
                f"{network.name}: run `dvc repro evaluate@{name}`)"
            )
    return found, f"Left out: {', '.join(left_out)}." if left_out else ""


def main(_arguments: argparse.Namespace) -> None:
    settings = params.load()
    networks = {name: variant.network for name, variant in settings.variants.items()}
    print(report(networks, Store()))
    print(f"\nwritten to {METRICS}/README.md, with the notes")


if __name__ == "__main__":
    run_stage(main, command_parser("stages.report", __doc__))
