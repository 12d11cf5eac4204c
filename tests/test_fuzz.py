"""Any file as params.yaml is loaded or gives a BenchmarkError of one short line, and nothing else.

A few hundred inputs each, the same in every run; `FUZZ=10000 python -m pytest tests/test_fuzz.py`
draws that many, others in every run.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import given

from resnet import params
from tests.support.checkout import ROOT
from tests.support.fuzz import Watch, edited, edits, fuzz, harmless


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


REAL = (ROOT / "params.yaml").read_bytes()
TREE = yaml.safe_load(REAL)
TOKENS = [
    *("!!int ", "!!float ", "!!timestamp ", "!!bool ", "!!binary ", "!!set ", "!!omap ", "!!str "),
    *("!!null ", "!!merge ", "!!map ", "!a ", "&a ", "*a", "<<: ", "? ", ": ", "- ", "[", "]", "{"),
    *("}", ",", "\n", "\n  ", "#", "| ", "> ", "|9\n", '"', "'", "~", "=", "\t", "\r", "\\x"),
    *("\\U00110000", "\\ud800", "\x85", "\u2028", "\0", "\ufeff", "\u0661", "%YAML 1.1\n"),
    *("%TAG ! tag:a,1:\n", "---\n", "...\n", "0x", "0b", "1e400", "9" * 5000, ".inf", ".nan"),
    *("2026-99-99", "1:60", "[" * 100),
]
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.datetimes()
    | st.binary(max_size=5)
    | st.text(max_size=8)
)
SCALARS = (
    PLAIN
    | st.integers(10**300, 10**1200)
    | st.sampled_from([*TREE, "cifar10", "synthetic", "test", "sgd", "paper", 0, 1, 0.5])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(PLAIN, inner, max_size=3)
        | st.sets(PLAIN, max_size=2)
    ),
    max_leaves=6,
)


def paths(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    keys = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield from paths(tree[key], (*at, key))


@st.composite
def trees(draw: st.DrawFn) -> Any:
    """The project's values with up to three of them removed, replaced or added to."""
    tree = copy.deepcopy(TREE)
    for _ in range(draw(st.integers(1, 3))):
        *steps, last = draw(st.sampled_from([path for path in paths(tree) if path]))
        owner = tree
        for step in steps:
            owner = owner[step]
        match draw(st.sampled_from(["remove", "replace", "add"])):
            case "remove":
                del owner[last]
            case "replace":
                owner[last] = draw(VALUES)
            case _ if isinstance(owner[last], dict):
                owner[last][draw(SCALARS)] = draw(VALUES)
            case _ if isinstance(owner[last], list):
                owner[last].append(draw(VALUES))
        if not tree:
            break
    return tree


DUMPED = st.tuples(trees(), st.booleans()).map(
    lambda drawn: yaml.safe_dump(drawn[0], allow_unicode=drawn[1]).encode("utf-8", "surrogatepass")
)
TEXTS = st.lists(st.sampled_from(TOKENS) | st.text(max_size=4), max_size=30).map(
    lambda parts: "".join(parts).encode("utf-8", "surrogatepass")
)
MUTATED = edits(*(token.encode("utf-8", "surrogatepass") for token in TOKENS)).map(
    lambda drawn: edited(REAL, drawn)
)


@pytest.mark.parametrize(
    "strategy",
    [st.binary(max_size=300), TEXTS, MUTATED, DUMPED],
    ids=["bytes", "texts", "edited", "values"],
)
def test_files(tmp_path: Path, watch: Watch, strategy: st.SearchStrategy[bytes]) -> None:
    path = tmp_path / "params.yaml"
    params.load(ROOT / "params.yaml")  # imports everything before the guard watches

    @fuzz
    @given(strategy)
    def check(data: bytes) -> None:
        path.write_bytes(data)
        with harmless(watch):
            params.load(path)

    check()


def test_values(watch: Watch) -> None:
    params.load(ROOT / "params.yaml")

    @fuzz
    @given(trees())
    def check(tree: Any) -> None:
        with harmless(watch):
            params.parse(tree)

    check()
