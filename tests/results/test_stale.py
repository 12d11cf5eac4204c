"""Which results are marked as stale, by what their records say of code and parameters."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from resnet.params import Params
from resnet.results import stale
from resnet.training import identity
from tests.support.checkout import ROOT
from tests.support.results import make_run, results_of


def test_other_parameters_and_other_code(
    settings: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    current = settings({})
    record = make_run(parameters=identity.training_parameters(current, "model")).training
    trained_here = record.identity.model_copy(update={"code": identity.code_hashes()})
    record = record.model_copy(update={"identity": trained_here})
    assert list(stale.differences("model", record, current)) == []
    other = settings({"model.learning_rate": 0.5})
    assert list(stale.differences("model", record, other)) == [
        "trained with different parameters than params.yaml has for model"
    ]
    code = {**identity.code_hashes(), "resnet/model.py": "0" * 64, "resnet/old.py": "0" * 64}
    trained_before = record.identity.model_copy(update={"code": code})
    record = record.model_copy(update={"identity": trained_before})
    assert list(stale.differences("model", record, current)) == [
        "trained with different code: resnet/model.py, resnet/old.py"
    ]


def test_results_of_a_section_that_is_gone_or_without_a_record_are_stale(
    settings: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    current = settings({})
    every = replace(current, variants=current.sections)
    name = "ResNet164v1"  # has a section, but is not listed
    parameters = identity.training_parameters(every, name)
    run = make_run(name, parameters=parameters)
    code = run.training.identity.model_copy(update={"code": identity.code_hashes()})
    here = run.model_copy(update={"training": run.training.model_copy(update={"identity": code})})
    results = results_of([here])
    assert not stale.is_stale(name, results, current)
    assert stale.is_stale("ResNet9999v1", results, current)
    for missing in ("code", "data"):
        bare = code.model_copy(update={missing: type(getattr(code, missing))()})
        training = here.training.model_copy(update={"identity": bare})
        run = here.model_copy(update={"training": training})
        assert stale.is_stale(name, results_of([run]), current)
