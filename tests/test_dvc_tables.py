"""What DVC prints of two variants' results fits in a terminal of 120 columns, under a real dvc.

`dvc exp show` cannot: it has a column per variant and metric, and one per parameter and dep. Its
pager shows the left end, so only that can be checked.
"""

from pathlib import Path

import pytest

from resnet.variant import Network
from scripts.checkout import copy_checkout, set_params
from tests.support.checkout import commit, run
from tests.support.results import make_results, results_of, write_results

WIDTH = 120
NETWORKS = {
    "ResNet20v1-short": Network(version=1, n=3),
    "ResNet20v2-short": Network(version=2, n=2),
}
METRICS = {"accuracy", "std", "seeds", "loss", "nll", "ece", "s/epoch", "parameters"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose working tree has other results than its commit, with as many digits."""
    folder = tmp_path_factory.mktemp("tables") / "checkout"
    copy_checkout(folder, {"variants": list(NETWORKS)})
    write(folder, [86.43, 86.21, 86.77], loss=0.563)
    commit(folder, "first")
    write(folder, [88.13, 88.25, 89.91], loss=0.521)
    set_params(folder / "params.yaml", {"recipes.original.batch_size": 128})
    return folder


def write(folder: Path, accuracies: list[float], loss: float) -> None:
    """Results of both variants in which every value has as many digits as DVC shows."""
    scores = {"loss": loss + 1 / 3000, "nll": loss - 1 / 7, "ece": 10 + loss / 3}
    for name, network in NETWORKS.items():
        made = make_results(name, network=network, accuracies=accuracies, seconds=1000 + loss / 7)
        runs = [
            run.model_copy(update={"evaluation": run.evaluation.model_copy(update=scores)})
            for run in made.runs
        ]
        write_results(folder / "metrics", results_of(runs))


def lines(checkout: Path, *command: str) -> list[str]:
    printed = run(checkout, "dvc", *command)
    assert "failed" not in printed
    return [line.rstrip() for line in printed.splitlines() if line.strip()]


def test_metrics_show_has_a_row_per_variant(checkout: Path) -> None:
    header, *rows = lines(checkout, "metrics", "show")
    assert set(header.split()) == {"Path", *METRICS}
    assert [row.split()[0] for row in rows] == [f"metrics/runs/{name}.json" for name in NETWORKS]
    assert all("- " not in row for row in rows)
    assert max(map(len, [header, *rows])) <= WIDTH


@pytest.mark.parametrize("command", [("metrics", "diff"), ("exp", "diff")])
def test_differences_have_a_row_per_variant_and_metric(
    checkout: Path, command: tuple[str, ...]
) -> None:
    found = lines(checkout, *command)
    assert max(map(len, found)) <= WIDTH
    changed = [row.split()[:2] for row in found if row.startswith("metrics/")]
    expected = [
        [f"metrics/runs/{name}.json", metric]
        for name in NETWORKS
        for metric in sorted(METRICS - {"seeds", "parameters"})
    ]
    assert sorted(changed) == sorted(expected)
    assert ("recipes.original.batch_size" in "".join(found)) == (command[0] == "exp")


def test_exp_show_begins_with_the_first_variants_accuracy_and_has_no_provenance(
    checkout: Path,
) -> None:
    (header,) = [line for line in lines(checkout, "exp", "show") if "Experiment" in line]
    assert "metrics/runs/ResNet20v1-short.json:accuracy" in header[:WIDTH]
    shown = {part.split(":")[1] for part in header.split() if part.startswith("metrics/runs/")}
    assert shown == METRICS
