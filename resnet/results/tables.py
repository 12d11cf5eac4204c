"""The tables: the original's two and the papers' with ours beside them, as Markdown for the repository and as text for a terminal."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from resnet.params import Network
from resnet.results.metrics import Metrics

PUBLISHED_COLUMNS = (
    "network",
    "version",
    "n",
    "original_accuracy",
    "original_seconds_per_epoch",
    "paper_accuracy",
    "source",
)
NONE = "–"  # nothing was trained, or nothing published
NOT_BUILDABLE = "NA"  # as the original marks a depth that its formula does not give
ON_TEST_SET = "†"

TITLE = "CIFAR-10 ResNet: the tables"
RENDERED = "Rendered by `dvc repro report` (`python -m stages.report`); do not edit by hand."
READING = (
    "Accuracies are percentages over all test images, from the saved checkpoints. An accuracy with (n=3) is the mean ± the sample "
    "standard deviation of three runs that differ in their seed; (n=1) is one run and has no spread. The column n is the network's: "
    "its depth is 6n+2 in v1, 9n+2 in v2. Sampling alone moves an accuracy near 92 % on 10,000 images by 0.27 points (1σ).",
    "s/epoch is the median over the epochs after the first, and then over the seeds, on the device of the row. Parameters are all of a "
    f"network's, trainable or not. {NONE}: no figure. {NOT_BUILDABLE}, as in the original: no n gives such a depth, or the paper has no "
    "such network, or one that is none of ours [2].",
    "The original is the Keras example cifar10_resnet.py. The papers are He et al. 2015, arXiv:1512.03385, and He et al. 2016, "
    "arXiv:1603.05027; their figures are as the original quotes them, in tables of their own, since their recipe is another. A figure "
    "of ours stands only beside those of its network and recipe, or under Further variants. [1] to [9] are the notes at the end.",
    "Where they come from: ours from `metrics/runs/<variant>.json`, the original's and the papers' from `metrics/published.csv`.",
)
NOTES = (
    "The original's v2 is wider than the network of He et al. 2016: its bottlenecks have 16, 64 and 128 channels, the paper's 16, 32 "
    "and 64 (KaimingHe/resnet-1k-layers, resnet-pre-act.lua). ResNet164v2 has 4.94 M trainable parameters here and 1.70 M there, "
    "ResNet1001v2 30.3 M and 10.3 M.",
    "No network of ours, or not one statistic. 93.63 (ResNet110v2) is a net of basic blocks, where v2 has bottlenecks here; 94.07 "
    "(ResNet164v1) is a net of bottlenecks, where v1 has basic blocks. 93.39±.16 is the mean of five runs, the best of which had "
    "93.57. 95.08±.14 puts a median beside the spread of a mean, which is 95.11±.14.",
    "One run each, at the epoch that did best on the test set (keras-team/keras#10632). The v1 figures date from before the original "
    "dropped batch normalization from its shortcuts (#8231, #8981).",
    "The learning rate drops where `epoch > 80` and so on, with epochs counted from 0: 1e-3 for 81 epochs, 1e-4 for 40, 1e-5 for 40, "
    "1e-6 for 20, 5e-7 for 19. Recipe original, as it comes, does the same.",
    "ReduceLROnPlateau changed nothing in the original: its scheduler set the rate anew each epoch (#8829). Recipe original, as it "
    "comes, has it off.",
    "`l2(1e-4)` adds 1e-4·Σw² to the loss, which has the gradient of a weight decay of 2e-4, and on convolution kernels alone. Recipe "
    "original, as it comes, does the same.",
    "Shifts are uniform over ±3.2 pixels, filled with the nearest edge pixel. In January 2018, when these figures were made, they "
    "took the nearest pixel (order 0); today's ImageDataGenerator interpolates. `augment.order` in params.yaml chooses.",
    "Run on today's Keras, the original keeps no best checkpoint: `val_acc` names no metric, so saving fails after the first epoch "
    "or, with `mode='max'`, happens every epoch; and a resumed run overwrites the best file at once (#17012).",
    "Where a block changes the size, our v1 has a projection, as the original; the paper's has a shortcut without parameters. Our "
    "convolutions have biases, the paper's have none. ResNet20v1 has 273,066 trainable parameters here and 269,722 there.",
)
ELSEWHERE = ("ResNet164v1", "ResNet110v2")  # the paper's network of that name is none of ours [2]
PAPER_MARKS = dict.fromkeys(("ResNet110v1", "ResNet164v1", "ResNet110v2", "ResNet1001v2"), "[2]")
HOLDOUTS = {"none": "no hold-out (last epoch)", "test": f"best epoch on the test set {ON_TEST_SET}"}
LEFT_ALIGNED = ("Variant", "Network", "Model", "Accuracy %", "Paper", "Device", "Setup")


@dataclass(frozen=True)
class Table:
    """A titled table of strings, what must be read before it, and the lines under it; Markdown throughout."""

    title: str
    frame: pd.DataFrame
    above: str = ""
    below: tuple[str, ...] = ()


def build(
    networks: Mapping[str, Network], metrics: Mapping[str, Metrics], published: pd.DataFrame
) -> list[Table]:
    """Every table of the page, in order; each variant that has metrics stands in exactly one of them.

    `networks` holds the listed variants, in order; `metrics` those of them that were evaluated; `published` is metrics/published.csv,
    all strings. The four with published figures are always there, the others where something stands in them.
    """
    synthetic = {
        name: metrics[name]
        for name in networks
        if name in metrics and metrics[name].data == "synthetic"
    }
    short = {
        name: metrics[name]
        for name in networks
        if name in metrics and metrics[name].short and name not in synthetic
    }
    full = {
        name: metrics[name]
        for name in networks
        if name in metrics and name not in synthetic and name not in short
    }
    rows, paper_rows = (
        original_rows(networks, metrics, set(published["network"])),
        paper_rows_of(networks, full, published),
    )
    placed = {*rows.values(), *paper_rows.values(), *synthetic, *short}
    tables = [
        _variants(
            "Further variants", networks, [name for name in networks if name not in placed], full
        )
    ]
    for version, mark in (("1", ""), ("2", " [1]")):
        part = published[published["version"] == version]
        figures = {
            network: full[rows[network]] for network in part["network"] if rows.get(network) in full
        }
        frame = pd.DataFrame(
            [_beside_original(row, rows, figures, mark) for row in part.to_dict("records")]
        )
        _add_setup(frame, list(part["network"]), figures)
        tables.append(Table(f"ResNet v{version}", frame, below=_below(figures)))
    for version, title, mark in (
        ("1", "ResNet v1, the paper's recipe", " [9]"),
        ("2", "ResNet v2, the paper's width and recipe", ""),
    ):
        part = published[
            (published["version"] == version)
            & ~published["paper_accuracy"].isin(["-", NOT_BUILDABLE])
        ]
        figures = {
            network: full[paper_rows[network]]
            for network in part["network"]
            if paper_rows.get(network) in full
        }
        frame = pd.DataFrame(
            [_beside_paper(row, paper_rows, figures, mark) for row in part.to_dict("records")]
        )
        _add_setup(frame, list(part["network"]), figures)
        tables.append(Table(title, frame, below=_below(figures)))
    warning = "Trained for fewer epochs than the recipe asks: not comparable with the tables above."
    tables.append(_variants("Short runs", networks, list(short), short, warning))
    banner = "**Not CIFAR-10**, but small made images, to show that the pipeline works. These accuracies compare with no other figure."
    tables.append(_variants("Synthetic data", networks, list(synthetic), synthetic, banner))
    return [table for table in tables if len(table.frame)]


def original_rows(
    networks: Mapping[str, Network], metrics: Mapping[str, Metrics], published: Collection[str]
) -> dict[str, str]:
    """Which listed variant fills the row of which of the original's networks: the section of that name, else `model`.

    Only one that is not trained yet, or that was trained on CIFAR-10 by the original's recipe, for all its epochs and no more.
    """
    rows: dict[str, str] = {}
    for name in sorted(networks, key=lambda name: name == "model"):
        network = networks[name].name
        if (
            network in published
            and name in (network, "model")
            and (name not in metrics or _by_recipe(metrics[name], "original"))
        ):
            rows.setdefault(network, name)
    return rows


def paper_rows_of(
    networks: Mapping[str, Network], full: Mapping[str, Metrics], published: pd.DataFrame
) -> dict[str, str]:
    """Which listed variant fills the row of which of the papers' networks: one of that network, trained by the paper's recipe.

    In version 2 that is the network of the paper's width.
    """
    figures = published[
        ~published["paper_accuracy"].isin(["-", NOT_BUILDABLE])
        & ~published["network"].isin(ELSEWHERE)
    ]
    rows: dict[str, str] = {}
    for name in sorted(networks, key=lambda name: (name != networks[name].family, name == "model")):
        network = networks[name]
        same = network.width == (
            "paper" if network.version == 2 else "original"
        ) and network.family in set(figures["network"])
        if same and name in full and _by_recipe(full[name], "paper"):
            rows.setdefault(network.family, name)
    return rows


def _by_recipe(run: Metrics, recipe: str) -> bool:
    """Whether a figure may stand beside those published under a recipe."""
    return run.data == "cifar10" and run.full and run.recipe == recipe


def markdown(tables: Sequence[Table], left_out: str) -> str:
    """The whole page, metrics/README.md; `left_out` is the line on files that stand in no table, or empty."""
    blocks = [f"# {TITLE}", RENDERED, *READING, left_out]
    for table in tables:
        frame = table.frame.map(
            lambda cell: cell.replace("|", "\\|")
        )  # a device's name comes from outside
        blocks += [f"## {table.title}", table.above, _tabulated(frame, "pipe"), *table.below]
    blocks += ["## Notes", "\n".join(f"{i}. {note}" for i, note in enumerate(NOTES, 1))]
    return "\n\n".join(block for block in blocks if block) + "\n"


def plain(tables: Sequence[Table], left_out: str) -> str:
    """The same tables for a terminal of 140 columns, with the marks of the notes but not their text."""
    blocks = []
    for table in tables:
        widths = {"Device": 12 if "Setup" in table.frame else 22, "Setup": 14}
        wrapped = [widths.get(str(column)) for column in table.frame]
        text = _tabulated(table.frame, "simple", maxcolwidths=wrapped, maxheadercolwidths=10)
        blocks.append(
            "\n".join([table.title, *filter(None, [table.above]), "", text, *table.below])
        )
    return "\n\n".join(filter(None, [*blocks, left_out])).replace("**", "").replace("`", "")


def _variants(
    title: str,
    networks: Mapping[str, Network],
    names: Sequence[str],
    metrics: Mapping[str, Metrics],
    above: str = "",
) -> Table:
    """A table of ours alone, a row for each of `names`; with the epochs where `above` warns of what stands in it."""
    figures = {name: metrics[name] for name in names if name in metrics}
    rows = []
    for name in names:
        run = figures.get(name)
        epochs = (
            {"Epochs": f"{run.epochs} of {run.recipe_epochs}" if run else NONE} if above else {}
        )
        rows.append(
            {
                "Variant": name,
                "Network": networks[name].name,
                "n": str(networks[name].n),
                **epochs,
                **_ours(run),
            }
        )
    frame = pd.DataFrame(rows)
    _add_setup(frame, names, figures)
    return Table(title, frame, above, _below(figures))


def _beside_original(
    row: Mapping[Hashable, str], rows: Mapping[str, str], figures: Mapping[str, Metrics], mark: str
) -> dict[str, str]:
    """A row of the original's table with ours beside it, like next to like."""
    network = row["network"]
    ours = _ours(figures.get(network), NOT_BUILDABLE if row["n"] == NOT_BUILDABLE else NONE)
    cells = {
        "Model": _model(network, rows),
        "n": row["n"],
        "Accuracy %": ours["Accuracy %"],
        "Original, 200 epochs, % [3–8]": row["original_accuracy"],
        "s/epoch": ours["s/epoch"],
        "Original, s/epoch, GTX 1080 Ti": row["original_seconds_per_epoch"],
        "Device": ours["Device"],
        f"Parameters{mark}": ours["Parameters"],
    }
    return {column: NONE if cell == "-" else cell for column, cell in cells.items()}


