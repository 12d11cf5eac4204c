"""report: the tables, metrics/README.md, and what the pictures over all variants show, from the metrics. `python -m stages.report`"""

import io
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from resnet import params
from resnet.errors import BenchmarkError, run_stage
from resnet.files import read_json, replaced, write_text
from resnet.params import Network
from resnet.results import metrics, plots, tables
from resnet.results.metrics import Metrics
from resnet.training import history

METRICS = Path("metrics")


def report(networks: Mapping[str, Network], root: Path) -> str:
    """Write metrics/README.md, and a CSV file for each picture in metrics/plots/all; returns the same tables as plain text.

    `networks` holds the listed variants, in order; `root` is the folder metrics/. Where there is nothing to show, a picture's file has
    a header alone. Raises BenchmarkError where what evaluate wrote of a listed variant, or published.csv, cannot be read; nothing
    is written then.
    """
    figures, left_out = read_metrics(networks, root / "runs")
    published = read_published(root / "published.csv")
    histories = {
        name: read_histories(root / "plots" / "history" / name, found)
        for name, found in figures.items()
    }
    counts = {
        name: read_confusion(root / "plots" / "confusion" / f"{name}.csv")
        for name in list(figures)[:1]
    }
    built = tables.build(networks, figures, published)
    frames = {
        "v1": plots.curves(1, networks, figures, histories),
        "v2": plots.curves(2, networks, figures, histories),
        "rates": plots.rates(networks, figures, histories),
        "speed": plots.speed(networks, figures, published),
        "apart": plots.apart(networks, figures),
        "confusion": plots.confusion(networks, figures, counts),
    }
    with replaced(root / "plots" / "all") as folder:
        folder.mkdir(parents=True)
        for name, frame in frames.items():
            frame.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
        write_text(root / "README.md", tables.markdown(built, left_out))
    return tables.plain(built, left_out)


def read_histories(folder: Path, figures: Metrics) -> list[pd.DataFrame]:
    """A variant's epochs, a frame for each of its runs; none where there is no such folder."""
    if not folder.exists():
        return []
    return [
        pd.read_csv(io.StringIO(history.read(folder / f"seed{run.seed}.csv", figures.epochs)))
        for run in figures.runs
    ]


def read_confusion(path: Path) -> pd.DataFrame:
    """A variant's confusion counts, a row for each actual and predicted class; none where there is no such file."""
    frame = (
        _read_csv(path, list(plots.CONFUSION[1:]))
        if path.exists()
        else pd.DataFrame(columns=plots.CONFUSION[1:])
    )
    for number, count in enumerate(frame["images"], start=2):
        if not count.isdecimal():
            raise BenchmarkError(f"{path}, line {number}: images is {count!r}: must be a count")
    return frame


def read_metrics(networks: Mapping[str, Network], runs: Path) -> tuple[dict[str, Metrics], str]:
    """The metrics of the variants that have any, and a line on the files left out, empty where there is none.

    A file of another network than params.yaml now gives its variant is left out too: it would fill a wrong row.
    """
    figures = {}
    left_out = [
        f"`{path}` (not among variants)"
        for path in sorted(runs.glob("[!.]*.json"))
        if path.stem not in networks
    ]
    for name, network in networks.items():
        path = runs / f"{name}.json"
        if not path.exists():
            continue
        found = metrics.parse(read_json(path), str(path))
        if found.network == network.name:
            figures[name] = found
        else:
            left_out.append(
                f"`{path}` (of {found.network}, where {name} is now {network.name}: run `dvc repro evaluate@{name}`)"
            )
    return figures, f"Left out: {', '.join(left_out)}." if left_out else ""


def read_published(path: Path) -> pd.DataFrame:
    """The original's and the papers' figures, a row a network, as strings: `-` where there is none, `NA` where there can be none."""
    return _read_csv(path, list(tables.PUBLISHED_COLUMNS))


def _read_csv(path: Path, columns: list[str]) -> pd.DataFrame:
    """A CSV file with these columns, all as strings."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise BenchmarkError(f"{path}: not CSV: {' '.join(str(error).split())}") from error
    if list(frame.columns) != columns:
        raise BenchmarkError(
            f"{path}: must have the columns {', '.join(columns)}; has {', '.join(frame.columns)}"
        )
    return frame


def main(argv: list[str]) -> None:
    settings = params.load()
    if argv:
        raise SystemExit("usage: python -m stages.report")
    networks = {name: variant.network for name, variant in settings.variants.items()}
    print(report(networks, METRICS))
    print(f"\nwritten to {METRICS}/README.md, with the notes")


if __name__ == "__main__":
    run_stage("report", main)
