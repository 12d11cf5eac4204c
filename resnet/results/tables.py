"""The tables: the original's two and the papers', with our results beside the published ones.

Each variant that has results is in exactly one table. It is beside a published result only if the
network and the recipe are the same.
"""

import re
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from resnet.results import agreement, cells, markdown, notes
from resnet.results.metrics import AllResults, Results
from resnet.results.notes import NONE, NOT_BUILDABLE
from resnet.results.placement import Networks, original_rows, paper_rows
from resnet.results.published import Published, Quoted
from resnet.results.recipes import recognize

PAPER_MARKS = dict.fromkeys(("ResNet110v1", "ResNet164v1", "ResNet110v2", "ResNet1001v2"), "[2]")
WIDTH = 140  # columns of a terminal
TEXTS = (notes.OTHERS_COLUMN, "Form", "Recipe", "Augment", "Protocol", "Source")
LEFT_ALIGNED = ("Variant", "Network", "Model", "Accuracy %", "Paper", "Device", "Setup", *TEXTS)
# columns that wrap in a terminal, by their beginning
WRAPPED = {"Setup": 14, "Original, 200": 13, "Paper": 13, notes.OTHERS_COLUMN: 14, "Source": 40}


@dataclass(frozen=True)
class Table:
    """A titled table of strings, what must be read before it, and the lines under it."""

    title: str
    rows: tuple[dict[str, str], ...]  # column to cell; every row has the same columns
    above: str = ""
    below: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        return list(self.rows[0])

    @property
    def cells(self) -> list[list[str]]:
        return [list(row.values()) for row in self.rows]

    @property
    def align(self) -> list[str]:
        return ["left" if column.startswith(LEFT_ALIGNED) else "right" for column in self.columns]


def build(
    networks: Networks,
    results: AllResults,
    quoted: Sequence[Quoted],
    references: Sequence[Published] = (),
) -> list[Table]:
    """Every table of the page, in order.

    `quoted` has the original's tables. Our results say whether they agree with
    those of `references` that they are comparable with. The four tables with published results are
    always there, the others only if they have rows.
    """
    found = {name: results[name] for name in networks if name in results}
    synthetic = {name: run for name, run in found.items() if run.synthetic}
    short = {
        name: run
        for name, run in found.items()
        if name not in synthetic and recognize(run.parameters).short
    }
    full = {name: run for name, run in found.items() if name not in {**synthetic, **short}}
    original = original_rows(networks, found, {row["network"] for row in quoted})
    paper = paper_rows(networks, full, quoted)
    placed = {*original.values(), *paper.values(), *synthetic, *short}
    further = [name for name in networks if name not in placed]
    variants = partial(_variants, networks, references)
    beside_published = partial(_published, full, references)
    tables = [
        variants("Further variants", further, full),
        beside_published("ResNet v1", _rows(quoted, "1"), original, _beside_original),
        beside_published("ResNet v2", _rows(quoted, "2"), original, _beside_original),
        beside_published(
            "ResNet v1, the paper's form and recipe",
            _rows(quoted, "1", with_paper=True),
            paper,
            _beside_paper,
        ),
        beside_published(
            "ResNet v2, the paper's form and recipe",
            _rows(quoted, "2", with_paper=True),
            paper,
            _beside_paper,
        ),
        variants("Short runs", list(short), short, notes.SHORT),
        variants("Synthetic data", list(synthetic), synthetic, notes.SYNTHETIC),
        Table(notes.OTHERS, tuple(map(agreement.other_row, agreement.others(references)))),
    ]
    return [table for table in tables if table.rows]


def page(tables: Sequence[Table], pictures: Collection[str] = ()) -> str:
    """The whole of metrics/README.md; `pictures` are the names of files in pictures/.

    The tables that have no result of ours yet follow the others.
    """
    blocks = [f"# {notes.TITLE}", notes.RENDERED, *notes.READING, notes.AGREEMENT]
    for table in sorted(tables, key=lambda table: notes.NO_FULL_RUN in table.below):
        text = markdown.table(table.columns, table.cells, table.align)
        blocks += [f"## {table.title}", table.above, text, *table.below]
    for kind, (title, text) in notes.PLOTS.items():
        shown = [match for name in pictures if (match := re.fullmatch(kind, name))]
        if shown:
            images = [
                f"![{' '.join([title, *each.groups()])}](pictures/{each[0]})" for each in shown
            ]
            blocks += [f"## {title}", text, *images]
    numbered = [f"{number}. {note}" for number, note in enumerate(notes.NOTES, start=1)]
    return markdown.page([*blocks, "## Notes", "\n".join(numbered)])


def plain(tables: Sequence[Table]) -> str:
    """The same tables for a terminal, with the marks of the notes but without the notes."""
    blocks = []
    for table in tables:
        widths = {"Device": 12 if "Setup" in table.columns else 22}
        for start, width in WRAPPED.items():
            widths |= {column: width for column in table.columns if column.startswith(start)}
        text = markdown.text_table(table.columns, table.cells, table.align, widths)
        heading = [line for line in (table.title, table.above) if line]
        below = [textwrap.fill(line, WIDTH) for line in table.below]
        blocks.append("\n".join([*heading, "", text, *below]))
    return "\n\n".join(blocks).replace("**", "").replace("`", "")


