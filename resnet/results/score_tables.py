"""The tables of the scores that nothing published is beside: likelihood, calibration, classes."""

from collections.abc import Mapping

from resnet.results import cells, notes
from resnet.results.cells import spread
from resnet.results.metrics import Results
from resnet.results.tables import Table


def build(results: Mapping[str, Results]) -> list[Table]:
    """A table of each kind for CIFAR-10 and one for synthetic images, where there are results."""
    synthetic = {name: each for name, each in results.items() if each.synthetic}
    real = {name: each for name, each in results.items() if name not in synthetic}
    found = []
    for group, on, above in (
        (real, "", notes.SCORES),
        (synthetic, ", synthetic data", f"{notes.SYNTHETIC} {notes.SCORES}"),
    ):
        if not group:
            continue
        below = tuple(cells.explained(group.values()))
        found.append(Table(f"Likelihood and calibration{on}", _scores(group), above, below=below))
        if by_class := _by_class(group):
            found.append(Table(f"Accuracy by class, %{on}", by_class, below=below))
    return found


def _scores(results: Mapping[str, Results]) -> tuple[dict[str, str], ...]:
    return tuple(
        {
            "Variant": name,
            "Epochs": str(each.parameters.recipe.epochs),
            "Accuracy %": cells.ours(each)["Accuracy %"],
            "NLL": spread(each.scores("nll"), 4),
            "ECE %": spread(each.scores("ece"), 2),
        }
        for name, each in results.items()
    )


def _by_class(results: Mapping[str, Results]) -> tuple[dict[str, str], ...]:
    """A row per variant and a column per class; none where no variant has these scores."""
    found = {name: each.class_accuracies() for name, each in results.items()}
    classes = dict.fromkeys(name for each in found.values() for name in each)
    if not classes:
        return ()
    return tuple(
        {
            "Variant": name + cells.marks(results[name]),
            **{column: spread(each.get(column, ()), 1) for column in classes},
        }
        for name, each in found.items()
    )
