"""Reads JSON whose shape is not known beforehand."""

from typing import Any


def is_object(value: Any) -> bool:
    """Return whether it is a JSON object."""
    return isinstance(value, dict)


def is_array(value: Any) -> bool:
    """Return whether it is a JSON array."""
    return isinstance(value, list)


def object_of(value: Any) -> dict[str, Any]:
    """Return a JSON object, or an empty one in place of anything else."""
    return value if is_object(value) else {}


def array_of(value: Any) -> list[Any]:
    """Return a JSON array; anything else is its only item."""
    return value if is_array(value) else [value]
