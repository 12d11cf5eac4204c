"""Bring what other files say about the trained variants up to date: `make publish` does.

README.md and the model card, checkpoints/README.md, have a table between two marks, and dvc.yaml
declares the artifacts. They show every listed variant that is trained, by its results in metrics/.
"""

import argparse
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from resnet import params
from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.files import write_text
from resnet.results import agreement, markdown, plots
from resnet.results.cells import device, spread
from resnet.results.metrics import Results
from resnet.results.published import Published
from resnet.results.recipes import recognize
from resnet.results.store import Store
from resnet.results.verdicts import AGREES, CANNOT_TELL, DIFFERS, MARGIN
from scripts.checkpoints import recorded

README, CARD, PIPELINE = Path("README.md"), Path("checkpoints/README.md"), Path("dvc.yaml")
TABLE = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- /results -->)", re.DOTALL)
REGIONS = {  # file to what is rendered in it
    README: TABLE,
    CARD: TABLE,
    PIPELINE: re.compile(r"(?<=^artifacts:\n)(?: .*\n)*", re.MULTILINE),
}
AllResults = Mapping[str, Results]  # by variant

NONE_IN_FULL = "**These are short runs. No network has been trained in full yet.**"
ORIGINS = {"original": "the original's", "papers": "the paper's"}
SENTENCES = {  # what a result says about a published one
    AGREES: "agrees with {theirs} %",
    DIFFERS: "differs from {theirs} %",
    CANNOT_TELL: "does not differ significantly from {theirs} %; {seeds} seeds are too few to show "
    f"that the difference is below {MARGIN:g} points",
}
ONE_SEED = "beside {theirs} %; one seed does not show how seeds vary"
EPOCHS = {"last epoch": "the last epoch", "best on test": "the best epoch on the test set"}


def readme(found: AllResults, published: Sequence[Published]) -> str:
    """The table of results, the full trainings first, and what those say about published ones."""
    order = sorted(found, key=lambda name: recognize(found[name].parameters).short)
    rows = [
        (
            plots.label(name, found[name]),
            str(found[name].parameters.recipe.epochs),
            str(found[name].metrics.seeds),
            spread([run.evaluation.accuracy for run in found[name].runs]),
            device(found[name]),
        )
        for name in order
    ]
    columns = ("Variant", "Epochs", "Seeds", "Test accuracy, %", "Device")
    table = markdown.table(columns, rows, ("left", "right", "right", "right", "left"))
    full = {name: each for name, each in found.items() if not recognize(each.parameters).short}
    sentences = [line for name, each in full.items() for line in _beside(name, each, published)]
    text = markdown.bullets(sentences) if full else NONE_IN_FULL
    return "\n\n".join(filter(None, [table, text])) + "\n"


def _beside(name: str, results: Results, published: Sequence[Published]) -> list[str]:
    """A sentence for each result of the original or a paper that ours is compared with."""
    found = []
    for each, word in agreement.beside(results, published):
        if each.origin not in ORIGINS:
            continue
        last = [run.evaluation.accuracy for run in results.runs]
        values = results.best_on_test if each.protocol == "best on test" else last
        says = (SENTENCES[word] if len(values) > 1 else ONE_SEED).format(
            seeds=len(values), theirs=f"{ORIGINS[each.origin]} {each.text}"
        )
        ours = f"{spread(values)} % at {EPOCHS[each.protocol]}"
        line = f"{plots.label(name, results)}: {ours}, {says}."
        found.append(textwrap.fill(line, 98, subsequent_indent="  "))
    return found


def card(found: AllResults) -> str:
    """The table of the model card, with the accuracy of each checkpoint."""
    rows = []
    for name, results in found.items():
        accuracies = [run.evaluation.accuracy for run in results.runs]
        by_seed = [
            f"{run.seed}: {accuracy:.2f}"
            for run, accuracy in zip(results.runs, accuracies, strict=True)
        ]
        rows.append(
            (
                name,
                results.network.name,
                f"{results.metrics.parameters:,}",
                str(results.parameters.recipe.epochs),
                spread(accuracies),
                ", ".join(by_seed),
            )
        )
    columns = ("Variant", "Network", "Parameters", "Epochs", "Test accuracy, %", "By seed, %")
    align = ("left", "left", "right", "right", "right", "left")
    return f"{markdown.table(columns, rows, align)}\n"


def artifacts(found: AllResults) -> str:
    """The entries of dvc.yaml's artifacts."""
    entries: dict[str, Any] = {}
    for name, results in found.items():
        short = " in a short run" if recognize(results.parameters).short else ""
        entries[name] = {
            "path": f"models/{name}",
            "type": "model",
            "desc": f"{results.network.name} trained on {_images(results)}{short}; model card in "
            f"{CARD.as_posix()}",
            "labels": ["cifar10", "image-classification", "keras", "resnet"],
        }
    text = yaml.safe_dump(entries, sort_keys=False, default_flow_style=None, width=1000)
    return textwrap.indent(text, "  ")


def _images(results: Results) -> str:
    return "synthetic images" if results.synthetic else "CIFAR-10"


def rendered() -> dict[Path, str]:
    """The text that each file should have; raises BenchmarkError where one lacks its marks."""
    store, settings = Store(), params.load()
    trained = {name.variant for name in recorded()}
    every = {name: store.results(name) for name in settings.variants if name in trained}
    found = {name: results for name, results in every.items() if results}
    if not found:
        raise BenchmarkError("no listed variant is trained and evaluated")
    parts = {
        README: readme(found, store.published_results()),
        CARD: card(found),
        PIPELINE: artifacts(found),
    }
    return {path: with_region(path, path.read_text("utf-8"), part) for path, part in parts.items()}


def with_region(path: Path, text: str, part: str) -> str:
    """The text of such a file with another region; raises BenchmarkError where it has none."""
    changed, count = REGIONS[path].subn(lambda _: part, text, count=1)
    if not count:
        marks = "artifacts:" if path == PIPELINE else "<!-- results --> and <!-- /results -->"
        raise BenchmarkError(f"{path}: must have {marks}, where the trained variants are shown")
    return changed


def update() -> None:
    """Write the files that are out of date."""
    for path, text in rendered().items():
        if path.read_text(encoding="utf-8") != text:
            write_text(path, text)
            print(f"{path}: brought up to date; commit it")


def main(_arguments: argparse.Namespace) -> None:
    update()


if __name__ == "__main__":
    run_stage(main, command_parser("scripts.pages", __doc__))
