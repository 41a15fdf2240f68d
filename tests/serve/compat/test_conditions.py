"""Conditions of other APIs as filters, against an interpreter of each."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from mixstage.serve.compat.conditions import Condition, Filter, either, joined, of_openai
from mixstage.serve.problems import Refusal

OPENAI: TypeAdapter[Any] = TypeAdapter(Filter)


def translated(sent: dict[str, Any]) -> dict[str, Any] | None:
    return joined(of_openai(OPENAI.validate_python(sent)))


def compared(kind: str, key: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "key": key, "value": value}


def test_each_comparison_has_its_form() -> None:
    assert translated(compared("eq", "court", "BGH")) == {"court": "BGH"}
    assert translated(compared("in", "court", ["BGH", "OLG"])) == {"court": {"any": ["BGH", "OLG"]}}
    for kind in ("gt", "gte", "lt", "lte"):
        assert translated(compared(kind, "year", 2020)) == {"year": {kind: 2020}}


def test_and_joins_at_any_depth_and_ranges_of_one_field_are_one() -> None:
    inner = {"type": "and", "filters": [compared("gte", "year", 2020), compared("lt", "year", 2024)]}
    sent = {"type": "and", "filters": [inner, compared("eq", "court", "BGH")]}
    assert translated(sent) == {"year": {"gte": 2020, "lt": 2024}, "court": "BGH"}


def test_or_of_one_fields_values_is_any_of() -> None:
    sent = {"type": "or", "filters": [compared("eq", "court", "BGH"), compared("in", "court", ["OLG", "LG"])]}
    assert translated(sent) == {"court": {"any": ["BGH", "OLG", "LG"]}}


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (compared("ne", "a", 1), "`ne`"),
        (compared("nin", "a", [1]), "`nin`"),
        (compared("in", "a", 1), "`in` takes a list"),
        (compared("eq", "a", [1]), "`in` takes a list"),
        ({"type": "or", "filters": [compared("eq", "a", 1), compared("eq", "b", 1)]}, "`or` of anything but"),
        ({"type": "or", "filters": [compared("gt", "a", 1), compared("eq", "a", 1)]}, "`or` of anything but"),
        (
            {"type": "or", "filters": [{"type": "and", "filters": [compared("eq", "a", n) for n in (1, 2)]}]},
            "`or` of anything but",
        ),
        ({"type": "and", "filters": [compared("gt", "a", 1), compared("gt", "a", 2)]}, "two conditions on gt"),
        ({"type": "and", "filters": [compared("eq", "a", 1), compared("eq", "a", 2)]}, "an equality beside"),
        ({"type": "and", "filters": [compared("eq", "a", 1), compared("gt", "a", 2)]}, "two conditions on gt"),
        ({"type": "and", "filters": [compared("gt", "a", 1), compared("in", "a", [2])]}, "an equality beside"),
    ],
)
def test_what_a_filter_can_not_say_is_refused(sent: dict[str, Any], words: str) -> None:
    with pytest.raises(Refusal) as refused:
        translated(sent)
    assert refused.value.status == 400
    assert words in str(refused.value)


def holds(sent: dict[str, Any], document: dict[str, int]) -> bool:
    """What OpenAI's documentation says a filter means."""
    match sent["type"]:
        case "and":
            return all(holds(part, document) for part in sent["filters"])
        case "or":
            return any(holds(part, document) for part in sent["filters"])
        case "in":
            return document[sent["key"]] in sent["value"]
    there, value = document[sent["key"]], sent["value"]
    kinds = {"eq": there == value, "gt": there > value, "gte": there >= value, "lt": there < value}
    return (kinds | {"lte": there <= value})[sent["type"]]


def passes(wanted: dict[str, Any], document: dict[str, int]) -> bool:
    """What the gateway's API says a filter means."""
    for field, demand in wanted.items():
        there = document[field]
        for kind, value in (demand if isinstance(demand, dict) else {"any": [demand]}).items():
            kinds = {"any": lambda v, t=there: t in v, "gt": lambda v, t=there: t > v}
            kinds |= {
                "gte": lambda v, t=there: t >= v,
                "lt": lambda v, t=there: t < v,
                "lte": lambda v, t=there: t <= v,
            }
            if not kinds[kind](value):
                return False
    return True


numbers, keys = st.integers(0, 3), st.sampled_from("ab")
leaves = st.one_of(
    st.builds(compared, st.sampled_from(["eq", "gt", "gte", "lt", "lte"]), keys, numbers),
    st.builds(compared, st.just("in"), keys, st.lists(numbers, max_size=3)),
)
filters = st.recursive(
    leaves,
    lambda parts: st.fixed_dictionaries(
        {"type": st.sampled_from(["and", "or"]), "filters": st.lists(parts, min_size=1, max_size=3)}
    ),
    max_leaves=5,
)


@given(filters)
def test_a_filter_that_is_not_refused_means_what_was_sent(sent: dict[str, Any]) -> None:
    try:
        wanted = translated(sent)
    except Refusal:
        return
    assert wanted is not None
    for a in range(4):
        for b in range(4):
            assert passes(wanted, {"a": a, "b": b}) == holds(sent, {"a": a, "b": b})


def test_no_condition_is_no_filter() -> None:
    assert joined([]) is None
    assert either([Condition("a", "eq", 1)]) == Condition("a", "any", [1])
