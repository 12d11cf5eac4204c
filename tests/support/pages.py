"""What the repository's Markdown pages contain: links, headings, code and commands."""

import re
from pathlib import Path

from tests.support.checkout import ROOT

RENDERED = ("metrics/README.md", "speed/README.md", "faults/README.md")
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "checkpoints/README.md",
    "cluster/README.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
    *RENDERED,
)
BLOCK = re.compile(r"^[ ]*```.*?^[ ]*```$", re.MULTILINE | re.DOTALL)


def read(page: str) -> str:
    """The page's text."""
    return (ROOT / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    """The page's text without its code blocks."""
    return BLOCK.sub("", read(page))


def spans(page: str) -> list[str]:
    """The code spans outside of code blocks, i.e. what is between backticks."""
    return re.findall(r"(?<!`)`([^`]+)`(?!`)", prose(page))


def commands(page: str) -> list[str]:
    """The commands of the console blocks, without their comments."""
    blocks = re.findall(r"^[ ]*```console\n(.*?)^[ ]*```$", read(page), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [line[2:].partition("  # ")[0].strip() for line in lines]


def results_table(page: str) -> list[list[str]]:
    """The cells of the rows between the page's results marks, without the header."""
    region = read(page).split("<!-- results -->")[1].split("<!-- /results -->")[0]
    lines = [line for line in region.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def links(page: str) -> list[str]:
    """The targets of all links and images that point into the repository."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    targets = re.findall(r"\]\(([^()\s]+)\)", text) + re.findall(r"^\[[^\]]+\]: (\S+)$", text, re.M)
    return [target for target in targets if "://" not in target]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
