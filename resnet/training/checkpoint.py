"""Checkpoints: .keras files that older Keras 3 loads; equal weights give equal files."""

import json
import zipfile
from pathlib import Path
from typing import Any

import keras

DATE = "1980-01-01@00:00:00"  # the first that a ZIP archive can have
NEWER_KEYS = {  # of layers' configurations, unknown to older Keras 3, with their neutral values
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
    "quantization_config": None,
}


def save(model: keras.Model, path: Path) -> None:
    """Save a model as keras.Model.save does, then remove from the file all that varies.

    These are the dates, the order of the archive's members, memory addresses in the configuration,
    and configuration keys that only say that a newer feature is not used.
    """
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in sorted(archive.namelist())}
    metadata = {**json.loads(members["metadata.json"]), "date_saved": DATE}
    config = _stable(json.loads(members["config.json"]), {})
    members |= {"metadata.json": _json(metadata), "config.json": _json(config)}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def _stable(value: Any, numbers: dict[int, int]) -> Any:
    """A configuration without the newer keys, and with its shared objects numbered in order."""
    if isinstance(value, list):
        return [_stable(part, numbers) for part in value]
    if not isinstance(value, dict):
        return value
    return {
        key: numbers.setdefault(part, len(numbers))
        if key == "shared_object_id"
        else _stable(part, numbers)
        for key, part in value.items()
        if key not in NEWER_KEYS or part != NEWER_KEYS[key]
    }


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
