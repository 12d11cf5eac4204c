"""Which variant is in which row beside a published result: network and recipe must be the same."""

from collections.abc import Collection, Mapping, Sequence

from resnet.results.metrics import AllResults, Results
from resnet.results.published import Quoted
from resnet.results.recipes import recognize
from resnet.variant import Network

Networks = Mapping[str, Network]  # the variants that are listed or have results, in order


def original_rows(
    networks: Networks, results: AllResults, published: Collection[str]
) -> dict[str, str]:
    """The variant in the row of each of the original's networks: the one of that name, or `model`.

    A variant with results is there only if it was trained on CIFAR-10 exactly by the original's
    recipe; one without results keeps the row for its network.
    """
    rows: dict[str, str] = {}
    for name in sorted(networks, key=lambda name: (name not in results, name == "model")):
        network = networks[name].name
        if network not in published or name not in (network, "model"):
            continue
        if name not in results or _trained_by(results[name], "original"):
            rows.setdefault(network, name)
    return rows


def paper_rows(networks: Networks, full: AllResults, quoted: Sequence[Quoted]) -> dict[str, str]:
    """The variant in the row of each of the papers' networks: of their form and recipe."""
    available = {row["network"] for row in quoted if row["paper_form"] == "paper"}
    rows: dict[str, str] = {}
    for name in sorted(networks, key=lambda name: (name != networks[name].family, name == "model")):
        network = networks[name]
        if network.form != "paper" or network.family not in available or name not in full:
            continue
        if _trained_by(full[name], "paper"):
            rows.setdefault(network.family, name)
    return rows


def _trained_by(results: Results, recipe: str) -> bool:
    """Whether a result may be beside those that were published for a recipe."""
    recognized = recognize(results.parameters)
    return not results.synthetic and recognized.exact and recognized.name == recipe
