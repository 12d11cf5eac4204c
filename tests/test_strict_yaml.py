"""The YAML reader: DVC's own values, and one line for everything that is refused."""

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import given

from resnet import strict_yaml
from resnet.errors import BenchmarkError
from tests.support.checkout import ROOT
from tests.support.fuzz import fuzz


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


def test_values_of_the_projects_params_are_those_of_dvc() -> None:
    import dvc.api

    ours = strict_yaml.read(ROOT / "params.yaml")
    theirs = dvc.api.params_show("params.yaml", repo=str(ROOT))
    assert list(ours) == list(theirs)
    for key, value in leaves(theirs).items():
        assert leaves(ours)[key] == value
        assert type(leaves(ours)[key]) is type(value)


def leaves(tree: Any, key: str = "") -> dict[str, Any]:
    """The values of nested mappings and lists under dotted keys."""
    if not isinstance(tree, dict | list):
        return {key: tree}
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return {leaf: v for name, part in inner for leaf, v in leaves(part, f"{key}.{name}").items()}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("+3", 3),
        ("0.5", 0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e-3", 1e-3),
        ("1E3", 1000.0),
        ("1.5e+3", 1500.0),
        (".inf", float("inf")),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("cifar10", "cifar10"),
        ("nullable", "nullable"),
        ("'010'", "010"),
        ('"yes"', "yes"),
        ("|\n  2026-01-31", "2026-01-31"),
    ],
)
def test_clear_values(path: Path, text: str, value: Any) -> None:
    path.write_text(f"a: {text}")
    read = strict_yaml.read(path)["a"]
    assert read == value
    assert type(read) is type(value)


REFUSED_SCALARS = [
    *(
        "010",
        "-010",
        "08",
        "0x10",
        "0o10",
        "0b1",
        "1_000",
        "1__0",
        "1_0.5",
        "._5",
        "1:30",
        "1:30.5",
    ),
    *("190:20:30", "2026-01-31", "2026-99-99", "2001-12-14t21:59:43.10-05:00", ".5e3", "1e5x"),
    *("yes", "No", "on", "OFF", "=", "<<"),
]


@pytest.mark.parametrize("text", REFUSED_SCALARS)
def test_what_yaml_readers_disagree_on_is_refused_with_its_line(path: Path, text: str) -> None:
    path.write_text(f"model:\n  n: {text}\n")
    with pytest.raises(BenchmarkError) as caught:
        strict_yaml.read(path)
    assert str(caught.value) == (
        f"{path}: line 2, 'n: {text}': YAML readers may read '{text}' as different values: "
        "write true, false or a plain decimal number, or put text in quotes"
    )


def test_keys_are_refused_as_values_are(path: Path) -> None:
    path.write_text("a: 1\non: 2\n")
    with pytest.raises(BenchmarkError, match="line 2, 'on: 2': YAML readers may read 'on' as diff"):
        strict_yaml.read(path)


def test_plain_values_mean_the_same_to_all_readers(path: Path) -> None:
    """A value is DVC's, and PyYAML's too, except that PyYAML reads some numbers (1e-3) as text."""
    from dvc.utils.serialize import parse_yaml

    @fuzz
    @given(
        st.text("0123456789.eE+-_xob:~tTrRuUfFaAlLsSnN iIyYoO", max_size=8)
        | st.sampled_from(REFUSED_SCALARS)
        | st.integers().map(str)
        | st.floats().map(str)
    )
    def check(text: str) -> None:
        path.write_text(f"a: {text}")
        try:
            ours = strict_yaml.read(path)
        except BenchmarkError:
            return
        assert repr(ours) == repr(parse_yaml(f"a: {text}", ""))
        theirs = yaml.safe_load(f"a: {text}")
        if not (isinstance(theirs["a"], str) and isinstance(ours["a"], float)):
            assert repr(ours) == repr(theirs)

    check()


