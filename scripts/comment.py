"""Post a review as the one comment on a GitHub pull request, or update the comment that is there.

It runs in .github/workflows/review.yml with the token that may comment, on a Python without any
packages. GITHUB_API_URL, GITHUB_REPOSITORY, GITHUB_TOKEN and RUN_URL, the page of the run, are
environment variables.
"""

import argparse
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resnet.errors import BenchmarkError, command_parser, run_stage

MARKER = "<!-- review -->"  # the first line of our comment; the author's other comments lack it
AUTHOR = "github-actions[bot]"
LONGEST = 60_000  # characters; GitHub accepts 65,536 with what is added here
PER_PAGE = 100
TIMEOUT = 30  # seconds
MISSING = "**The review ended without a result.**"


def body(review: str, run_url: str, head: str) -> str:
    """The whole comment, with a page of a review, or with MISSING where it is empty."""
    links = f"[Log of the review, and plots of both sides]({run_url}), for commit {head}."
    return f"{MARKER}\n{shortened(review.strip()) or MISSING}\n\n{links}\n"


def shortened(review: str) -> str:
    """A page of at most LONGEST characters: its first blocks, none cut in two."""
    if len(review) <= LONGEST:
        return review
    kept, length = "", 0
    for block in _blocks(review):
        length += len(block) + 2
        if length > LONGEST:
            break
        kept += f"{block}\n\n"
    return f"{kept}The rest is too long for a comment: the log has all of it."


def post(number: int, text: str) -> str:
    """Create the comment or replace its text; returns the address of the comment's page.

    Raises BenchmarkError where GitHub refuses it or cannot be reached.
    """
    ours = (comment for comment in _comments(number) if _is_ours(comment))
    if existing := next(ours, None):
        comment = _call("PATCH", f"issues/comments/{existing['id']}", {"body": text})
    else:
        comment = _call("POST", f"issues/{number}/comments", {"body": text})
    return str(comment["html_url"])


def _blocks(review: str) -> Iterator[str]:
    """The blocks between empty lines, where what is folded, and a picture, are one block."""
    opened: list[str] = []
    for block in review.split("\n\n"):
        opened.append(block)
        whole = "\n\n".join(opened)
        folds = [re.findall(rf"^{tag}", whole, re.M) for tag in ("<details>", "</details>")]
        if len(folds[0]) == len(folds[1]):  # in a code span, it does not begin a line
            yield whole
            opened = []


def _is_ours(comment: Any) -> bool:
    return bool(comment["user"]["login"] == AUTHOR and comment["body"].startswith(MARKER))


def _comments(number: int) -> Iterator[Any]:
    page = 1
    while found := _call("GET", f"issues/{number}/comments?per_page={PER_PAGE}&page={page}"):
        yield from found
        page += 1


def _call(method: str, path: str, content: Any = None) -> Any:
    """GitHub's answer to a request about this repository."""
    root = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}"
    request = urllib.request.Request(
        f"{root}/{path}",
        data=None if content is None else json.dumps(content).encode(),
        method=method,
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
            "Content-Type": "application/json",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            reason = " ".join(error.read(500).decode(errors="replace").split())
        raise BenchmarkError(f"{method} {root}/{path}: {error.code}: {reason}") from error
    except urllib.error.URLError as error:
        raise BenchmarkError(f"{method} {root}/{path}: {error.reason}") from error


def main(arguments: argparse.Namespace) -> None:
    review = ""
    if arguments.review.is_file():
        review = arguments.review.read_text(encoding="utf-8", errors="replace")
    print(post(arguments.number, body(review, os.environ["RUN_URL"], arguments.head)))


if __name__ == "__main__":
    command = command_parser("scripts.comment", __doc__)
    command.add_argument("number", metavar="NUMBER", type=int, help="of the pull request")
    command.add_argument("head", metavar="HEAD", help="the commit that was reviewed")
    command.add_argument("review", metavar="FILE", type=Path, help="the review, may be missing")
    run_stage(main, command)
