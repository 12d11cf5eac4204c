"""The structure of the repository: the direction of imports, docstrings, sizes and wording."""

import ast
import re
import subprocess
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from scripts.checkout import copy_checkout
from tests.support.checkout import ROOT, run

# Each folder may import from itself and from those before it. "resnet" are the modules at its top.
ORDER = (
    "resnet",
    "resnet.data",
    "resnet.training",
    "resnet.results",
    "resnet.pretrained",  # at the top for those who import it, and above all that it uses
    "stages",
    "scripts",
    "faults",
    "speed",
    "cluster",
    "tests",
)
FRAMEWORKS = ("keras", "tensorflow", "jax", "torch")
SMALL = {
    "data.source": "synthetic",
    "data.synthetic": {"train_images": 50, "test_images": 10, "seed": 0},
}
LINES = {  # at most, per module
    **dict.fromkeys(("cluster", "resnet", "scripts", "stages"), 270),
    "tests": 400,
}
PHRASES = re.compile(  # with [brackets], so that this file does not contain them
    r"the very [b]its|what a person [c]an|doubtful [f]igure"
    r"|(goes|go|went|going) on ([w]here|after|from)"
    r"|is not [o]beyed|\b([n]obody|[s]omebody|[a]nybody)\b|made ([i]mages|set|data)\b|bad [w]eather"
    r"|what came [o]f|\b[a]new\b|, [s]ay\b[.,)]"
    r"|lies? ([t]here|here|beside)|stands? ([t]here|here|beside)"
    r"|\b[m]end(s|ed)?\b|whatever ([i]t|else|the)\b",
    re.IGNORECASE,
)


def _tracked(*patterns: str) -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [Path(name) for name in done.stdout.split("\0") if name]
    return [path for path in paths if (ROOT / path).is_file()]


def _tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def _name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


@cache
def _imports() -> dict[str, set[str]]:
    """Each module of the project, and the project's modules that it imports anywhere."""
    modules = {_name(path): path for path in _tracked("*.py") if path.name != "__init__.py"}
    found: dict[str, set[str]] = {}
    for module, path in modules.items():
        names: set[str] = set()
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        found[module] = names & modules.keys()
    return found


def _folder(module: str) -> str:
    parts = module.split(".")
    if module in ORDER:
        return module
    return ".".join(parts[:2]) if parts[0] == "resnet" and len(parts) > 2 else parts[0]


def test_imports_point_one_way() -> None:
    pairs = [(module, other) for module, others in _imports().items() for other in others]
    assert {_folder(module) for module in _imports()} == set(ORDER)
    assert not [
        f"{module} imports {other}"
        for module, other in pairs
        if ORDER.index(_folder(module)) < ORDER.index(_folder(other))
    ]


def test_no_module_imports_itself_through_others() -> None:
    TopologicalSorter(_imports()).prepare()  # a CycleError names the modules


def test_no_test_imports_another() -> None:
    assert not [
        f"{module} imports {other}"
        for module, others in _imports().items()
        for other in others
        if re.search(r"\.(test_\w+|conftest)$", other)
    ]


@pytest.fixture(scope="module")
def synthetic_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkout = tmp_path_factory.mktemp("house")
    copy_checkout(checkout, SMALL)
    return checkout


def test_stages_without_networks_import_no_framework(synthetic_checkout: Path) -> None:
    """Each stage does its whole work first, so that imports within functions count too."""
    for stage in ("fetch", "preprocess", "report"):
        unwanted = (*FRAMEWORKS, "pandas") if stage == "fetch" else FRAMEWORKS
        code = (
            "import runpy, sys\n"
            f"sys.argv = ['stages.{stage}']\n"
            f"runpy.run_module('stages.{stage}', run_name='__main__')\n"
            f"print('imported:', *{set(unwanted)!r} & set(sys.modules))"
        )
        printed = run(synthetic_checkout, "python", "-c", code)
        assert printed.splitlines()[-1] == "imported:", stage


@pytest.mark.parametrize("path", _tracked("*__init__.py"), ids=str)
def test_an_init_file_describes_its_folder_and_has_no_code(path: Path) -> None:
    tree = _tree(path)
    assert len(tree.body) == 1
    assert len((ast.get_docstring(tree) or "").splitlines()) >= 3


@pytest.mark.parametrize("folder", ["resnet/results", "scripts"])
def test_a_large_folder_is_described_module_by_module(folder: str) -> None:
    description = ast.get_docstring(_tree(Path(folder, "__init__.py"))) or ""
    names = {path.stem for path in _tracked(f"{folder}/[a-z]*.py")}
    assert names - set(re.findall(r"\w+", description)) == set()


def test_every_folder_with_modules_has_an_init_file() -> None:
    folders = {path.parent for path in _tracked("*.py")}
    assert not [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").is_file()]


@pytest.mark.parametrize("folder", LINES)
def test_modules_are_short(folder: str) -> None:
    lengths = {
        str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines())
        for path in _tracked(f"{folder}/*.py")
    }
    assert not {path: lines for path, lines in lengths.items() if lines > LINES[folder]}


def test_lines_that_ruff_does_not_check_are_short() -> None:
    """At most 100 columns in the Makefile and YAML; ruff checks Python."""
    paths = _tracked("Makefile", "*.yaml", "*.yml", "*.toml")
    assert not [
        f"{path}:{number}"
        for path in paths
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > 100
    ]


def test_wording() -> None:
    paths = _tracked("*.md", "*.py", "*.yaml", "*.yml", "Makefile")
    assert not [
        f"{path}:{number}: {match[0]}"
        for path in paths
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1)
        if (match := PHRASES.search(line))
    ]


def test_no_test_reads_a_clock() -> None:
    """A test that compares times fails on a busy machine."""
    clocks = {"monotonic", "perf_counter", "process_time", "time"}
    dates = {"now", "utcnow", "today"}

    def reads_a_clock(node: ast.AST) -> bool:
        match node:
            case ast.Attribute(value=ast.Name(id="time"), attr=name):
                return name in clocks
            case ast.ImportFrom(module="time", names=names):
                return any(alias.name in clocks for alias in names)
            case ast.Attribute(value=ast.Name(id=kind) | ast.Attribute(attr=kind), attr=name):
                return kind in ("datetime", "date") and name in dates
        return False

    for code in ("from time import monotonic", "datetime.now(UTC)", "datetime.date.today()"):
        assert any(reads_a_clock(node) for node in ast.walk(ast.parse(code))), code
    assert not [
        f"{path}:{getattr(node, 'lineno', 0)}"
        for path in _tracked("tests/*.py")
        for node in ast.walk(_tree(path))
        if reads_a_clock(node)
    ]


def test_generated_files_are_marked_and_the_results_stay_in_view() -> None:
    text = (ROOT / ".gitattributes").read_text(encoding="utf-8")
    patterns = re.findall(r"^(\S+) linguist-generated$", text, re.MULTILINE)
    assert [pattern for pattern in patterns if not _tracked(pattern)] == []
    shown = _tracked("metrics/README.md", "metrics/results.csv", "metrics/runs/*")
    attributes = run(ROOT, "git", "check-attr", "linguist-generated", *map(str, shown))
    assert attributes.count(": unspecified") == len(shown)