REFUSED: list[tuple[str, str]] = [
    ("a: [\n", "not YAML: line 2: while parsing a flow node, expected the node content"),
    ("seeds: 1\nseeds: 2\n", "not YAML: line 2, 'seeds: 2': a key that is given twice"),
    ("1: a\n1.0: b\n", "not YAML: line 2, '1.0: b': a key that is given twice"),
    ("\x00", "not YAML: unacceptable character"),
    ("a: 1\n---\na: 2\n", "not YAML: line 2, '---': expected a single document in the stream"),
    ("%YAML 1.1\n---\na: 1e-3\n", "line 2, '---': no directives (%): remove the line"),
    ("%TAG ! tag:a,1:\n---\na: 1\n", "line 2, '---': no directives (%): remove the line"),
    ("a: &b 1\n", "line 1, 'a: &b 1': no anchors (&) or aliases (*): `dvc exp run -S` changes"),
    ("a: &b {n: 1}\n", "line 1, 'a: &b {n: 1}': no anchors (&) or aliases (*)"),
    ("a: *b\n", "line 1, 'a: *b': no anchors (&) or aliases (*)"),
    ("a: !!int b", "line 1, 'a: !!int b': no tags such as 'tag:yaml.org,2002:int'"),
    ("a: !<tag:yaml.org,2002:int> 1", "line 1, 'a: !<tag:yaml.org,2002:int> 1': no tags such as"),
    ("a: ! 1", "line 1, 'a: ! 1': no tags such as '!'"),
    ("a: !!set {b}", "line 1, 'a: !!set {b}': no tags such as 'tag:yaml.org,2002:set'"),
    (
        "a: !!python/object/apply:os.system [ls]",
        "line 1, 'a: !!python/object/apply:os.system [ls]'",
    ),
    ("a: " + "1" * 5000, "line 1, 'a: 11111"),
    ("a" * 1001, "line 1, 'aaaaa"),
    ("a: '" + "b" * 1001 + "'", "line 1, \"a: 'bbbbb"),
    ("[" * 5000, "line 1, '[[[[["),
    ("- " * 5000, "line 1, '- - -"),
    ('a: "\\U99999999"', "not YAML: "),
    ('a: "\\x', "not YAML: line 1, "),
    ("a: \x1b[0m", "not YAML: unacceptable character"),
    ("\ta: 1", "not YAML: line 1, '\\ta: 1': "),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[text[:20] for text, _ in REFUSED])
def test_refusals_are_one_printable_line(path: Path, text: str, said: str) -> None:
    path.write_text(text)
    with pytest.raises(BenchmarkError) as caught:
        strict_yaml.read(path)
    assert str(caught.value).startswith(f"{path}: {said}")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_limits_of_length_and_depth(path: Path) -> None:
    path.write_text("a: " + "b" * 1000)
    assert strict_yaml.read(path) == {"a": "b" * 1000}
    path.write_text("[" * 20 + "]" * 20)
    strict_yaml.read(path)
    path.write_text("a: " + "b" * 1001)
    with pytest.raises(BenchmarkError, match="a value of 1,001 characters, more than 1,000"):
        strict_yaml.read(path)
    path.write_text("[" * 21 + "]" * 21)
    with pytest.raises(BenchmarkError, match="nested more than 20 levels deep"):
        strict_yaml.read(path)


def test_aliases_that_multiply_are_refused_before_they_are_expanded(path: Path) -> None:
    levels = ["&a0 [x, x]", *(f"&a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60))]  # 2^60 values
    path.write_text(f"seeds: [{', '.join(levels)}]")
    with pytest.raises(BenchmarkError, match="no anchors"):
        strict_yaml.read(path)


def test_an_anchor_misleads_dvc_exp_run(path: Path) -> None:
    """The reason for the refusal: one change does nothing, another changes two values."""
    from dvc.utils.hydra import apply_overrides
    from dvc.utils.serialize import load_yaml

    for override, values in (("a.n=9", (3, 3)), ("b.n=9", (9, 9))):
        path.write_text("a: &x\n  n: 3\nb: *x\n")
        apply_overrides(path, [override])
        read = load_yaml(path)
        assert (read["a"]["n"], read["b"]["n"]) == values


def test_unreadable_files(path: Path) -> None:
    with pytest.raises(BenchmarkError, match="no such file; run the stages from the root"):
        strict_yaml.read(path)
    with pytest.raises(BenchmarkError, match="Is a directory"):
        strict_yaml.read(path.parent)
    path.write_bytes(b"a: \xff")
    with pytest.raises(BenchmarkError, match="not YAML: 'utf-8' codec"):
        strict_yaml.read(path)