def _rows(quoted: Sequence[Quoted], version: str, with_paper: bool = False) -> list[Quoted]:
    """The published rows of a version of the network, all or those with a paper's accuracy."""
    return [
        row
        for row in quoted
        if row["version"] == version
        and not (with_paper and row["paper_accuracy"] in ("-", NOT_BUILDABLE))
    ]


def _published(
    full: AllResults,
    references: Sequence[Published],
    title: str,
    published: Sequence[Quoted],
    variants: Mapping[str, str],
    cells_of: Callable[[Quoted, str, Results | None], dict[str, str]],
) -> Table:
    """A table with a row per published network; `variants` has the variant for each network."""
    networks = [row["network"] for row in published]
    found = {name: full[variants[name]] for name in networks if variants.get(name) in full}
    rows = [
        cells_of(row, _model(row["network"], variants), found.get(row["network"]))
        for row in published
    ]
    rows = agreement.with_words(rows, networks, found, references)
    return Table(title, _with_setup(rows, networks, found), below=_below(found))


def _variants(
    networks: Networks,
    references: Sequence[Published],
    title: str,
    names: Sequence[str],
    results: AllResults,
    above: str = "",
) -> Table:
    """A table of our results alone; it has the epochs where `above` warns about its contents."""
    found = {name: results[name] for name in names if name in results}
    rows = []
    for name in names:
        row = {"Variant": name, "Network": networks[name].name, "n": str(networks[name].n)}
        if above:
            recognized = recognize(found[name].parameters)
            row["Epochs"] = f"{recognized.epochs} of {recognized.published_epochs}"
        rows.append({**row, **cells.ours(found.get(name))})
    rows = agreement.with_words(rows, names, found, references)
    return Table(title, _with_setup(rows, names, found), above, _below(found))


def _beside_original(row: Quoted, model: str, results: Results | None) -> dict[str, str]:
    """A row of the original's tables, with our result beside it."""
    ours = cells.ours(results, NOT_BUILDABLE if row["n"] == NOT_BUILDABLE else NONE)
    mark = " [1]" if row["version"] == "2" else ""
    found = {
        "Model": model,
        "n": row["n"],
        "Accuracy %": ours["Accuracy %"],
        notes.BEST: ours[notes.BEST],
        "Original, 200 epochs, % [3–8]": row["original_accuracy"],
        "s/epoch": ours["s/epoch"],
        "Original, s/epoch, GTX 1080 Ti": row["original_seconds_per_epoch"],
        "Device": ours["Device"],
        f"Parameters{mark}": ours["Parameters"],
    }
    return {column: NONE if cell == "-" else cell for column, cell in found.items()}


def _beside_paper(row: Quoted, model: str, results: Results | None) -> dict[str, str]:
    """A row of the papers' tables, with our result beside it."""
    network = row["network"]
    ours = cells.ours(results, NONE if row["paper_form"] == "paper" else NOT_BUILDABLE)
    return {
        "Model": model,
        "n": row["n"],
        "Accuracy %": ours["Accuracy %"],
        notes.BEST: ours[notes.BEST],
        "Paper, % [9]": f"{row['paper_accuracy']} {PAPER_MARKS.get(network, '')}".strip(),
        "s/epoch": ours["s/epoch"],
        "Device": ours["Device"],
        "Parameters": ours["Parameters"],
    }


def _model(network: str, variants: Mapping[str, str]) -> str:
    """A network's name, with that of the variant in its row where the two differ."""
    variant = variants.get(network, network)
    return network if variant == network else f"{network} ({variant})"


def _shared(results: AllResults) -> list[bool]:
    """For each part of the setup, whether all results have the same."""
    setups = [cells.setup(each) for each in results.values()]
    return [len(set(values)) == 1 for values in zip(*setups, strict=True)]


def _with_setup(
    rows: Sequence[dict[str, str]], keys: Sequence[str], results: AllResults
) -> tuple[dict[str, str], ...]:
    """The rows, with a column for the parts of the setup in which they differ, if any."""
    shared = _shared(results)
    if all(shared):
        return tuple(rows)
    setups = {
        key: "; ".join(
            part for part, same in zip(cells.setup(run), shared, strict=True) if not same
        )
        for key, run in results.items()
    }
    return tuple(
        {**row, "Setup": setups.get(key, NONE)} for row, key in zip(rows, keys, strict=True)
    )


def _below(results: AllResults) -> tuple[str, ...]:
    """What all rows share, and the meaning of the mark where it is in the table."""
    if not results:
        return (notes.NO_FULL_RUN,)
    setup = cells.setup(next(iter(results.values())))
    common = [part for part, same in zip(setup, _shared(results), strict=True) if same]
    lines = [f"All measured rows: {'; '.join(common)}."] if common else []
    explained = cells.explained(results.values())
    if notes.ON_TEST not in explained and any(run.best_on_test for run in results.values()):
        lines.append(notes.ON_TEST)
    return (*lines, *explained)
