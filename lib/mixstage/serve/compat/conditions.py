"""Metadata conditions of other APIs, in the shape of the gateway's filter: fields that are joined by AND.

{"field": value}, {"field": {"gte": x, "lt": y}}, {"field": {"any": [...]}}. What can't be said in it is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

from mixstage.serve.problems import Refusal
from mixstage.store.plain import Json

_RANGES = ("gt", "gte", "lt", "lte")
Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Condition:
    """A demand on one field."""

    field: str
    operator: str  # eq | any | gt | gte | lt | lte
    value: Any  # of `any` a list


class Comparison(BaseModel):
    """OpenAI's filter on one attribute."""

    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: str
    value: Value | list[Value]


class Compound(BaseModel):
    """OpenAI's filters joined."""

    type: Literal["and", "or"]
    filters: list["Filter"] = Field(min_length=1)


def _tag(given: Any) -> str:
    """By a function: pydantic's own discriminator repeats in its message what was sent."""
    kind = given.get("type") if isinstance(given, dict) else None
    return "compound" if kind in ("and", "or") else "comparison"


Filter = Annotated[Annotated[Comparison, Tag("comparison")] | Annotated[Compound, Tag("compound")], Discriminator(_tag)]


def joined(conditions: Sequence[Condition]) -> dict[str, Json] | None:
    """The conditions joined by AND, as a filter; None without any. Refuses two on one field that can't be joined."""
    fields: dict[str, Json] = {}
    for condition in conditions:
        if condition.operator in _RANGES:
            limits = fields.setdefault(condition.field, {})
            if not isinstance(limits, dict) or "any" in limits or condition.operator in limits:
                raise _unsaid(f"two conditions on {condition.operator} of one field")
            limits[condition.operator] = condition.value
        elif condition.field in fields:
            raise _unsaid("an equality beside another condition on the same field")
        else:
            fields[condition.field] = {"any": condition.value} if condition.operator == "any" else condition.value
    return fields or None


def either(conditions: Sequence[Condition]) -> Condition:
    """The conditions joined by OR: equalities of one field become any-of; all else is refused."""
    same_field = len({condition.field for condition in conditions}) == 1
    if not same_field or any(condition.operator not in ("eq", "any") for condition in conditions):
        raise _unsaid("`or` of anything but equalities of one field")
    values = [c.value if c.operator == "any" else [c.value] for c in conditions]
    return Condition(conditions[0].field, "any", [value for group in values for value in group])


def of_openai(given: Comparison | Compound) -> list[Condition]:
    """OpenAI's filters as conditions that are joined by AND."""
    if isinstance(given, Comparison):
        return [_compared(given)]
    parts = [of_openai(part) for part in given.filters]
    if given.type == "and":
        return [condition for part in parts for condition in part]
    if any(len(part) > 1 for part in parts):
        raise _unsaid("`or` of anything but equalities of one field")
    return [either([condition for part in parts for condition in part])]


def _compared(given: Comparison) -> Condition:
    if given.type in ("ne", "nin"):
        raise _unsaid(f"`{given.type}`")
    if isinstance(given.value, list) != (given.type == "in"):
        raise Refusal(400, "filters: `in` takes a list, all others one value")
    return Condition(given.key, "any" if given.type == "in" else given.type, given.value)


def _unsaid(what: str) -> Refusal:
    return Refusal(400, f"a filter can't say {what}: it joins equality, ranges and any-of of different fields by AND")
