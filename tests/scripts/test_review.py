"""scripts.review on real commits of a repository."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet.results.store import Store, VariantFiles
from resnet.variant import Network
from scripts.checkout import copy_checkout
from tests.support.checkout import commit, git, run
from tests.support.connections import heard, listening
from tests.support.results import (
    CLASSES,
    history_text,
    make_results,
    results_of,
    review,
    review_process,
    write_results,
)

SAME_CORRECT = "**no difference seen** (the same images classified correctly)"


def write(checkout: Path, name: str, draw: int, accuracies: list[float], **options: Any) -> None:
    """A variant's results on 1,000 images, with errors on those that `draw` chooses."""
    times = [10.0 + seed for seed in range(len(accuracies))]
    results = make_results(name, accuracies=accuracies, images=1000, seconds=times, **options)
    write_results(checkout / "metrics", results, draw)


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three results on main; a branch with one better, one incomparable, one added, one removed."""
    checkout = tmp_path_factory.mktemp("review") / "checkout"
    copy_checkout(checkout, {"variants": ["model", "ResNet32v1", "ResNet44v1"]})
    git(checkout, "checkout", "--quiet", "-b", "main")
    write(checkout, "model", 1, [90, 91, 90])
    write(checkout, "ResNet32v1", 2, [90])
    write(checkout, "ResNet44v1", 3, [90])
    commit(checkout, "main")
    git(checkout, "checkout", "--quiet", "-b", "change")
    params = checkout / "params.yaml"
    text = params.read_text().replace("- ResNet44v1\n", "- ResNet56v1\n")
    params.write_text(text.replace("  shift: 0.1", "  shift: 0.2"))
    write(checkout, "model", 4, [97, 96, 97], network=Network(version=1, n=9))
    write(checkout, "ResNet32v1", 5, [80], changes={"epochs": 3})
    write(checkout, "ResNet56v1", 6, [90])
    (checkout / "metrics/runs/ResNet44v1.json").unlink()
    commit(checkout, "change")
    return checkout


@pytest.fixture
def copy(committed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(committed, tmp_path / "copy"))


def rows(text: str, section: str = "Accuracy, %") -> dict[str, list[str]]:
    """The rows of a section's tables, folded or not, each by its first cell without backticks."""
    lines = text.split(f"## {section}\n")[1].split("\n## ")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells if len(row) > 1 and row[0][0] == "`"}


def test_two_commits(committed: Path) -> None:
    status, text, error = review_process(committed, "main", "change")
    assert (status, error) == (0, "")
    assert text.splitlines()[:3] == [
        "**Results of `main` are stale. Results of `change` are stale. "
        "Accuracy: 1 better, 0 worse, 0 unchanged, 1 cannot tell, 1 added, 1 removed.** "
        "Seconds per epoch: 0 better, 0 worse, 2 unchanged, 0 cannot tell.",
        "",
        "`main` → `change`",
    ]
    accuracy = rows(text)
    assert list(accuracy) == ["model", "ResNet32v1", "ResNet56v1", "ResNet44v1"]
    assert accuracy["model"][:3] == [
        "ResNet20v1 → ResNet56v1",
        "90.33 ± 0.58 (3 seeds)",
        "96.67 ± 0.58 (3 seeds)",
    ]
    assert accuracy["model"][3].startswith("+6.33 [+")
    assert accuracy["model"][4] == "**better**"
    incomparable = "**not comparable** (different number of epochs: 200 → 3 of 200)"
    assert accuracy["ResNet32v1"][4] == incomparable
    assert accuracy["ResNet56v1"][1:] == ["–", "90.00 (1 seed)", "–", "**added**"]
    assert accuracy["ResNet44v1"][1:] == ["90.00 (1 seed)", "–", "–", "**removed**"]
    seconds = rows(text, "Seconds per epoch")
    assert seconds["model"][3:] == ["+0.00", "**no difference seen** (the same times)"]
    changed = rows(text, "params.yaml")
    assert changed["augment.shift"] == ["`0.1`", "`0.2`"]
    assert list(changed) == ["augment.shift", "variants"]