def _beside_paper(
    row: Mapping[Hashable, str], rows: Mapping[str, str], figures: Mapping[str, Metrics], mark: str
) -> dict[str, str]:
    """A paper's figure with ours of the same network beside it."""
    network = row["network"]
    ours = _ours(
        figures.get(network),
        NOT_BUILDABLE if row["n"] == NOT_BUILDABLE or network in ELSEWHERE else NONE,
    )
    return {
        "Model": _model(network, rows),
        "n": row["n"],
        "Accuracy %": ours["Accuracy %"],
        f"Paper, %{mark}": f"{row['paper_accuracy']} {PAPER_MARKS.get(network, '')}".strip(),
        "s/epoch": ours["s/epoch"],
        "Device": ours["Device"],
        f"Parameters{mark}": ours["Parameters"],
    }


def _model(network: str, rows: Mapping[str, str]) -> str:
    """A network's name, with that of the variant that fills its row where it is another."""
    return network if rows.get(network, network) == network else f"{network} ({rows[network]})"


def _ours(run: Metrics | None, missing: str = NONE) -> dict[str, str]:
    """The figures of one variant; no accuracy without its number of runs, no spread of a single one."""
    if run is None:
        return dict.fromkeys(("Accuracy %", "s/epoch", "Device", "Parameters"), missing)
    spread = "" if run.accuracy_std is None else f" ± {run.accuracy_std:.2f}"
    mark = f" {ON_TEST_SET}" if run.holdout == "test" else ""
    digits = 2 if run.seconds_per_epoch < 10 else 1 if run.seconds_per_epoch < 100 else 0
    return {
        "Accuracy %": f"{run.accuracy:.2f}{spread} (n={run.n}){mark}",
        "s/epoch": f"{run.seconds_per_epoch:.{digits}f}",
        "Device": " ".join(run.device.split()),
        "Parameters": f"{run.parameters:,}",
    }


