"""A side of a review as data: what is not read, and what DVC must not read."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from resnet.errors import BenchmarkError
from scripts import sides
from scripts.sides import Revision, revision
from tests.support.checkout import ROOT, git

DVC_YAML = "stages: {}\n"
OTHER_VALUES = "names files of values beside params.yaml: must name none"
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\n"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    git(tmp_path, "init", "--quiet", "-b", "main")
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "params.yaml").write_text("variants: [b, a]\n")
    (tmp_path / "metrics" / "runs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def committed(checkout: Path) -> Revision:
    """The commit of all that is in the checkout."""
    git(checkout, "add", "--all", "--force")
    git(checkout, "commit", "--quiet", "-m", "x")
    return revision("HEAD")


def test_a_plain_pipeline_is_read(checkout: Path) -> None:
    side = committed(checkout)
    assert side.broken == []
    assert side.listed == ["b", "a"]
    assert side.reader(Path("dvc.yaml")) == DVC_YAML
    assert side.reader(Path("metrics/runs/a.json")) is None
    assert Revision("workspace", "workspace").reader(Path("dvc.yaml")) == DVC_YAML


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("params.yaml", BOMB, "params.yaml: contains the alias *a: write the value"),
        ("params.yaml", None, "params.yaml: no such file"),
        ("sub/params.yaml", "a: [", "sub/params.yaml: not YAML: while parsing"),
        ("dvc.yaml", "a: [", "dvc.yaml: not YAML: while parsing"),
        ("dvc.lock", "\0", "dvc.lock: not YAML: unacceptable character"),
        ("dvc.yaml", "desc: 2021-02-30", "dvc.yaml: not YAML: ValueError: day is out of range"),
        ("params.yaml", "a: !!bool b", "params.yaml: not YAML: KeyError: 'b'"),
        ("params.yaml", "a: !!timestamp b", "params.yaml: not YAML: AttributeError: "),
        ("dvc.lock", " " * 1_000_001, "dvc.lock: 1.0 MB: must be at most 1 MB"),
        ("dvc.lock", " " * 6_000_000, "dvc.lock: 6.0 MB: must be at most 5 MB"),
        ("dvc.yaml", "vars: [b.yaml]", f"dvc.yaml: {OTHER_VALUES}"),
        ("dvc.yaml", "params: [b.yaml]", f"dvc.yaml: {OTHER_VALUES}"),
        ("dvc.yaml", "stages: {a: {foreach: [1], do: {vars: [b]}}}", f"dvc.yaml: {OTHER_VALUES}"),
        ("dvc.yaml", "stages: {a: {params: [c, {b.yaml: }]}}", f"dvc.yaml: {OTHER_VALUES}"),
        ("dvc.yaml", "stages: {a: {params: [{params.yaml: , b: }]}}", f"dvc.yaml: {OTHER_VALUES}"),
        ("x/other.dvc", "", "x/other.dvc: the pipeline has no .dvc files"),
    ],
)
def test_what_dvc_must_not_read(checkout: Path, path: str, text: str | None, expected: str) -> None:
    (checkout / path).parent.mkdir(exist_ok=True)
    if text is None:
        (checkout / path).unlink()
    else:
        (checkout / path).write_text(text)
    (line,) = committed(checkout).broken
    assert line.startswith(expected)


def test_params_of_a_stage_that_are_no_list_are_refused_by_dvc(checkout: Path) -> None:
    (checkout / "dvc.yaml").write_text("stages: {a: {cmd: x, params: 5}}")
    assert committed(checkout).broken == []


def test_dvc_may_read_the_pipeline_of_this_checkout(checkout: Path) -> None:
    """Its report stage depends on the whole of params.yaml, by name."""
    pipeline = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert "- params.yaml:" in pipeline
    (checkout / "dvc.yaml").write_text(pipeline, encoding="utf-8")
    assert committed(checkout).broken == []


def test_the_pipeline_behind_a_symbolic_link(checkout: Path) -> None:
    (checkout / "dvc.yaml").unlink()
    (checkout / "dvc.yaml").symlink_to("/etc/passwd")
    assert committed(checkout).broken == ["dvc.yaml: a symbolic link: must be a file"]


def test_files_of_a_commit_that_are_not_read(checkout: Path) -> None:
    runs = checkout / "metrics" / "runs"
    (runs / "link.json").symlink_to("/etc/passwd")
    (runs / "folder.json").mkdir()
    (runs / "folder.json" / "x").touch()
    (runs / "large.json").write_bytes(bytes(5_000_001))
    (runs / "bytes.json").write_bytes(b"\xff")
    (runs / ":(glob)*").write_text("literal")
    side = committed(checkout)
    for name, what in {
        "link.json": "a symbolic link: must be a file",
        "folder.json": "not a file: must be a file",
        "large.json": "5.0 MB: must be at most 5 MB",
    }.items():
        with pytest.raises(BenchmarkError) as caught:
            side.reader(runs.relative_to(checkout) / name)
        assert str(caught.value) == f"HEAD: metrics/runs/{name}: {what}"
    assert side.reader(Path("metrics/runs/bytes.json")) == "\ufffd"
    assert side.reader(Path("metrics/runs/:(glob)*")) == "literal"


def test_variants_are_those_with_a_file(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = checkout / "metrics" / "runs"
    names = ["b", "a", "c\nd", "@x `y`"]
    for name in names:
        (runs / f"{name}.json").touch()
    (runs / ".hidden.json").touch()
    (runs / "other.txt").touch()
    (runs / os.fsdecode(b"\xff.json")).touch()
    side = committed(checkout)
    expected = sorted([*names, os.fsdecode(b"\xff")])
    assert side.variants() == Revision("workspace", "workspace").variants() == expected
    monkeypatch.setattr(sides, "MOST_VARIANTS", 2)
    assert side.variants() == expected[:2]


def test_only_modules_are_read_as_code_and_not_any_number(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/one.py", "a/two.py", "a/secret.txt"):
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text(name)
    deps = ["../../etc/x.py", "/etc/x.py", "a\0/b.py", "\ud800/b.py", "x" * 200_000 + "/b.py"]
    deps += ["a/secret.txt", "a/missing.py", "a/one.py", "a/two.py"]
    pipeline = {"stages": {"train": {"cmd": "true", "deps": deps}}}
    (checkout / "dvc.yaml").write_text(json.dumps(pipeline))
    side = committed(checkout)
    assert side.code == {
        name: hashlib.sha256(name.encode()).hexdigest() for name in ("a/one.py", "a/two.py")
    }
    monkeypatch.setattr(sides, "MOST_FILES", 2)  # one of them is missing
    assert list(revision("HEAD").code) == ["a/one.py"]
