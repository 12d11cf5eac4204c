"""report: the tables, metrics/README.md, and what the pictures over all variants show, from the metrics. `python -m stages.report`"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from resnet import metrics, params, pictures, tables
from resnet.errors import BenchmarkError, run_stage
from resnet.files import read_json, replaced, write_text
from resnet.metrics import Metrics
from resnet.params import Network

RUNS = Path("metrics/runs")
PUBLISHED = Path("metrics/published.csv")
PAGE = Path("metrics/README.md")
HISTORY = Path("metrics/plots/history")
PLOTS = Path("metrics/plots/all")


def report(networks: Mapping[str, Network], runs: Path, published: Path, page: Path) -> str:
    """Write the page and return the same tables as plain text; `networks` holds the listed variants, in order.

    Raises BenchmarkError where a listed variant's metrics file or the published figures cannot be read.
    """
    figures, left_out = read_metrics(networks, runs)
    built = tables.build(networks, figures, read_published(published))
    write_text(page, tables.markdown(built, left_out))
    return tables.plain(built, left_out)


def plot(networks: Mapping[str, Network], runs: Path, history: Path, published: Path, folder: Path) -> None:
    """Write a CSV file for each picture over all variants; one without a row where there is nothing to show."""
    figures, _ = read_metrics(networks, runs)
    histories = {name: read_histories(history / name) for name in figures}
    frames = {
        "v1": pictures.curves(1, networks, figures, histories),
        "v2": pictures.curves(2, networks, figures, histories),
        "rates": pictures.rates(networks, figures, histories),
        "speed": pictures.speed(networks, figures, read_published(published)),
        "apart": pictures.apart(networks, figures),
    }
    with replaced(folder) as partial:
        partial.mkdir(parents=True)
        for name, frame in frames.items():
            frame.to_csv(partial / f"{name}.csv", index=False, lineterminator="\n")


def read_histories(folder: Path) -> list[pd.DataFrame]:
    """A variant's epochs, a frame a seed; none where there is no such folder."""
    found = []
    for path in sorted(folder.glob("[!.]*.csv")):
        try:
            frame = pd.read_csv(path)
        except ValueError as error:
            raise BenchmarkError(f"{path}: not CSV: {' '.join(str(error).split())}") from error
        missing = [column for column in ("epoch", "learning_rate", "accuracy") if column not in frame]
        if missing:
            raise BenchmarkError(f"{path}: {missing[0]}: missing")
        found.append(frame)
    return found


def read_metrics(networks: Mapping[str, Network], runs: Path) -> tuple[dict[str, Metrics], str]:
    """The metrics of the variants that have any, and a line on the files left out, empty where there is none.

    A file of another network than params.yaml now gives its variant is left out too: it would fill a wrong row.
    """
    figures = {}
    left_out = [f"`{path}` (not among variants)" for path in sorted(runs.glob("[!.]*.json")) if path.stem not in networks]
    for name, network in networks.items():
        path = runs / f"{name}.json"
        if not path.exists():
            continue
        found = metrics.parse(read_json(path), str(path))
        if found.network == network.name:
            figures[name] = found
        else:
            left_out.append(f"`{path}` (of {found.network}, where {name} is now {network.name}: run `dvc repro evaluate@{name}`)")
    return figures, f"Left out: {', '.join(left_out)}." if left_out else ""


def read_published(path: Path) -> pd.DataFrame:
    """The original's and the papers' figures, a row a network, as strings: `-` where there is none, `NA` where there can be none."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise BenchmarkError(f"{path}: not CSV: {' '.join(str(error).split())}") from error
    if tuple(frame.columns) != tables.PUBLISHED_COLUMNS:
        raise BenchmarkError(f"{path}: must have the columns {', '.join(tables.PUBLISHED_COLUMNS)}; has {', '.join(frame.columns)}")
    return frame


def main(argv: list[str]) -> None:
    settings = params.load()
    if argv:
        raise SystemExit("usage: python -m stages.report")
    networks = {name: variant.network for name, variant in settings.variants.items()}
    print(report(networks, RUNS, PUBLISHED, PAGE))
    plot(networks, RUNS, HISTORY, PUBLISHED, PLOTS)
    print(f"\nwritten to {PAGE}, with the notes")


if __name__ == "__main__":
    run_stage("report", main)
