"""The documentation is short, its links and names exist, and its numbers are those in metrics/."""

import ast
import json
import re
import statistics
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.checkout import ROOT, trained
from tests.support.pages import (
    PAGES,
    RENDERED,
    anchors,
    commands,
    links,
    read,
    results_table,
    spans,
)

WRITTEN = [page for page in PAGES if page not in RENDERED]
NOT_IN_GIT = ("data/", "models/", ".resume/", ".venv/", ".dvc/cache", ".dvc/tmp")
INTERNAL = {  # variables
    *("PATH", "KERAS_HOME", "DVC_ROOT", "DVC_STAGE", "DVC_NO_ANALYTICS", "DVC_SITE_CACHE_DIR")
}


def test_readme_has_at_most_1000_words() -> None:
    """Beside the diagram and the table of results, which grows with the trained variants."""
    beside = r"^```mermaid$.*?^```$|^<!-- results -->.*^<!-- /results -->"
    text = re.sub(beside, "", read("README.md"), flags=re.M | re.S)
    assert len(text.split()) <= 1000


def test_readme_links_every_page() -> None:
    linked = {target.partition("#")[0] for target in links("README.md")}
    assert linked >= {*PAGES, "LICENSE"} - {"README.md", "faults/README.md"}


@pytest.mark.parametrize("page", PAGES)
def test_links_and_anchors_resolve(page: str) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for command in [*spans(page), *commands(page)]:
        for words in re.findall(r"\bmake ([^`&|]+)", command):
            named = [word for word in words.split() if re.fullmatch(r"[a-z-]+", word)]
            assert set(named) <= targets, command


@pytest.mark.parametrize("page", PAGES)
def test_modules_that_are_run_exist(page: str) -> None:
    for module in re.findall(r"python3? -m ([\w.]+)", read(page)):
        assert find_spec(module), module


@pytest.mark.parametrize("page", PAGES)
def test_paths_in_backticks_exist(page: str) -> None:
    """A <placeholder> matches anything."""
    for span in spans(page):
        if re.fullmatch(r"[\w.-]+/[\w.<>/-]*", span) and not span.startswith(NOT_IN_GIT):
            assert list(ROOT.glob(re.sub(r"<[^>]+>", "*", span.rstrip("/")))), span


@pytest.mark.parametrize("page", WRITTEN)
def test_parameters_of_experiments_exist(page: str) -> None:
    """`-S +key=value` adds a key, so only its section exists."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for added, key in re.findall(r"-S '?(\+{0,2})(?!KEY=)([a-zA-Z][\w.]*)=", read(page)):
        *sections, last = key.split(".")
        found: Any = values
        for name in sections:
            found = found[name]
        assert added or last in found, key


def _variables_read(path: Path) -> set[str]:
    """The names of the environment variables that a module reads."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(
                func=ast.Attribute(value=value, attr="get" | "setdefault"), args=[key, *_]
            ):
                reads = ast.unparse(value) == "os.environ"
            case ast.Compare(left=key, ops=[ast.In()], comparators=[value]):
                reads = ast.unparse(value) == "os.environ"
            case ast.Call(func=ast.Name(id="flag") | ast.Attribute(attr="flag"), args=[key, *_]):
                reads = True
            case _:
                continue
        if reads and isinstance(key, ast.Constant):
            found.add(str(key.value))
    return found


def test_every_environment_variable_is_documented() -> None:
    modules = [path for folder in ("resnet", "stages") for path in (ROOT / folder).rglob("*.py")]
    variables = {name for path in modules for name in _variables_read(path)}
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \|", read("docs/environment.md"), re.MULTILINE)
    assert variables - INTERNAL == set(rows)


def _first(value: Any, key: str) -> Any:
    """The value of a key that is nearest to the root of nested mappings and lists."""
    level = [value]
    while level:
        for each in level:
            if isinstance(each, dict) and key in each:
                return each[key]
        parts = [each.values() if isinstance(each, dict) else each for each in level]
        level = [child for part in parts for child in part if isinstance(child, dict | list)]
    raise KeyError(key)


def test_results_in_readme_are_those_in_metrics() -> None:
    rows = results_table("README.md")
    assert rows
    for shown, *cells, device in rows:
        variant = match[1] if (match := re.search(r"\((\w+)\)$", shown)) else shown.split(",")[0]
        text = (ROOT / "metrics" / "runs" / f"{variant}.json").read_text(encoding="utf-8")
        accuracy, std = (_first(json.loads(text), key) for key in ("accuracy", "std"))
        histories = list((ROOT / "metrics" / "plots" / "history" / variant).glob("seed*.csv"))
        (epochs,) = {len(path.read_text().splitlines()) - 1 for path in histories}
        score = f"{accuracy:.2f}" if std is None else f"{accuracy:.2f} ± {std:.2f}"
        assert [cell.rstrip(" †‡§") for cell in cells] == [str(epochs), str(len(histories)), score]
        path = ROOT / "metrics" / "provenance" / f"{variant}.json"
        runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
        names = dict.fromkeys(run["training"]["identity"]["device"]["name"] for run in runs)
        assert " and ".join(names) == device


def _model_card_row(variant: str) -> list[str]:
    """What the model card says of a variant, from the predictions and the trainings' records."""
    path = ROOT / "metrics" / "predictions" / f"{variant}.txt"
    correct = [line.count("1") / len(line) for line in path.read_text(encoding="utf-8").split()]
    accuracy = [100 * each for each in correct]
    path = ROOT / "metrics" / "provenance" / f"{variant}.json"
    runs = [run["training"] for run in json.loads(path.read_text(encoding="utf-8"))["runs"]]
    (epochs,) = {run["epochs"] for run in runs}
    (parameters,) = {run["parameter_count"] for run in runs}
    network = runs[0]["identity"]["parameters"]["network"]
    depth = {1: 6, 2: 9}[network["version"]] * network["n"] + 2
    form = ", paper's form" if network.get("form") == "paper" else ""
    spread = f" ± {statistics.stdev(accuracy):.2f}" if len(runs) > 1 else ""
    seeds = [run["identity"]["seed"] for run in runs]
    return [
        variant,
        f"ResNet{depth}v{network['version']}{form}",
        f"{parameters:,}",
        str(epochs),
        f"{statistics.mean(accuracy):.2f}{spread}",
        ", ".join(f"{seed}: {each:.2f}" for seed, each in zip(seeds, accuracy, strict=True)),
    ]


def test_the_model_card_has_the_results_of_the_weights_that_are_published() -> None:
    rows = [_model_card_row(name) for name in trained()]
    text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    shown = [
        [cell.rstrip(" †‡§") for cell in row] for row in results_table("checkpoints/README.md")
    ]
    assert shown == rows, f"`make publish` writes\n{text}"
    record = (ROOT / "metrics" / "provenance" / f"{trained()[0]}.json").read_text(encoding="utf-8")
    *names, last = json.loads(record)["runs"][0]["training"]["classes"]
    text = " ".join(read("checkpoints/README.md").split())
    assert f"in this order, {', '.join(names)} and {last}." in text


def test_the_citation_has_this_version_and_the_papers_of_the_docs() -> None:
    cited = yaml.safe_load(read("CITATION.cff"))
    project = tomllib.loads(read("pyproject.toml"))["project"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    urls = {each["url"] for each in cited["references"]}
    pages = read("docs/differences.md") + read("checkpoints/README.md")
    assert {url for url in urls if "arxiv" in url or "github" in url} <= set(
        re.findall(r"https://[^\s)]+", pages)
    )
    assert {each.get("year") for each in cited["references"]} == {None, 2009, 2015, 2016}