def test_fail_on_worse(committed: Path) -> None:
    assert review(committed, "main", "change", "--fail-on", "worse")[0] == 0
    status, text, error = review(committed, "change", "main", "--fail-on", "worse")
    assert (status, error) == (1, "")
    assert rows(text)["model"][4] == "**worse**"
    assert review(committed, "change", "main")[0] == 0


def test_a_time_that_is_worse_fails_too(copy: Path) -> None:
    """The same images classified correctly as on main, after longer epochs."""
    results = make_results("model", accuracies=[90, 91, 90], images=1000, seconds=[20, 21, 22])
    write_results(copy / "metrics", results, 1)
    status, text, _ = review(copy, "main", "--fail-on", "worse")
    assert status == 1
    assert rows(text)["model"][4] == SAME_CORRECT
    assert rows(text, "Seconds per epoch")["model"][4] == "**worse**"


def test_accuracies_and_times_are_corrected_together(copy: Path) -> None:
    """Two differences that are each seen at 5 %, but not as two of one review."""
    times = [12.9, 13.9, 14.9]
    results = make_results("model", accuracies=[92.9, 93.9, 92.9], images=1000, seconds=times)
    write_results(copy / "metrics", results, 4)
    _, text, _ = review(copy, "main", "workspace")
    for section in ("Accuracy, %", "Seconds per epoch"):
        row = rows(text, section)["model"]
        assert row[3].startswith("+2.90 [+")
        assert row[4].startswith("**no difference seen** (in 2 comparisons, one such interval may")


def test_the_margin_decides_what_is_equivalent(copy: Path) -> None:
    write(copy, "model", 1, [90.1, 91, 90.1])
    for arguments, word in (
        ((), "no difference seen"),
        (("--margin", "20"), "equivalent** (within ±20)"),
    ):
        status, text, _ = review(copy, "main", *arguments, "--fail-on", "worse")
        assert (status, word in rows(text)["model"][4]) == (0, True)


def test_seeds_in_another_order_are_unchanged(copy: Path) -> None:
    store = Store(copy / "metrics")
    results = store.results("model")
    assert results
    histories = {run.seed: history_text(run.training.epochs) for run in results.runs}
    correct, reverse = store.correct("model", results)[::-1], results_of(results.runs[::-1])
    counts = np.array([[500, 0], [0, 500]])
    store.write_variant("model", VariantFiles(reverse, correct, counts, CLASSES, histories))
    status, text, _ = review(copy, "HEAD")
    assert status == 0
    assert rows(text)["model"][-1] == SAME_CORRECT
    assert rows(text, "Seconds per epoch")["model"][-1].endswith("(the same times)")


def test_two_names_of_one_commit(committed: Path) -> None:
    git(committed, "tag", "v1", "main")
    for names in (("main", "v1"), ("v1", "main"), ("change", "HEAD")):
        status, text, _ = review(committed, *names)
        assert status == 0
        assert rows(text)["model"][4] == SAME_CORRECT


def test_the_workspace_of_a_clone_without_cache_or_remote(committed: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--branch", "change", str(committed), str(clone))
    _, text, _ = review_process(clone, "HEAD", more=listening(tmp_path))
    assert {event.kind for event in heard(tmp_path)} == {"starts"}  # nor the network
    assert rows(text)["model"][3:] == ["+0.00 [+0.00, +0.00]", SAME_CORRECT]
    write(clone, "model", 4, [50, 50, 50])
    text = review(clone, "HEAD")[1]
    assert rows(text)["model"][4] == "**worse**"
    assert "## params.yaml\n\nNothing changed." in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("nowhere",),
        ("main", "--fail-on=me"),
        ("-x", "main"),
        ("main", "--margin=0"),
        ("main", "--margin=nan"),
        ("main", "--margin=half"),
    ],
)
def test_bad_arguments(committed: Path, arguments: tuple[str, ...]) -> None:
    status, text, error = review(committed, *arguments)
    assert (status, text) == (1 if arguments == ("nowhere",) else 2, "")
    assert "Traceback" not in error
    if arguments[-1].startswith("--margin"):
        given = arguments[-1].partition("=")[2]
        line = f"'{given}': must be a number of points above 0, e.g. 0.5"
        assert error.splitlines()[-1].endswith(f"argument --margin: {line}")
    elif arguments[0] == "-x":
        assert error.endswith(": error: unrecognized arguments: -x\n")
    elif arguments[0] == "main":
        assert "error: argument --fail-on: invalid choice: 'me' " in error
    else:
        assert error == (
            "review: 'nowhere' is not a commit of this repository; "
            "name a branch, a tag, a commit, a DVC experiment, or workspace\n"
        )


