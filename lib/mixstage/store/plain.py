"""Values as JSON keeps them: what the library computes with stays dataclasses until it is written."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None  # what is written
# An object as it is read: a recipe, a maker's notes, an answer. A property or a `from_json` says what its fields are.
JsonObject = Mapping[str, Any]


def plain(value: object) -> Json:
    """A dataclass as an object of its fields, or what its own `to_json` says; sequences as lists, names as text.

    A number that is infinite or none becomes None, which JSON has. Raises TypeError for what JSON has no form for.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "to_json"):
        return plain(value.to_json())
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, Sequence):
        return [plain(one) for one in value]
    if not is_dataclass(value):
        raise TypeError(f"{type(value).__name__} has no form in JSON")
    return plain_fields(value)


def plain_fields(value: object) -> dict[str, Json]:
    """The fields of a dataclass, for a `to_json` that adds to them."""
    assert is_dataclass(value), value
    return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
