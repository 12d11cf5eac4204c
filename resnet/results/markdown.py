"""Writes Markdown: the one module that escapes text and lays out tables."""

from collections.abc import Iterable, Mapping, Sequence

from tabulate import tabulate


def escaped(text: str) -> str:
    """Text that cannot end a table's cell or row: names of devices and branches can be anything."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """Text in a code span, in which nothing needs to be escaped outside of tables."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"


def bullets(lines: Iterable[str]) -> str:
    """A list, an item per line."""
    return "\n".join(f"- {line}" for line in lines)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[str]) -> str:
    """A pipe table; `align` has left or right for each column."""
    cells = [[escaped(cell) for cell in row] for row in rows]
    header = [escaped(column) for column in columns]
    return tabulate(cells, header, "pipe", colalign=align, disable_numparse=True)


def text_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    align: Sequence[str],
    widths: Mapping[str, int],
) -> str:
    """The same table for a terminal; the columns in `widths` wrap at that many characters."""
    return tabulate(
        rows,
        columns,
        "simple",
        colalign=align,
        disable_numparse=True,
        maxcolwidths=[widths.get(column) for column in columns],
        maxheadercolwidths=10,
    )


def page(blocks: Iterable[str]) -> str:
    """A page of paragraphs, headings and tables; empty blocks are left out."""
    return "\n\n".join(block for block in blocks if block) + "\n"
