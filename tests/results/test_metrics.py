"""The records in metrics/, and how the seeds' runs are summarized."""

import json
import statistics
from typing import Any

import numpy as np
import pytest

from resnet.errors import BenchmarkError
from resnet.results.metrics import ClassScore, Evaluation, Metrics, Provenance, Results, parse
from resnet.results.summary import summarize
from resnet.variant import Augment, Network
from tests.support.results import TEST_SET, make_device, make_parameters, make_run


def test_summary_over_seeds() -> None:
    accuracies = [92.1, 91.7, 92.6]
    runs = [
        make_run(seed=seed, accuracy=accuracy, seconds=10.0 + seed**2)
        for seed, accuracy in enumerate(accuracies)
    ]
    metrics = summarize(runs)
    assert metrics.accuracy == pytest.approx(statistics.mean(accuracies))
    assert metrics.accuracy_std == pytest.approx(np.std(accuracies, ddof=1))
    assert (metrics.seeds, metrics.seconds_per_epoch, metrics.parameters) == (3, 11.0, 274442)
    assert metrics.loss == pytest.approx(0.43)
    assert metrics.nll == pytest.approx(0.32)
    assert metrics.ece == pytest.approx(4.3)


def test_one_seed_has_no_spread() -> None:
    assert summarize([make_run()]).accuracy_std is None


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"parameters": make_parameters(network=Network(version=1, n=5))}, "network"),
        ({"parameters": make_parameters(changes={"batch_size": 64})}, "recipe.batch_size"),
        ({"parameters": make_parameters(augment=Augment(shift=0, order=0, flip=True))}, "shift"),
        ({"parameters": make_parameters(precision="bfloat16")}, "precision"),
        ({"parameters": make_parameters(holdout=TEST_SET)}, "holdout"),
        ({"parameters": make_parameters(source="synthetic")}, "source"),
        ({"parameters": make_parameters(subtract_pixel_mean=False)}, "subtract_pixel_mean"),
        ({"variant": "ResNet20v1"}, "variant"),
        ({"epochs": 100}, "epochs"),
        ({"parameter_count": 1}, "parameter_count"),
        ({"pixel_mean_sha256": "4" * 64}, "pixel_mean_sha256"),
        ({"classes": ["cat", "cow"]}, "classes"),
        ({"images": 1000}, "test images"),
    ],
)
def test_seeds_of_two_experiments_are_refused(changed: dict[str, Any], key: str) -> None:
    with pytest.raises(BenchmarkError, match=r"the seeds' runs differ in ") as caught:
        summarize([make_run(seed=0), make_run(**{"seed": 1, **changed})])
    assert f"{key}: " in str(caught.value)
    assert "(seed 0), " in str(caught.value)
    assert "(seed 1); train the wrong one again with" in str(caught.value)


def test_seeds_trained_on_other_images_are_refused() -> None:
    runs = [make_run(seed=0), make_run(seed=1)]
    runs[1].training.identity.data[:] = ["4" * 64]
    with pytest.raises(BenchmarkError, match=r"^the seeds' runs differ in data: "):
        summarize(runs)


def test_the_same_seed_twice_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="seeds 1, 1: each must appear once"):
        summarize([make_run(seed=1), make_run(seed=1)])


def test_absurd_times_are_refused() -> None:
    runs = [make_run(seed=seed, seconds=1e308) for seed in (0, 1)]
    with pytest.raises(BenchmarkError, match=r"^seed 0: seconds_per_epoch 1e\+308 and loss 0.43: "):
        summarize(runs)


def test_seeds_may_be_trained_on_different_devices() -> None:
    jax = make_device("another", backend="jax", float32_products="tf32")
    assert summarize([make_run(seed=0), make_run(seed=1, device=jax)]).seeds == 2


def evaluation(**changes: Any) -> dict[str, Any]:
    return {**make_run().evaluation.model_dump(), **changes}


def test_an_accuracy_that_the_errors_contradict_is_refused() -> None:
    with pytest.raises(ValueError, match=r"accuracy is 92\.0 with 850 errors on 10000 images"):
        Evaluation.model_validate(evaluation(accuracy=92.0))


def test_a_number_of_errors_that_no_float_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="less than or equal to 1000000000"):
        Evaluation.model_validate(evaluation(errors=10**400))


@pytest.mark.parametrize(("key", "total"), [("images", 10_001), ("errors", 851)])
def test_classes_that_do_not_add_up_are_refused(key: str, total: int) -> None:
    changed = evaluation()
    changed["classes"]["cat"][key] += 1
    with pytest.raises(ValueError, match=f"{key} of all classes are {total}: must be "):
        Evaluation.model_validate(changed)


