"""What determines a result, and what differs between two of them."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import yaml

from resnet.data import arrays
from resnet.data.arrays import Split
from resnet.device import Device, versions
from resnet.errors import BenchmarkError
from resnet.files import sha256
from resnet.params import Params
from resnet.training.record import Change, Identity, TrainingParameters

PIPELINE = Path("dvc.yaml")
SETTINGS = (  # variables that may change the last bits
    "STEPS_PER_CALL",
    "OMP_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_XLA_FLAGS",
    "ONEDNN_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",  # oneDNN also reads its variables under its former name
    "DNNL_DEFAULT_FPMATH_MODE",
    "TF_SET_ONEDNN_FPMATH_MODE",
    "XLA_FLAGS",
    "NVIDIA_TF32_OVERRIDE",
)


def identify(
    settings: Params, name: str, seed: int, device: Device, splits: tuple[Split, ...]
) -> Identity:
    """The identity of a training that starts now; `splits` are those that it reads."""
    return Identity(
        variant=name,
        seed=seed,
        parameters=training_parameters(settings, name),
        code=code_hashes(),
        data=[arrays.digest(split) for split in splits],
        device=device,
        versions=versions(device),
        environment={variable: os.environ.get(variable) for variable in SETTINGS},
    )


def training_parameters(settings: Params, name: str) -> TrainingParameters:
    """All parameters that can change the weights of a variant."""
    variant = settings.variant(name)
    return TrainingParameters(
        network=variant.network,
        recipe=variant.recipe,
        augment=variant.augment,
        precision=variant.precision,
        holdout=settings.train.holdout,
        watch=settings.train.watch,
        source=settings.data.source,
        subtract_pixel_mean=settings.preprocess.subtract_pixel_mean,
    )


def code_hashes(pipeline: Path = PIPELINE, stage: str = "train") -> dict[str, str]:
    """The SHA-256 of each module that a stage of a dvc.yaml depends on, by path."""
    try:
        deps = yaml.safe_load(pipeline.read_text(encoding="utf-8"))["stages"][stage]["deps"]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise BenchmarkError(f"{pipeline}: no deps of a stage {stage}: {reason}") from error
    return {dep: sha256(pipeline.parent / dep) for dep in deps if dep.endswith(".py")}


def fingerprint(identity: Identity) -> str:
    """A short hash of an identity, the name of its folder below .resume/."""
    text = json.dumps(identity.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def changes(before: Identity, after: Identity) -> list[Change]:
    """What differs between two identities, key by key."""
    old, new = (_flat(identity.model_dump(mode="json")) for identity in (before, after))
    keys = list(dict.fromkeys([*old, *new]))
    return [
        Change(key=key, before=old.get(key), after=new.get(key))
        for key in keys
        if old.get(key) != new.get(key)
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested mappings and lists as dotted keys; None is no key."""
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, list):
        parts = [(str(i), part) for i, part in enumerate(value)]
    else:
        return {} if value is None else {prefix: str(value)}
    found: dict[str, str] = {}
    for key, part in parts:
        found |= _flat(part, f"{prefix}.{key}" if prefix else key)
    return found