def unread(copy: Path, *arguments: str) -> str:
    """The line on what cannot be read in the workspace; only `--fail-on worse` fails."""
    status, text, _ = review(copy, "main", *arguments)
    assert status == 0
    assert review(copy, "main", "--fail-on", "worse")[0] == 1
    (line,) = [line for line in text.splitlines() if line.endswith("`model` is not comparable")]
    return line


def test_results_that_cannot_be_read(copy: Path) -> None:
    predictions = copy / "metrics/predictions/model.txt"
    answers = predictions.read_text()
    predictions.write_text("01\n10\n11\n")
    assert unread(copy).startswith(
        "- `workspace: metrics/predictions/model.txt and metrics/provenance/model.json are of "
    )
    predictions.write_text(answers)
    metrics = copy / "metrics/runs/model.json"
    whole = metrics.read_text()
    metrics.write_text(json.dumps({**json.loads(whole), "accuracy": 99.0}))
    assert "metrics/runs/model.json: accuracy is 99.0, but the runs in" in unread(copy)
    metrics.write_text(whole)
    predictions.unlink()
    assert "- `` workspace: metrics/predictions/model.txt: no such file; run `dvc" in unread(copy)
    metrics.write_text("[" * 100_000)
    deep = "- `workspace: metrics/runs/model.json: not JSON: recursion limit exceeded"
    assert deep in unread(copy)


@pytest.mark.parametrize("text", ["{}", "[1]", "null"])
def test_a_file_without_results_is_not_a_removed_variant(copy: Path, text: str) -> None:
    (copy / "metrics/runs/model.json").write_text(text)
    status, printed, _ = review(copy, "main", "--fail-on", "worse")
    assert status == 1
    assert "model" not in rows(printed)
    assert "- `workspace: metrics/runs/model.json: " in printed


def test_a_damaged_base_does_not_stop_the_review(copy: Path) -> None:
    git(copy, "checkout", "--quiet", "-b", "broken", "main")
    metrics = copy / "metrics/runs/model.json"
    whole = metrics.read_text()
    metrics.write_text(whole[:50])
    git(copy, "commit", "--quiet", "--all", "-m", "broken")
    metrics.write_text(whole)
    status, text, _ = review(copy, "broken", "--fail-on", "worse")
    assert status == 0
    assert "- `broken: metrics/runs/model.json: " in text
    assert text.count("model` is not comparable") == 1
    assert rows(text)["ResNet32v1"][4] == SAME_CORRECT
    metrics.unlink()  # the file of BASE is named even if REV has none
    assert review(copy, "broken")[1].count("model` is not comparable") == 1


def test_a_base_of_another_schema_is_one_clear_line(copy: Path) -> None:
    git(copy, "checkout", "--quiet", "-b", "older", "main")
    metrics = copy / "metrics/runs/model.json"
    whole = metrics.read_text()
    metrics.write_text('{"network": "ResNet20v1", "accuracy": 91.0, "n": 3}')
    git(copy, "commit", "--quiet", "--all", "-m", "older")
    metrics.write_text(whole)
    assert (
        "- `older: metrics/runs/model.json: no schema: another version of the benchmark wrote it; "
        "this one reads [1] and [2]`: `model` is not comparable\n" in review(copy, "older")[1]
    )


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("params.yaml", "model: [", "params.yaml: not YAML: while parsing a flow "),
        ("params.yaml", "model: 1\nmodel: 2\n", "DVC: unable to read: 'params.yaml'"),
        ("dvc.yaml", "stages:\n  train:\n    cmd: ${none}\n", "DVC: failed to parse "),
    ],
)
def test_a_broken_pipeline_is_named_and_results_are_still_compared(
    copy: Path, path: str, text: str, expected: str
) -> None:
    git(copy, "checkout", "--quiet", "-b", "broken")
    (copy / path).write_text(text)
    git(copy, "commit", "--quiet", "--all", "-m", "broken")
    git(copy, "checkout", "--quiet", "main")
    status, page, error = review(copy, "main", "broken")
    assert (status, error) == (1, "")
    assert page.startswith("**The pipeline of `broken` is broken. ")
    (line,) = [line for line in page.splitlines() if line.startswith("- `broken`: ")]
    assert expected in line
    assert rows(page)["model"][4] == "**better**"
    assert ("## params.yaml" in page) == (path == "params.yaml")
    if path == "dvc.yaml":
        assert review(copy, "broken", "main")[0] == 0  # a change that repairs it


