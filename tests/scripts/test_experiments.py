"""The table of experiments, of commits and experiments that a real dvc saved."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from dvc.repo.experiments.serialize import ExpExecutor, ExpRange, ExpState, SerializableExp

from resnet.results.markdown import text_table
from resnet.variant import Network
from scripts import experiments
from scripts.checkout import copy_checkout, set_params
from scripts.experiments import ALIGN, COLUMNS, WIDTHS
from tests.support.checkout import commit, git, run
from tests.support.results import make_results, write_results

NETWORKS = {
    "ResNet20v1-short": Network(version=1, n=3),
    "ResNet20v2-short": Network(version=2, n=2),
}


def write(checkout: Path, name: str, *accuracies: float) -> None:
    results = make_results(name, network=NETWORKS[name], accuracies=accuracies)
    write_results(checkout / "metrics", results)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    checkout = tmp_path_factory.mktemp("experiments") / "checkout"
    copy_checkout(checkout, {"variants": list(NETWORKS)})
    run(checkout, "git", "checkout", "--quiet", "-b", "main")
    # `dvc exp save` wants every output of every stage: here are only the metrics
    paths = [f"metrics/runs/{name}.json" for name in NETWORKS]
    (checkout / "dvc.yaml").write_text(yaml.safe_dump({"metrics": paths}))
    for name in NETWORKS:
        write(checkout, name, 86.0, 86.5)
    commit(checkout, "first")
    set_params(checkout / "params.yaml", {"ResNet20v1-short.epochs": 13, "augment.flip": False})
    write(checkout, "ResNet20v1-short", 87.0, 88.0)
    run(checkout, "dvc", "exp", "save", "--name", "longer-without-flips")
    git(checkout, "checkout", "--quiet", ".")
    write(checkout, "ResNet20v2-short", 80.0)
    return run(checkout, "python", "-m", "scripts.experiments")


def test_a_row_per_commit_and_variant_and_those_that_an_experiment_changed(printed: str) -> None:
    rows = [line.split("  ") for line in printed.splitlines()[2:]]
    found = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    scores = ["2", "0.3150", "4.25", "15.3"]
    assert [row for row in found if len(row) > 2] == [
        ["workspace", "ResNet20v1-short", "86.25 ± 0.35", *scores],
        ["workspace", "ResNet20v2-short", "80.00", "1", "0.3100", "4.20", "15.3"],
        ["main", "ResNet20v1-short", "86.25 ± 0.35", *scores],
        ["main", "ResNet20v2-short", "86.25 ± 0.35", *scores],
        [
            "longer-without-",
            "ResNet20v1-short",
            "87.50 ± 0.71",
            *scores,
            "ResNet20v1-short.epochs=13,",
        ],
    ]
    assert "augment.flip=False" in printed


def test_only_an_experiment_that_has_ended_well_has_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC gives a running or failed one the metrics that the working tree had when it began."""
    monkeypatch.chdir(tmp_path)
    results = make_results("model", network=Network(version=1, n=3), accuracies=(86.0, 86.5))
    write_results(tmp_path / "metrics", results)
    values = json.loads((tmp_path / "metrics/runs/model.json").read_text(encoding="utf-8"))
    del values["schema"]  # a list, which DVC leaves out

    def state(rev: str, accuracy: float, epochs: int) -> ExpState:
        metrics = {"metrics/runs/model.json": {"data": {**values, "accuracy": accuracy}}}
        data = {"params.yaml": {"data": {"model": {"epochs": epochs}}}}
        return ExpState(rev, name=rev, data=SerializableExp(rev, params=data, metrics=metrics))

    ended = [
        ExpRange([state(name, 99.0, 3)], executor=executor and ExpExecutor(executor))
        for name, executor in (("a", None), ("b", "success"), ("c", "running"), ("d", "failed"))
    ]
    lost = ExpRange([ExpState("e" * 40)])
    baseline = ExpState("main", name="main", data=state("", 86.25, 200).data)
    rows = list(experiments._rows(replace(baseline, experiments=[*ended, lost])))
    assert [row[:3] for row in rows] == [
        ("main", "model", "86.25 ± 0.35"),
        ("a", "model", "99.00 ± 0.35"),
        ("b", "model", "99.00 ± 0.35"),
        ("c", "(running)", ""),
        ("d", "(failed)", ""),
        ("eeeeeee", "(cannot be read)", ""),
    ]
    assert [row[-1] for row in rows] == ["", *["model.epochs=3"] * 4, ""]


def test_it_fits_in_a_terminal(printed: str) -> None:
    assert max(map(len, printed.splitlines())) <= 120
    widest = ("e" * 40, "ResNet1001v2-short", "100.00 ± 10.00", "10", "9.9999", "10.00", "12345.6")
    table = text_table(COLUMNS, [(*widest, "c" * 80)], ALIGN, WIDTHS)
    assert max(map(len, table.splitlines())) == 120