def _setup(run: Metrics) -> tuple[str, ...]:
    """How a figure was made, a word or two each: what a reader must know before comparing it with another."""
    return (
        f"recipe {run.recipe}",
        f"{run.epochs} epoch{'s' * (run.epochs > 1)}",
        HOLDOUTS.get(
            run.holdout,
            f"best epoch on a held-out {run.holdout.removeprefix('train ')} of the training set",
        ),
        f"{' and '.join(f'{name} {run.versions[name]}' for name in run.backends)}, Keras {run.versions['keras']}",
        run.precision
        if run.float32_products == "float32"
        else f"{run.precision} ({run.float32_products} products)".replace("tf32", "TF32"),
    )


def _agreed(metrics: Mapping[str, Metrics]) -> list[bool]:
    return [len(set(values)) == 1 for values in zip(*map(_setup, metrics.values()), strict=True)]


def _add_setup(frame: pd.DataFrame, keys: Sequence[str], metrics: Mapping[str, Metrics]) -> None:
    """Where the rows' setups differ, say in a column in what."""
    agreed = _agreed(metrics)
    if not all(agreed):
        setups = {
            key: ", ".join(part for part, same in zip(_setup(run), agreed, strict=True) if not same)
            for key, run in metrics.items()
        }
        frame["Setup"] = [setups.get(key, NONE) for key in keys]


def _below(metrics: Mapping[str, Metrics]) -> tuple[str, ...]:
    """The line on what all rows have in common, and the mark's meaning where it stands in the table."""
    if not metrics:
        return ("No full run of these on CIFAR-10 yet.",)
    common = [
        part
        for part, same in zip(_setup(next(iter(metrics.values()))), _agreed(metrics), strict=True)
        if same
    ]
    lines = [f"All measured rows: {', '.join(common)}."] if common else []
    if any(run.holdout == "test" for run in metrics.values()):
        lines.append(
            f"{ON_TEST_SET} The best epoch was chosen on the test set itself, the original's way: such an accuracy is too high."
        )
    return tuple(lines)


def _tabulated(frame: pd.DataFrame, style: str, **options: Any) -> str:
    align = ["left" if str(column).startswith(LEFT_ALIGNED) else "right" for column in frame]
    return str(
        frame.to_markdown(
            index=False, tablefmt=style, colalign=align, disable_numparse=True, **options
        )
    )