def test_values_that_params_yaml_must_not_have(copy: Path) -> None:
    params = copy / "params.yaml"
    params.write_text(params.read_text().replace("  shift: 0.2", "  shift: -1"))
    status, page, _ = review(copy, "main")
    assert status == 0
    assert page.startswith("**`params.yaml` of `workspace` is not valid. ")
    section = page.split("## params.yaml\n")[1]
    assert "- `params.yaml: augment.shift is -1: must " in section
    assert rows(page, "params.yaml")["augment.shift"] == ["`0.1`", "`-1`"]


def test_results_of_a_variant_that_is_not_listed_are_compared(copy: Path) -> None:
    assert rows(review(copy, "main", "change")[1])["ResNet44v1"][-1] == "**removed**"
    params = copy / "params.yaml"
    params.write_text(params.read_text().replace("- ResNet32v1\n", ""))
    assert "ResNet32v1" in rows(review(copy, "main")[1])


def test_both_sides_learning_curves_are_one_picture(copy: Path) -> None:
    for seed in range(3):
        path = copy / f"metrics/plots/history/model/seed{seed}.csv"
        lines = path.read_text().splitlines()
        header = f"{lines[0]},test_loss,test_accuracy"
        text = [f"{line},0.5,{60 + seed + i / 10}" for i, line in enumerate(lines[1:])]
        path.write_text("\n".join([header, *text]) + "\n")
    git(copy, "commit", "--quiet", "--all", "-m", "with the accuracy on test images")
    assert "mermaid" not in review(copy, "main", "HEAD")[1]  # one side has none
    write(copy, "model", 5, [50, 50, 50])
    git(copy, "checkout", "--quiet", "HEAD", "--", "metrics/plots")
    page = review(copy, "HEAD")[1]
    assert page.count("```mermaid") == 1
    path = copy / "metrics/plots/history/model/seed0.csv"
    whole = path.read_text()
    header, first, rest = whole.split("\n", 2)
    for odd in (
        whole.replace(",60.0\n", ",nan\n"),
        f"{header}\n{first}\x1e{rest}",  # a line end for Python and not for pandas
    ):
        path.write_text(odd)
        status, shown, error = review(copy, "HEAD")
        assert (status, error) == (0, "")
        assert "mermaid" not in shown
    curve = f"line [{', '.join(f'{61 + i / 10:.2f}' for i in range(200))}]"
    assert page.count(curve) == 2


PIPELINE = """\
stages:
  evaluate:
    cmd: cp -r other/. metrics
    deps: [other]
    params: [model.n]
    outs:
    - metrics/predictions/model.txt: {cache: false, persist: true}
    - metrics/provenance/model.json: {cache: false, persist: true}
    metrics:
    - metrics/runs/model.json: {cache: false, persist: true}
"""


def test_an_experiment_as_a_side(copy: Path) -> None:
    git(copy, "checkout", "--quiet", "main")
    (copy / "dvc.yaml").write_text(PIPELINE)
    results = make_results("model", accuracies=[97, 96, 97], images=1000, seconds=9.0)
    write_results(copy / "other", results, 4)
    commit(copy, "a pipeline of a second")
    run(copy, "dvc", "exp", "run", "--quiet", "--name", "deeper", "--set-param", "model.n=9")
    git(copy, "reset", "--quiet", "--hard")  # the experiment is in refs/exps alone
    status, page, error = review(copy, "main", "deeper")
    assert (status, error) == (0, "")
    assert page.splitlines()[2] == "`main` → `deeper`"
    assert rows(page)["model"][4] == "**better**"
    assert rows(page, "params.yaml") == {"model.n": ["`3`", "`9`"]}
    assert rows(review(copy, "deeper", "main")[1])["model"][4] == "**worse**"
