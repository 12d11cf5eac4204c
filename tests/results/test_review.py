"""The review: its intervals by simulation, its words, and `review.py` on real commits of a made repository."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from resnet.params import Network
from resnet.results import review
from resnet.results.metrics import Metrics
from resnet.results.review import Interval, Right, Side
from scripts.demo import copy_checkout, environment
from tests.conftest import ROOT
from tests.stages.test_report import made
from tests.test_pipeline import AUTHOR

MODEL = Network(version=1, n=3)
IMAGES = 10_000


def simulated(
    pairs: int, seeds: tuple[int, int], better: float = 0.0, own: float = 0.0
) -> Iterator[tuple[Right, Right]]:
    """Pairs of sides that answer the same 10,000 images at 92 %, each pair with a test set of its own.

    How hard an image is, is common to both sides: beta-distributed, so that two seeds disagree on 5 % of the images. A seed is
    better or worse at all of them, which moves its accuracy by 0.2 points (1σ); `own` is what each side finds hard by itself, and `better`
    how much better the second side is, both in logits: 0.45 is 1.06 points.
    """
    rng = np.random.default_rng(20261124)
    for _ in range(pairs):
        chance = np.clip(rng.beta(0.46, 0.04, IMAGES), 1e-6, 1 - 1e-6)
        common = np.log(chance / (1 - chance))
        sides = []
        for count, gain in zip(seeds, (0.0, better), strict=True):
            logits = common + own * rng.standard_normal(IMAGES) + rng.normal(gain, 0.08, (count, 1))
            sides.append(
                rng.random((count, IMAGES), dtype=np.float32)
                < 1 / (1 + np.exp(-logits.astype(np.float32)))
            )
        yield sides[0], sides[1]


def called(pairs: Iterator[tuple[Right, Right]]) -> list[str]:
    return [
        review.verdict(review.accuracy_interval(before, after), good=1) for before, after in pairs
    ]


def readme() -> dict[int, list[int]]:
    """The README's table of these simulations: seeds a side to its numbers."""
    rows = re.findall(
        r"^\| (\d+) \| (\d+) \| (\d+) % \| (\d+) % \|$",
        (ROOT / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return {int(seeds): [int(number) for number in numbers] for seeds, *numbers in rows}


@pytest.mark.parametrize(
    ("seeds", "own"), [((2, 2), 0), ((3, 3), 0), ((5, 5), 0), ((2, 10), 0), ((5, 5), 1)]
)
def test_of_1000_changes_that_change_nothing_at_most_6_percent_are_called(
    seeds: tuple[int, int], own: float
) -> None:
    words = called(simulated(1000, seeds, own=own))
    count = words.count(review.BETTER) + words.count(review.WORSE)
    assert count <= 60
    assert seeds[0] != seeds[1] or own or count == readme()[seeds[0]][0]
    assert 91.5 < np.mean([100 * before.mean() for before, _ in simulated(20, seeds)]) < 92.5


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_a_point_is_found_as_often_as_readme_says(seeds: int) -> None:
    pairs = list(simulated(200, (seeds, seeds), better=0.43))
    assert np.mean(
        [100 * (after.mean() - before.mean()) for before, after in pairs]
    ) == pytest.approx(1.0, abs=0.05)
    found = called(iter(pairs)).count(review.BETTER) / 200
    assert called((after, before) for before, after in pairs).count(review.WORSE) == 200 * found
    assert found == pytest.approx(readme()[seeds][1] / 100, abs=0.1)  # which is of 1,000 pairs
    assert seeds < 5 or found >= 0.9


def test_one_seed_is_the_paired_t_test_over_the_images() -> None:
    ((before, after),) = simulated(1, (1, 1))
    interval = review.accuracy_interval(before, after)
    expected = stats.ttest_rel(100.0 * after[0], 100.0 * before[0]).confidence_interval(0.95)
    np.testing.assert_allclose(interval, (100 * (after.mean() - before.mean()), *expected))


def test_times_are_welchs_t_test() -> None:
    before, after = [15.2, 15.4, 15.1], [14.0, 14.5, 14.1]
    expected = stats.ttest_ind(after, before, equal_var=False).confidence_interval(0.95)
    np.testing.assert_allclose(review.mean_interval(before, after)[1:], expected)


def test_many_images_leave_welchs_interval_and_many_seeds_that_of_the_images() -> None:
    rng = np.random.default_rng(1)
    effects = rng.uniform(0.3, 0.9, (2, 4))  # seeds so far apart that the images do not matter
    before, after = (rng.random((4, IMAGES)) < part[:, None] for part in effects)
    welch = stats.ttest_ind(
        100 * after.mean(axis=1), 100 * before.mean(axis=1), equal_var=False
    ).confidence_interval(0.95)
    np.testing.assert_allclose(review.accuracy_interval(before, after)[1:], welch, rtol=0.01)
    chance = rng.choice([0.0, 1.0], (2, 500), p=[0.1, 0.9])  # images that every seed answers alike
    before, after = (np.tile(part > 0, (3, 1)) for part in chance)
    half = stats.sem(100 * (chance[1] - chance[0])) * stats.t.ppf(0.975, 8)
    interval = review.accuracy_interval(before, after)
    np.testing.assert_allclose(interval.high - interval.difference, half)


def test_no_spread_at_all_is_no_interval_and_no_warning() -> None:
    assert review.accuracy_interval(np.ones((3, 20), bool), np.zeros((2, 20), bool)) == Interval(
        -100, -100, -100
    )
    assert review.mean_interval([2.0, 2.0], [1.0, 1.0]) == Interval(-1, -1, -1)


# --- rows and words


def side(seeds: int = 3, accuracy: float = 0.915, images: int = 1000, **changes: Any) -> Side:
    right = np.arange(images) < round(accuracy * images)
    return Side(
        Metrics.model_validate({**made(MODEL, seeds, images=images), **changes}),
        np.tile(right, (seeds, 1)),
    )


@pytest.mark.parametrize(
    ("before", "after", "verdict", "remark"),
    [
        (side(), side(accuracy=0.95), "better", ""),
        (side(), side(accuracy=0.85), "worse", ""),
        (side(), side(accuracy=0.914), "within noise", ""),
        (side(), side(), "within noise", "the same answers to every image"),
        (side(1), side(3, accuracy=0.95), "one seed", ""),
        (side(), side(network="ResNet56v1", recipe="paper", accuracy=0.95), "better", ""),
        (side(), side(data="synthetic"), "not comparable", "other data: cifar10 → synthetic"),
        (side(), side(images=500), "not comparable", "other data: 1,000 → 500 test images"),
        (side(), side(epochs=20), "not comparable", "other recipe length: 200 → 20 of 200 epochs"),
        (side(), side(holdout="test"), "not comparable", "other hold-out: none → test"),
        (
            side(),
            side(epochs=164, recipe_epochs=164, holdout="test"),
            "not comparable",
            "other recipe length: 200 → 164 epochs; other hold-out: none → test",
        ),
    ],
)
def test_accuracy(before: Side, after: Side, verdict: str, remark: str) -> None:
    row = review.accuracy_row("model", before, after, synthetic_changed=False)
    assert (row.verdict, row.remark) == (verdict, remark)
    assert (row.cells[-1] == "–") == (verdict == "not comparable")


def test_other_made_images_are_other_data() -> None:
    made_set = side(data="synthetic")
    assert (
        review.accuracy_row("model", made_set, made_set, synthetic_changed=True).verdict
        == "not comparable"
    )
    assert (
        review.accuracy_row("model", side(), side(), synthetic_changed=True).verdict
        == "within noise"
    )


def timed(*seconds: float, **changes: Any) -> Side:
    runs = [
        {"seed": seed, "accuracy": 91.5, "errors": 85, "loss": 0.43, "seconds_per_epoch": value}
        for seed, value in enumerate(seconds)
    ]
    return side(len(seconds), runs=runs, seconds_per_epoch=float(np.median(seconds)), **changes)


@pytest.mark.parametrize(
    ("after", "verdict", "remark"),
    [
        (timed(12.0, 12.1, 12.2), "better", ""),
        (timed(18.0, 18.1, 18.2), "worse", ""),
        (timed(15.0, 15.1, 15.3), "within noise", ""),
        (timed(15.0), "one seed", ""),
        (timed(15.2, 15.2, 15.2), "within noise", ""),
        (timed(15.0, 15.1, 15.2), "within noise", "the same times"),
        (timed(12.0, 12.1, epochs=20), "better", ""),  # an epoch is an epoch
        (
            timed(12.0, 12.1, device="TPU"),
            "not comparable",
            "other device: NVIDIA H100 80GB HBM3 → TPU",
        ),
        (
            timed(12.0, backend="jax", versions={"keras": "3", "jax": "1"}),
            "not comparable",
            "other backend: tensorflow → jax",
        ),
        (
            timed(12.0, precision="bfloat16"),
            "not comparable",
            "other precision: float32 → bfloat16",
        ),
        (timed(12.0, data="synthetic"), "not comparable", "other data: cifar10 → synthetic"),
    ],
)
def test_seconds(after: Side, verdict: str, remark: str) -> None:
    row = review.seconds_row("model", timed(15.0, 15.1, 15.2), after, synthetic_changed=False)
    assert (row.verdict, row.remark) == (verdict, remark)


def test_the_difference_of_times_is_that_of_the_cells() -> None:
    row = review.seconds_row("model", timed(10.0, 10.0, 40.0), timed(15.0), synthetic_changed=False)
    assert row.cells[1:] == ("20.00 (n=3)", "15.00 (n=1)", "−5.00")


def test_times_without_any_spread_are_no_verdict() -> None:
    row = review.seconds_row(
        "model", timed(10.0, 10.0), timed(10.001, 10.001), synthetic_changed=False
    )
    assert (row.cells[-1], row.verdict, row.remark) == (
        "+0.00",
        "within noise",
        "no spread on either side",
    )


# --- review.py in a repository


def git(checkout: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", *arguments],
        cwd=checkout,
        env={**environment(checkout), **AUTHOR},
        check=True,
        capture_output=True,
    )


def write(
    checkout: Path,
    name: str,
    seed: int,
    accuracies: list[float],
    images: int = 1000,
    **changes: Any,
) -> None:
    """A variant's metrics and predictions, made up: accuracies of 1, one a seed, wrong on images drawn by `seed`."""
    lines, runs = [], []
    for number, accuracy in enumerate(accuracies):
        wrong = set(
            np.random.default_rng((seed, number))
            .permutation(images)[: round((1 - accuracy) * images)]
            .tolist()
        )
        lines.append("".join("01"[image not in wrong] for image in range(images)))
        runs.append(
            {
                "seed": number,
                "accuracy": 100 * accuracy,
                "errors": len(wrong),
                "loss": 0.4,
                "seconds_per_epoch": 10.0 + number,
            }
        )
    content = {
        **made(MODEL, len(runs)),
        "runs": runs,
        "images": images,
        "accuracy": 100 * float(np.mean(accuracies)),
        **changes,
    }
    for path, text in (
        (f"runs/{name}.json", json.dumps(content)),
        (f"predictions/{name}.txt", "\n".join(lines) + "\n"),
    ):
        (checkout / "metrics" / path).parent.mkdir(exist_ok=True)
        (checkout / "metrics" / path).write_text(text)


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three results on main, and a branch `change` with a better, an incomparable, an added and a removed one."""
    checkout = tmp_path_factory.mktemp("review") / "checkout"
    copy_checkout(checkout, {"variants": ["model", "ResNet32v1", "ResNet44v1"]})
    git(checkout, "checkout", "--quiet", "-b", "main")
    write(checkout, "model", 1, [0.90, 0.91, 0.90])
    write(checkout, "ResNet32v1", 2, [0.9])
    write(checkout, "ResNet44v1", 3, [0.9])
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "-m", "main")
    git(checkout, "checkout", "--quiet", "-b", "change")
    listed = (
        (checkout / "params.yaml")
        .read_text()
        .replace("- ResNet44v1\n", "- ResNet56v1\n")
        .replace("  shift: 0.1", "  shift: 0.2")
    )
    (checkout / "params.yaml").write_text(listed)
    write(checkout, "model", 4, [0.97, 0.96, 0.97], network="ResNet56v1")
    write(checkout, "ResNet32v1", 5, [0.8], epochs=3)
    write(checkout, "ResNet56v1", 6, [0.9])
    (checkout / "metrics/runs/ResNet44v1.json").unlink()
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "-m", "change")
    return checkout


def run(checkout: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit status and both streams of review.py, which must know no deep-learning framework."""
    code = (
        "import runpy, sys; sys.argv[0] = 'review'\n"
        "try:\n    runpy.run_module('scripts.review', run_name='__main__')\n"
        "finally:\n    assert not {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=checkout,
        env=environment(checkout),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def cells(text: str, section: str) -> dict[str, list[str]]:
    """The rows of a section's table by their first cell."""
    lines = text.split(f"## {section}\n")[1].split("\n## ")[0].splitlines()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("|")
    ][2:]
    return {row[0]: row[1:] for row in rows}


def test_two_commits(committed: Path) -> None:
    start = time.monotonic()
    status, text, said = run(committed, "main", "change")
    assert (status, said) == (0, "")
    assert time.monotonic() - start < 5
    assert text.startswith("# `main` → `change`\n")
    accuracy = cells(text, "Accuracy, %")
    assert list(accuracy) == ["model", "ResNet32v1", "ResNet56v1", "ResNet44v1"]
    assert accuracy["model"][:3] == [
        "ResNet20v1 → ResNet56v1",
        "90.33 ± 0.21 (n=3)",
        "96.67 ± 0.21 (n=3)",
    ]
    assert accuracy["model"][3].startswith("+6.33 [+")
    assert accuracy["model"][4] == "**better**"
    assert (
        accuracy["ResNet32v1"][4]
        == "**not comparable** (other recipe length: 200 → 3 of 200 epochs)"
    )
    assert accuracy["ResNet56v1"][1:] == ["–", "90.00 (n=1)", "–", "**added**"]
    assert accuracy["ResNet44v1"][1:] == ["90.00 (n=1)", "–", "–", "**removed**"]
    assert cells(text, "Seconds per epoch")["model"][3:] == [
        "+0.00",
        "**within noise** (the same times)",
    ]
    changed = cells(text, "params.yaml")
    assert changed["`augment.shift`"] == ["`0.1`", "`0.2`"]
    assert list(changed) == ["`augment.shift`", "`variants`"]


def test_fail_on_worse(committed: Path) -> None:
    assert run(committed, "main", "change", "--fail-on", "worse")[0] == 0
    status, text, said = run(committed, "change", "main", "--fail-on", "worse")
    assert (status, said) == (1, "")
    assert cells(text, "Accuracy, %")["model"][4] == "**worse**"
    assert run(committed, "change", "main")[0] == 0


def test_two_names_of_one_commit(committed: Path) -> None:
    git(committed, "tag", "v1", "main")
    for names in (("main", "v1"), ("v1", "main"), ("change", "HEAD")):
        status, text, _ = run(committed, *names)
        assert status == 0
        assert (
            cells(text, "Accuracy, %")["model"][4]
            == "**within noise** (the same answers to every image)"
        )


def test_the_workspace_of_a_clone_without_cache_or_remote(committed: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--branch", "change", str(committed), str(clone))
    _, text, _ = run(clone, "HEAD")
    assert cells(text, "Accuracy, %")["model"][3:] == [
        "+0.00 [+0.00, +0.00]",
        "**within noise** (the same answers to every image)",
    ]
    write(clone, "model", 4, [0.5, 0.5, 0.5])
    assert cells(run(clone, "HEAD")[1], "Accuracy, %")["model"][4] == "**worse**"
    assert "## params.yaml\n\nNothing changed." in text


def test_what_cannot_be_read(committed: Path, tmp_path: Path) -> None:
    for arguments in (("nowhere",), ("main", "--fail-on=me"), ("-x", "main")):
        status, text, said = run(committed, *arguments)
        assert (status != 0, text) == (True, "")
        assert "Traceback" not in said
    said = "review: 'nowhere' is no commit of this repository; name a branch, a tag, a commit, or workspace\n"
    assert run(committed, "nowhere")[2] == said
    broken = Path(shutil.copytree(committed, tmp_path / "broken"))
    (broken / "metrics/predictions/model.txt").write_text("01\n10\n11\n")
    said = "- workspace: metrics/predictions/model.txt and metrics/runs/model.json are not of the same runs: model is not comparable\n"
    assert said in run(broken, "main")[1]
    assert run(broken, "main")[0] == 0
    assert run(broken, "main", "--fail-on", "worse")[0] == 1
    write(broken, "model", 4, [0.97, 0.96, 0.97], accuracy=99.0)
    assert said in run(broken, "main")[1]  # a typed accuracy is not that of the digits
    (broken / "metrics/predictions/model.txt").unlink()
    assert (
        "- workspace: metrics/predictions/model.txt: no such file: model is not comparable\n"
        in run(broken, "main")[1]
    )
    (broken / "metrics/runs/model.json").write_text("{")
    status, text, said = run(broken, "main")
    assert (status, text) == (1, "")
    assert said.startswith("review: workspace: metrics/runs/model.json: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("text", ["{}", "[1]", "null"])
def test_a_file_without_figures_is_not_a_variant_removed(
    committed: Path, tmp_path: Path, text: str
) -> None:
    broken = Path(shutil.copytree(committed, tmp_path / "broken"))
    (broken / "metrics/runs/model.json").write_text(text)
    status, printed, said = run(broken, "main", "--fail-on", "worse")
    assert status == 1
    assert (
        "removed" not in cells(printed, "Accuracy, %").get("model", [])
        if printed
        else len(said.splitlines()) == 1
    )


def test_a_broken_base_does_not_stop_the_review_of_what_mends_it(
    committed: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(committed, tmp_path / "broken"))
    git(broken, "checkout", "--quiet", "-b", "broken", "main")
    whole = (broken / "metrics/runs/model.json").read_text()
    (broken / "metrics/runs/model.json").write_text(whole[:100])
    git(broken, "commit", "--quiet", "--all", "-m", "broken")
    (broken / "metrics/runs/model.json").write_text(whole)
    status, text, _ = run(broken, "broken", "--fail-on", "worse")
    assert status == 0
    assert "- broken: metrics/runs/model.json: " in text
    assert text.count("model is not comparable") == 1
    assert (
        cells(text, "Accuracy, %")["ResNet32v1"][4]
        == "**within noise** (the same answers to every image)"
    )
    (
        broken / "metrics/runs/model.json"
    ).unlink()  # where REV has none, the file of BASE is still named
    assert run(broken, "broken")[1].count("model is not comparable") == 1
