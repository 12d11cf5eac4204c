"""What a reader of a Markdown page sees, according to a real CommonMark parser."""

from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token

QUIET = {"text", "softbreak", "hardbreak", "strong_open", "strong_close", "em_open", "em_close"}


@dataclass
class Rendered:
    """A page's plain text, and all in it that is not plain text, headings, lists or tables."""

    text: list[str] = field(default_factory=list)  # outside of code
    code: list[str] = field(default_factory=list)  # in code spans and blocks
    html: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)  # and images
    rows: list[list[str]] = field(default_factory=list)  # of tables, each cell's text


def rendered(page: str) -> Rendered:
    """Parse a page as GitHub does: CommonMark with tables."""
    found = Rendered()
    for token in MarkdownIt("commonmark").enable("table").parse(page):
        if token.type == "tr_open":
            found.rows.append([])
        elif token.type == "html_block":
            found.html += [line for line in token.content.splitlines() if line]
        elif token.type in ("fence", "code_block"):
            found.code.append(token.content)
        elif token.type == "inline":
            children = token.children or []
            for child in children:
                _sort(child, found)
            if found.rows and token.level > 3:  # table, its body, the row and the cell
                found.rows[-1].append("".join(child.content for child in children))
    return found


def _sort(token: Token, found: Rendered) -> None:
    if token.type == "code_inline":
        found.code.append(token.content)
    elif token.type == "html_inline":
        found.html.append(token.content)
    elif token.type in ("link_open", "image"):
        found.links.append(str(token.attrs.get("href") or token.attrs.get("src")))
    elif token.type in QUIET:
        found.text.append(token.content)
    elif token.type != "link_close":
        raise AssertionError(f"{token.type}: {token.content}")
