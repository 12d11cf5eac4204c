"""Writes Markdown: the one module that escapes text and lays out tables."""

import re
from collections.abc import Iterable, Mapping, Sequence

from tabulate import tabulate

LONGEST = 300  # characters of a code span


def escaped(text: str) -> str:
    """Text that cannot end a table's cell or row: names of devices and branches can be anything."""
    apart = re.sub(r"\\(?=\|)", r"\\ ", " ".join(text.split()))  # \| would escape the backslash
    return apart.replace("|", "\\|")


def code(text: str, longest: int = LONGEST) -> str:
    """Text in a code span, in which no markup, link or @mention takes effect.

    What is not printable becomes a space, and what is longer than `longest` characters is cut.
    Backticks in it stay: the span's own are more.
    """
    printable = "".join(char if char.isprintable() else " " for char in text)
    line = " ".join(printable.split())
    line = line if len(line) <= longest else f"{line[: longest - 1]}…"
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if not line or line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"


def bullets(lines: Iterable[str]) -> str:
    """A list, an item per line."""
    return "\n".join(f"- {line}" for line in lines)


def folded(summary: str, *blocks: str) -> str:
    """Blocks that a reader on GitHub unfolds by a click on the summary, which is plain text."""
    inside = "\n\n".join(block for block in blocks if block)
    return f"<details><summary>{summary}</summary>\n\n{inside}\n\n</details>"


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
