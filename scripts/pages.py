"""Render the results in README.md, the model card and dvc.yaml; a part of `make publish`.

README.md and the model card, checkpoints/README.md, have a table between two marks, and dvc.yaml
declares the artifacts. They show every listed variant that is trained, by its results in metrics/.
"""

import argparse
import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

from resnet import params
from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.files import write_text
from resnet.results import agreement, markdown, plots
from resnet.results.cells import device, explained, marks, spread
from resnet.results.metrics import AllResults, Results
from resnet.results.published import Published
from resnet.results.recipes import recognize
from resnet.results.stale import is_stale
from resnet.results.store import Store
from resnet.results.verdicts import AGREES, CANNOT_TELL, DIFFERS, MARGIN
from scripts.checkpoints import recorded

README, CARD, PIPELINE = Path("README.md"), Path("checkpoints/README.md"), Path("dvc.yaml")
TABLE = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- /results -->)", re.DOTALL)

NONE_IN_FULL = "**These are short runs. No network has been trained in full yet.**"
IN_FULL_ELSEWHERE = (
    "**These are short runs. Full ones are in [metrics/README.md](metrics/README.md).**"
)
ORIGINS = {"original": "the original's", "papers": "the paper's"}
SENTENCES = {  # what a result says about a published one
    AGREES: "agrees with {theirs} %",
    DIFFERS: "differs from {theirs} %",
    CANNOT_TELL: "does not differ significantly from {theirs} %; {seeds} seeds cannot tell whether "
    f"it agrees within {MARGIN:g} points",
}
ONE_SEED = "(beside {theirs} %; one seed does not show how seeds vary)"
NO_NOISE = "(beside {theirs} %; equal accuracies do not show how seeds vary)"
EPOCHS = {"last epoch": "the last epoch", "best on test": "the best epoch on the test set"}


def readme(found: AllResults, published: Sequence[Published], none_in_full: str) -> str:
    """The table of results, the full trainings first, and what those say about published ones.

    `none_in_full` takes the place of the latter where no training is a full one.
    """
    order = sorted(found, key=lambda name: recognize(found[name].parameters).short)
    rows = [
        (
            plots.label(name, found[name]),
            str(found[name].parameters.recipe.epochs),
            str(found[name].metrics.seeds),
            _accuracy(found[name]),
            device(found[name]),
        )
        for name in order
    ]
    columns = ("Variant", "Epochs", "Seeds", "Test accuracy, %", "Device")
    table = markdown.table(columns, rows, ("left", "right", "right", "right", "left"))
    full = {name: each for name, each in found.items() if not recognize(each.parameters).short}
    sentences = [line for name, each in full.items() for line in _beside(name, each, published)]
    text = markdown.bullets(sentences) if full else none_in_full
    return markdown.page([table, *explained(found.values()), text])


def _accuracy(results: Results) -> str:
    """The mean and the spread over the seeds, with the marks that the tables have."""
    return spread([run.evaluation.accuracy for run in results.runs]) + marks(results)


def _beside(name: str, results: Results, published: Sequence[Published]) -> list[str]:
    """A sentence for each result of the original or a paper that ours is compared with."""
    found = []
    for each, word in agreement.beside(results, published):
        if each.origin not in ORIGINS:
            continue
        values = agreement.accuracies(results, each.protocol)
        noisy = len(set(values)) > 1  # else there is no test
        says = (SENTENCES[word] if noisy else NO_NOISE if len(values) > 1 else ONE_SEED).format(
            seeds=len(values), theirs=f"{ORIGINS[each.origin]} {each.text}"
        )
        ours = f"{spread(values)} % at {EPOCHS[each.protocol]}"
        line = f"{plots.label(name, results)}: {ours} {says}."
        found.append(textwrap.fill(line, 98, subsequent_indent="  "))
    return found


def card(found: AllResults) -> str:
    """The table of the model card, with the accuracy of each checkpoint."""
    rows = []
    for name, results in found.items():
        by_seed = [f"{run.seed}: {run.evaluation.accuracy:.2f}" for run in results.runs]
        rows.append(
            (
                name,
                results.network.name,
                f"{results.metrics.parameters:,}",
                str(results.parameters.recipe.epochs),
                _accuracy(results),
                ", ".join(by_seed),
            )
        )
    columns = ("Variant", "Network", "Parameters", "Epochs", "Test accuracy, %", "By seed, %")
    align = ("left", "left", "right", "right", "right", "left")
    return markdown.page([markdown.table(columns, rows, align), *explained(found.values())])


def pipeline(text: str, found: AllResults) -> str:
    """The text of dvc.yaml with an artifact for each of these variants, and for no others.

    Artifacts of another kind stay, and so do the comments.
    """
    values = parse_yaml_for_update(text, PIPELINE)
    declared = values.setdefault("artifacts", {})
    entries = {name: _artifact(name, results) for name, results in found.items()}
    gone = [
        name
        for name, each in declared.items()
        if name not in entries and each.get("path") == _artifact_path(name)
    ]
    changed = {name: entry for name, entry in entries.items() if declared.get(name) != entry}
    for name in gone:
        del declared[name]
    declared.update(changed)
    return dumps_yaml(values) if gone or changed else text


def _artifact(name: str, results: Results) -> dict[str, Any]:
    images = "synthetic images" if results.synthetic else "CIFAR-10"
    short = ", a short run" if recognize(results.parameters).short else ""
    return {
        "path": _artifact_path(name),
        "type": "model",
        "desc": f"{results.network.name} on {images}{short}; see {CARD.as_posix()}",
        "labels": ["cifar10", "image-classification", "keras", "resnet"],
    }


def _artifact_path(name: str) -> str:
    return f"models/{name}"


def rendered() -> dict[Path, str]:
    """The text that each file should have; raises BenchmarkError where one lacks its marks."""
    store, settings = Store(), params.load()
    trained = {name.variant for name in recorded()}
    found = {}
    for name in settings.variants:
        if name in trained and (results := store.results(name)):
            found[name] = replace(results, stale=is_stale(name, results, settings))
    if not found:
        raise BenchmarkError("no listed variant is trained and evaluated")
    every = filter(None, map(store.results, store.variants()))
    in_full = any(not recognize(each.parameters).short for each in every)
    none_listed = IN_FULL_ELSEWHERE if in_full else NONE_IN_FULL
    texts = {path: path.read_text(encoding="utf-8") for path in (README, CARD, PIPELINE)}
    return {
        README: with_table(
            README, texts[README], readme(found, store.published_results(), none_listed)
        ),
        CARD: with_table(CARD, texts[CARD], card(found)),
        PIPELINE: pipeline(texts[PIPELINE], found),
    }


def with_table(path: Path, text: str, table: str) -> str:
    """The text of a page with another table; raises BenchmarkError where it has no marks for it."""
    changed, count = TABLE.subn(lambda _: table, text, count=1)
    if not count:
        raise BenchmarkError(
            f"{path}: must have <!-- results --> and <!-- /results -->, between which is the table"
        )
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
