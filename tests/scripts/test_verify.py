"""What verify counts as a mismatch; tests/test_pipeline.py runs it on real checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet.device import cpu_processor
from resnet.results.metrics import ClassScore, Evaluation
from resnet.results.store import METRICS, Store, VariantFiles
from resnet.training.identity import SETTINGS
from resnet.training.record import model_folder
from scripts import verify
from tests.support.checkout import project_params
from tests.support.results import (
    CLASSES,
    make_correct,
    make_device,
    make_results,
    make_run,
    write_results,
)

RUN = make_run(device=make_device("a CPU", processor=cpu_processor(), gpu=False))
HERE = RUN.evaluation
ELSEWHERE = HERE.model_copy(update={"device": "another"})


def changed(errors: int = 0, loss: float = 0.0) -> dict[str, Any]:
    """An evaluation with so many more errors, of cats, and so much more loss."""
    total = HERE.errors + errors
    return {
        "errors": total,
        "accuracy": 100 - total / 100,
        "loss": HERE.loss + loss,
        "classes": by_class(cat=errors),
    }


def by_class(**errors: int) -> dict[str, ClassScore]:
    """The scores by class with so many more errors of some."""
    assert HERE.classes
    return {
        name: score.model_copy(update={"errors": score.errors + errors.get(name, 0)})
        for name, score in HERE.classes.items()
    }


def more(key: str, amount: float) -> dict[str, float]:
    return {key: getattr(HERE, key) + amount}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("scored", "keys"),
    [
        (HERE, []),
        (HERE.model_copy(update=changed(errors=1)), ["errors", "accuracy", "errors"]),
        (HERE.model_copy(update=changed(loss=1e-9)), ["loss"]),
        (HERE.model_copy(update=more("nll", 1e-9)), ["nll"]),
        (HERE.model_copy(update=more("ece", 1e-9)), ["ece"]),
        (HERE.model_copy(update={"classes": by_class(cat=1, dog=-1)}), ["errors", "errors"]),
        (ELSEWHERE, []),
        (ELSEWHERE.model_copy(update=changed(errors=2, loss=9e-5)), []),
        (ELSEWHERE.model_copy(update=changed(errors=-2)), []),
        (ELSEWHERE.model_copy(update=changed(errors=3)), ["errors", "accuracy", "errors"]),
        (ELSEWHERE.model_copy(update={"classes": by_class(cat=3, dog=-2)}), ["errors"]),
        (ELSEWHERE.model_copy(update=changed(loss=2e-4)), ["loss"]),
        (ELSEWHERE.model_copy(update=more("nll", 9e-5)), []),
        (ELSEWHERE.model_copy(update=more("nll", 2e-4)), ["nll"]),
        (ELSEWHERE.model_copy(update=more("ece", 0.08)), []),  # 4 images of 10,000, twice
        (ELSEWHERE.model_copy(update=more("ece", 0.09)), ["ece"]),
        (HERE.model_copy(update={"versions": {}, **changed(errors=1)}), []),
    ],
)
def test_scores_are_exact_in_the_same_place_and_close_elsewhere(
    scored: Evaluation, keys: list[str]
) -> None:
    found = list(verify.score_mismatches(HERE, scored, verify.same_place(RUN, scored)))
    assert [line.split()[0] for line in found] == keys
    assert all("but the checkpoint " in line for line in found)


def test_scores_that_are_not_recorded_are_mismatches() -> None:
    recorded = HERE.model_copy(update={"nll": None, "ece": None, "classes": None})
    assert list(verify.score_mismatches(recorded, HERE, exact=False)) == [
        f"nll is None, but the checkpoint scores {HERE.nll}",
        f"ece is None, but the checkpoint scores {HERE.ece}",
        "errors of class cat are None, but the checkpoint has 425",
        "errors of class dog are None, but the checkpoint has 425",
    ]


def test_another_generation_of_the_processor_and_a_gpu_are_elsewhere() -> None:
    assert verify.same_place(RUN, HERE)
    for processor in ("another generation", None):  # None: by an earlier version of the benchmark
        evaluation = HERE.model_copy(update={"processor": processor})
        assert not verify.same_place(RUN.model_copy(update={"evaluation": evaluation}), HERE)
    on_gpu = make_run()
    assert not verify.same_place(on_gpu, on_gpu.evaluation)


def test_a_variable_that_may_change_the_last_bits_is_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert not verify.same_place(RUN, HERE)


@pytest.mark.parametrize(
    ("different", "exact", "matches"),
    [(0, True, True), (1, True, False), (4, False, True), (5, False, False)],
)
def test_predictions(different: int, exact: bool, matches: bool) -> None:
    recorded = np.ones(10, bool)
    scored = recorded.copy()
    scored[:different] = False
    found = list(verify.prediction_mismatches(recorded, scored, exact))
    expected = [] if matches else [f"{different} of 10 predictions differ"]
    assert found == expected


def test_seeds_that_are_not_checked_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in (0, 2, 3):
        model_folder("model", seed).mkdir(parents=True)
    results = make_results("model", accuracies=(86.0, 87.0))  # of the seeds 0 and 1
    assert verify.without_weights("model", results) == "seed 1"
    assert verify.without_results("model", results, range(4)) == "seeds 2, 3"
    assert verify.without_results("model", results, (0, 1)) == ""
    assert verify.without_results("model", None, (0, 1)) == "seed 0"


@pytest.mark.parametrize("different", [0, 2, 3])
def test_a_model_for_raw_images_that_answers_differently_is_a_mismatch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, different: int
) -> None:
    """Beside a checkpoint that scores what is recorded; two images may differ."""
    monkeypatch.chdir(tmp_path)
    results, folder = make_results("model", seeds=1), model_folder("model", 0)
    write_results(METRICS, results)
    folder.mkdir(parents=True)
    correct = make_correct(results)
    scored = VariantFiles(results, correct, np.zeros((2, 2), np.int64), CLASSES, {})
    answers = 1 - correct[0]  # the labels are all 0
    answers[:different] = 1 - answers[:different]
    loaded: list[Path] = []
    fakes: dict[str, Callable[..., Any]] = {
        "record_mismatches": lambda *_: [],
        "score_variant": lambda *_: scored,
        "cifar10.read_split": lambda *_: (None, np.zeros(results.images, int)),
        "pretrained.load": loaded.append,
        "predict": lambda *_: np.eye(2)[answers],
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(f"scripts.verify.{name}", fake)
    test: Any = None
    found = verify.verify("model", results, project_params(tmp_path, {}), Store(), test)
    said = f"{folder}: resnet.pretrained.load answers {different} images differently"
    assert found == ([said] if different > 2 else [])
    assert loaded == [folder]


def test_another_number_of_images() -> None:
    found = verify.prediction_mismatches(np.ones(10, bool), np.ones(9, bool), True)
    assert list(found) == ["10 predictions, but there are 9 images"]
