"""Nested mappings, some values of which another mapping overrides."""

from collections.abc import Mapping
from typing import Any


def merged(defaults: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults with the overrides in their place, in nested mappings key by key."""
    nested = {
        key: {**defaults[key], **value}
        for key, value in overrides.items()
        if isinstance(value, dict) and isinstance(defaults.get(key), dict)
    }
    return {**defaults, **overrides, **nested}


def is_own(location: tuple[int | str, ...], overrides: Any) -> bool:
    """Whether the value at that location comes from the overrides, not from what they override."""
    for step in location:
        if isinstance(overrides, dict):
            if step not in overrides:
                return False
            overrides = overrides[step]
    return True


def value_at(raw: Any, *keys: Any) -> Any:
    """The value under nested keys; None where there is none."""
    for key in keys:
        raw = raw.get(key) if isinstance(raw, dict) and isinstance(key, str) else None
    return raw