METRICS: dict[str, Any] = {
    "schema": [2],
    "accuracy": 91.5,
    "std": 0.21,
    "seeds": 3,
    "loss": 0.43,
    "nll": 0.31,
    "ece": 4.2,
    "s/epoch": 15.26,
    "parameters": 274442,
}
OLD_METRICS: dict[str, Any] = {
    "schema": [1],
    "accuracy": 91.5,
    "accuracy_std": 0.21,
    "seeds": 3,
    "loss": 0.43,
    "seconds_per_epoch": 15.26,
    "parameters": 274442,
}


def test_a_metrics_file_as_it_is_in_git() -> None:
    found = parse(Metrics, json.dumps(METRICS), "model.json")
    assert json.loads(found.model_dump_json(by_alias=True)) == METRICS


def test_a_metrics_file_of_schema_1_lacks_two_scores_and_has_longer_keys() -> None:
    found = parse(Metrics, json.dumps(OLD_METRICS), "model.json")
    assert (found.accuracy_std, found.seconds_per_epoch) == (0.21, 15.26)
    assert (found.nll, found.ece) == (None, None)


def test_results_of_schema_1_have_no_score_by_class() -> None:
    runs = [make_run(seed=seed) for seed in (0, 1)]
    content = Provenance(schema=2, runs=runs).model_dump(mode="json", by_alias=True)
    for run in content["runs"]:
        for key in ("nll", "ece", "classes"):
            del run["evaluation"][key]
    with pytest.raises(BenchmarkError, match=r"^x\.json: runs\.0\.evaluation\.nll: missing$"):
        parse(Provenance, json.dumps(content), "x.json")
    old = parse(Provenance, json.dumps({**content, "schema": 1}), "x.json")
    results = Results(summarize(old.runs), tuple(old.runs))
    assert (results.metrics.nll, results.metrics.ece) == (None, None)
    assert (results.scores("nll"), results.class_accuracies()) == ([], {})


def test_scores_of_each_seed() -> None:
    runs = [make_run(seed=seed, accuracy=accuracy) for seed, accuracy in enumerate((91.5, 90.0))]
    results = Results(summarize(runs), tuple(runs))
    assert results.scores("nll") == [0.31, 0.32]
    assert results.scores("ece") == [4.2, 4.3]
    assert results.class_accuracies() == {"cat": [91.5, 90.0], "dog": [91.5, 90.0]}


def test_a_class_without_test_images_has_no_accuracy() -> None:
    assert ClassScore(images=0, errors=0).accuracy is None
    assert ClassScore(images=8, errors=2).accuracy == 75.0


@pytest.mark.parametrize("key", sorted(METRICS.keys() - {"nll", "ece"}))
def test_every_key_of_a_metrics_file_is_needed(key: str) -> None:
    content = {name: value for name, value in METRICS.items() if name != key}
    complaint = "no schema" if key == "schema" else f"{key}: missing"
    with pytest.raises(BenchmarkError, match=rf"^model\.json: {complaint}"):
        parse(Metrics, json.dumps(content), "model.json")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"accuracy": None}, "accuracy is None: must be a valid number"),
        ({"accuracy": "92.1"}, "accuracy is '92.1': must be a valid number"),
        ({"accuracy": 101.0}, "accuracy is 101.0: must be less than or equal to 100"),
        ({"std": float("nan")}, "std is nan: must be a finite number"),
        ({"ece": 100.5}, "ece is 100.5: must be less than or equal to 100"),
        ({"loss": float("inf")}, "loss is inf: must be a finite number"),
        ({"seeds": 1}, "std is 0.21 with seeds 1: must be null for one seed"),
        ({"std": None}, "std is None with seeds 3: must be null for one seed"),
        ({"n": 3}, "n: unknown key"),
        ({"schema": [3]}, "schema is [3]: another version of the benchmark wrote it"),
        ({"schema": "2"}, "schema is '2': another version of the benchmark wrote it"),
    ],
)
def test_a_bad_value_is_one_line_with_file_and_key(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BenchmarkError) as caught:
        parse(Metrics, json.dumps({**METRICS, **changes}), "model.json")
    assert str(caught.value).startswith(f"model.json: {complaint}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("schema", [0, 3, "1", None, [1]])
def test_provenance_of_another_version_is_one_line(schema: Any) -> None:
    with pytest.raises(BenchmarkError, match=r"^x\.json: schema is .*; this one reads 1 and 2$"):
        parse(Provenance, json.dumps({"schema": schema, "unknown": {}}), "x.json")


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "\ufeff{}", "[" * 100_000])
def test_text_that_is_no_json_object_is_one_line(text: str) -> None:
    with pytest.raises(BenchmarkError, match=r"^x\.json: ") as caught:
        parse(Provenance, text, "x.json")
    assert "\n" not in str(caught.value)
