"""The table of experiments, of commits and experiments that a real dvc saved."""

from pathlib import Path

import pytest
import yaml

from resnet.results.markdown import text_table
from resnet.variant import Network
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


def test_it_fits_in_a_terminal(printed: str) -> None:
    assert max(map(len, printed.splitlines())) <= 120
    widest = ("e" * 40, "ResNet1001v2-short", "100.00 ± 10.00", "10", "9.9999", "10.00", "12345.6")
    table = text_table(COLUMNS, [(*widest, "c" * 80)], ALIGN, WIDTHS)
    assert max(map(len, table.splitlines())) == 120
