"""Whether results were produced with this checkout's code and parameters, by their own records."""

from collections.abc import Iterator
from dataclasses import replace

from resnet.params import Params
from resnet.results import same_bits
from resnet.results.metrics import Results
from resnet.training import identity
from resnet.training.record import TrainingRecord


def is_stale(variant: str, results: Results, settings: Params) -> bool:
    """Whether any seed was trained with other code or parameters, or its record does not say."""
    return not results.recorded or any(
        True for run in results.runs for _ in differences(variant, run.training, settings)
    )


def same_parameters(variant: str, record: TrainingRecord, settings: Params) -> bool:
    """Whether a training used the parameters that a section has; False where there is none."""
    if variant not in settings.sections:
        return False
    every = replace(settings, variants=settings.sections)
    return record.identity.parameters == identity.training_parameters(every, variant)


def differences(variant: str, record: TrainingRecord, settings: Params) -> Iterator[str]:
    """How this checkout differs from what a training used; code shown to be equal is equal."""
    if variant not in settings.sections:
        yield f"params.yaml has no section {variant}"
    elif not same_parameters(variant, record, settings):
        yield f"trained with different parameters than params.yaml has for {variant}"
    code, trained_with = identity.code_hashes(), record.identity.code
    if same_bits.same_code(variant, trained_with, code, same_bits.read()):
        return
    paths = {**code, **trained_with}
    edited = sorted(path for path in paths if code.get(path) != trained_with.get(path))
    yield f"trained with different code: {', '.join(edited)}"
