import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from resnet import params
from resnet.errors import BenchmarkError
from resnet.params import Network
from stages import report as stage
from stages.report import read_metrics, read_published

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "metrics/published.csv"
MODEL = Network(version=1, n=3)
LISTED = {"model": MODEL, "ResNet32v1": Network(version=1, n=5)}


def made(network: Network, runs: int = 3, **changes: Any) -> dict[str, Any]:
    """A metrics file's content, whole and consistent."""
    run = {"accuracy": 91.5, "errors": 850, "loss": 0.43, "seconds_per_epoch": 15.26}
    return {
        **run,
        "network": network.name,
        "data": "cifar10",
        "recipe": "original",
        "holdout": "none",
        "accuracy_std": 0.21 if runs > 1 else None,
        "n": runs,
        "images": 10000,
        "parameters": 274442,
        "epochs": 200,
        "recipe_epochs": 200,
        "total_seconds": 3052.0,
        "compile_seconds": 8.0,
        "peak_memory_mb": 900,
        "device": "NVIDIA H100 80GB HBM3",
        "backend": "tensorflow",
        "float32_products": "float32",
        "precision": "float32",
        "versions": {
            "python": "3.11.7",
            "keras": "3.15.1",
            "tensorflow": "2.21.0",
            "numpy": "2.4.6",
        },
        "runs": [{"seed": seed, **run} for seed in range(runs)],
        **changes,
    }


def report(networks: Mapping[str, Network], folder: Path) -> str:
    """The stage's tables from a folder with what metrics/ holds."""
    shutil.copy(PUBLISHED, folder / "published.csv")
    return stage.report(networks, folder)


def write(runs: Path, name: str, content: dict[str, Any]) -> Path:
    runs.mkdir(exist_ok=True)
    path = runs / f"{name}.json"
    path.write_text(json.dumps(content))
    return path


def test_page_and_terminal_show_the_same_figures_and_the_same_input_gives_the_same_bytes(
    tmp_path: Path,
) -> None:
    write(tmp_path / "runs", "model", made(MODEL))
    page = tmp_path / "README.md"
    text = report(LISTED, tmp_path)
    first = page.read_bytes()
    assert report(LISTED, tmp_path) == text
    assert page.read_bytes() == first
    lines = first.decode().splitlines()
    assert lines[0].startswith("# ")
    assert (
        lines[2]
        == "Rendered by `dvc repro report` (`python -m stages.report`); do not edit by hand."
    )
    assert "91.50 ± 0.21 (n=3)" in first.decode()
    assert "91.50 ± 0.21 (n=3)" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md",
        "plots",
        "published.csv",
        "runs",
    ]


def test_no_runs_folder_is_nothing_trained(tmp_path: Path) -> None:
    text = report(LISTED, tmp_path)
    assert text.count("No full run of these on CIFAR-10 yet.") == 4


def test_files_of_variants_that_are_not_listed_are_named_in_one_line(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("model", "ResNet44v1", "ResNet20v1-sgd"):
        write(runs, name, made(MODEL))
    (runs / ".half.json").write_text("{")
    figures, left_out = read_metrics(LISTED, runs)
    assert list(figures) == ["model"]
    expected = f"Left out: `{runs}/ResNet20v1-sgd.json` (not among variants), `{runs}/ResNet44v1.json` (not among variants)."
    assert left_out == expected
    page = tmp_path / "README.md"
    assert report(LISTED, tmp_path).splitlines()[-1] == expected.replace("`", "")
    assert expected in page.read_text(encoding="utf-8").splitlines()


def test_a_file_of_another_network_than_params_yaml_says_fills_no_row(tmp_path: Path) -> None:
    write(tmp_path, "model", made(Network(version=1, n=9)))
    figures, left_out = read_metrics(LISTED, tmp_path)
    assert not figures
    assert (
        "model.json` (of ResNet56v1, where model is now ResNet20v1: run `dvc repro evaluate@model`)"
        in left_out
    )


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"accuracy": None}, "accuracy is None: must be a valid number"),
        ({"accuracy": "92.1"}, "accuracy is '92.1': must be a valid number"),
        ({"accuracy": 101.0}, "accuracy is 101.0: must be less than or equal to 100"),
        ({"accuracy_std": float("nan")}, "not JSON: NaN is no figure"),
        ({"loss": float("inf")}, "not JSON: Infinity is no figure"),
        ({"n": 2}, "n is 2, but runs holds 3"),
        ({"accuracy_std": None}, "accuracy_std is None with n 3: must be null for one run"),
        ({"data": "mnist"}, "data is 'mnist': must be 'cifar10' or 'synthetic'"),
        ({"holdout": "some"}, "holdout is 'some'"),
        ({"versions": {"keras": "3.15.1"}}, "versions.tensorflow: missing"),
        ({"backend": "tensorflow and jax"}, "versions.jax: missing"),
        ({"runs": [{"seed": 0}] * 3}, "runs.0.accuracy: missing"),
    ],
)
def test_a_broken_metrics_file_is_one_line_with_file_and_key(
    tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    path = write(tmp_path, "model", {**made(MODEL), **changes})
    with pytest.raises(BenchmarkError) as caught:
        read_metrics(LISTED, tmp_path)
    assert str(caught.value).startswith(f"{path}: ")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", made(MODEL))
def test_every_key_of_a_metrics_file_is_needed(tmp_path: Path, key: str) -> None:
    content = made(MODEL)
    del content[key]
    path = write(tmp_path, "model", content)
    with pytest.raises(BenchmarkError) as caught:
        read_metrics(LISTED, tmp_path)
    assert str(caught.value) == f"{path}: {key}: missing"


@pytest.mark.parametrize("text", ["", "{", "[1]", "\ufeff{}"])
def test_a_file_that_is_no_json_object_is_one_line_and_leaves_the_page(
    tmp_path: Path, text: str
) -> None:
    path = write(tmp_path / "runs", "model", {})
    path.write_text(text, encoding="utf-8")
    page = tmp_path / "README.md"
    page.write_text("as before")
    with pytest.raises(BenchmarkError, match="JSON") as caught:
        report(LISTED, tmp_path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert page.read_text() == "as before"


@pytest.mark.parametrize("text", ["", "network,n\nResNet20v1,3\n", "a\n1,2\n1,2,3\n"])
def test_published_figures_that_cannot_be_read_are_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "published.csv"
    path.write_text(text)
    with pytest.raises(BenchmarkError) as caught:
        read_published(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_the_stage_runs_as_a_command_without_a_deep_learning_framework(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    write(tmp_path, "model", made(params.load(ROOT / "params.yaml").variants["model"].network))
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/published.csv").write_bytes(PUBLISHED.read_bytes())
    code = (
        "import runpy, sys; runpy.run_module('stages.report', run_name='__main__');"
        "print(sorted({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-2:] == ["written to metrics/README.md, with the notes", "[]"]
    assert (tmp_path / "metrics/README.md").exists()
