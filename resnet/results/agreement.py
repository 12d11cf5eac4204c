"""Whether a result of ours agrees with a published one of the same network and training."""

from collections.abc import Mapping, Sequence

from resnet.results.intervals import published_difference
from resnet.results.metrics import Results
from resnet.results.notes import NONE, OTHERS_COLUMN
from resnet.results.published import Published
from resnet.results.recipes import Recognized, recognize
from resnet.results.verdicts import CANNOT_TELL, agreement
from resnet.training.record import TrainingParameters

COLUMNS = {"Original, 200": "original", "Paper": "papers"}  # of the tables, to their origin
AUGMENTATIONS = {"original": "shift, flip", "paper": "crop, flip"}  # that belong to a recipe


def beside(results: Results, published: Sequence[Published]) -> list[tuple[Published, str]]:
    """The published results that ours is to be compared with, each with the word for it.

    They have the same network, form, recipe, augmentation and protocol: the last epoch is compared
    with the last epoch, and the best on the test set with the best on the test set.
    """
    parameters = results.parameters
    if results.synthetic:
        return []
    recognized = recognize(parameters)
    augmentation = _augmentation(parameters, recognized)
    ours = {
        "network": parameters.network.family,
        "form": parameters.network.form,
        "recipe": recognized.name,
        "augmentation": augmentation,
    }
    if augmentation is None:
        return []
    found = []
    for each in published:
        values = accuracies(results, each.protocol)
        if values and all(getattr(each, key) == value for key, value in ours.items()):
            found.append((each, _word(each, values)))
    return found


def with_words(
    rows: Sequence[dict[str, str]],
    keys: Sequence[str],
    results: Mapping[str, Results],
    published: Sequence[Published],
) -> list[dict[str, str]]:
    """The rows of a table with the word for each published result that ours is compared with.

    `keys` has the key of each row in `results`. Published results that have no column in the table
    are in a column of their own, which is there only if there are any.
    """
    words = {key: beside(each, published) for key, each in results.items()}
    found, elsewhere = [], []
    for row, key in zip(rows, keys, strict=True):
        shown = {column: _origin(column) for column in row}
        by_origin = {each.origin: word for each, word in words.get(key, ())}
        found.append(
            {
                column: f"{text} ({by_origin[shown[column]]})"
                if shown[column] in by_origin
                else text
                for column, text in row.items()
            }
        )
        rest = [pair for pair in words.get(key, ()) if pair[0].origin not in shown.values()]
        elsewhere.append("; ".join(_in_words(*pair) for pair in rest))
    if not any(elsewhere):
        return found
    return [
        {**row, OTHERS_COLUMN: text or NONE} for row, text in zip(found, elsewhere, strict=True)
    ]


def others(published: Sequence[Published]) -> list[Published]:
    """The published results that are in none of the original's tables."""
    return [each for each in published if each.origin == "other"]


def other_row(published: Published) -> dict[str, str]:
    """A row of the table of these results."""
    return {
        "Network": published.network,
        "Form": published.form,
        "Recipe": published.recipe,
        "Augment": published.augmentation,
        "Protocol": published.protocol,
        "Result, %": published.text,
        "Runs": "not stated" if published.runs is None else str(published.runs),
        "Source": published.source,
    }


def _origin(column: str) -> str:
    """The origin of the published results in a column; empty where it has none."""
    return next((origin for start, origin in COLUMNS.items() if column.startswith(start)), "")


def _in_words(published: Published, word: str) -> str:
    origins = {"original": "the original", "papers": "the paper"}
    runs = {None: "runs not stated", 1: "1 run"}.get(published.runs, f"{published.runs} runs")
    return f"{published.text} ({origins.get(published.origin, runs)}): {word}"


def _word(published: Published, ours: Sequence[float]) -> str:
    if len(ours) < 2:  # one seed does not show how seeds vary
        return CANNOT_TELL
    # a median varies less than one run and more than a mean, so it counts as one run
    std = published.std if published.statistic == "mean" else None
    runs = published.runs if std is not None and published.runs else 1
    return agreement(published_difference(published.accuracy, std, runs, ours))


def accuracies(results: Results, protocol: str) -> list[float]:
    """The seeds' accuracies in percent by a protocol of published.csv, if there are any."""
    holdout = results.parameters.holdout
    scored = [run.evaluation.accuracy for run in results.runs]
    if holdout.split == "train" and holdout.fraction:  # trained on fewer images than any of these
        return []
    if protocol == "last epoch":
        return scored if holdout.split == "train" else []
    if protocol == "best on test":
        return scored if holdout.split == "test" else list(results.best_on_test)
    return []


def _augmentation(parameters: TrainingParameters, recognized: Recognized) -> str | None:
    """The augmentation in the words of published.csv.

    None where it is another one, or the recipe differs in anything else.
    """
    others = [each.key for each in recognized.differences if not each.key.startswith("augment.")]
    if others:
        return None
    if recognized.exact:
        return AUGMENTATIONS[recognized.name]
    augment = parameters.augment
    none = not (parameters.recipe.crop or augment.shift or augment.flip)
    return "none" if none else None
