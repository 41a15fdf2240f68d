"""Filters: read from JSON against declared fields, compared with plain Python."""

import pickle
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixstage.errors import FilterError
from mixstage.index.filters import Filter
from mixstage.plan.data import FieldType

FIELDS: dict[str, FieldType] = {
    "year": "integer",
    "court": "string",
    "fee": "number",
    "decided": "date",
    "final": "boolean",
    "tags": "strings",
}
ROWS = [
    {"year": 2019, "court": "bgh", "fee": 1.0, "decided": date(2019, 5, 31), "final": True, "tags": ["rent", "roof"]},
    {"year": 2020, "court": "olg", "fee": 2.5, "decided": date(2020, 1, 1), "final": False, "tags": []},
    {"year": 2021, "court": "é", "fee": -1.0, "decided": None, "final": None, "tags": ["rent"]},
    {"year": None, "court": None, "fee": None, "decided": None, "final": None, "tags": None},
]
SCHEMA = {
    "year": pl.Int64,
    "court": pl.String,
    "fee": pl.Float64,
    "decided": pl.Date,
    "final": pl.Boolean,
    "tags": pl.List(pl.String),
}
FRAME = pl.DataFrame(ROWS, schema=SCHEMA)


def passing(raw: object) -> list[int]:
    mask = Filter.parse(raw, FIELDS).mask(FRAME)
    assert mask.dtype == bool and mask.shape == (4,)
    return [row for row, passes in enumerate(mask) if passes]


@pytest.mark.parametrize(
    ("raw", "rows"),
    [
        ({}, [0, 1, 2, 3]),
        ({"year": 2020}, [1]),
        ({"year": {"gte": 2020}}, [1, 2]),
        ({"year": {"gt": 2019, "lt": 2021}}, [1]),
        ({"year": {"lte": 2019}}, [0]),
        ({"year": {"any": [2019, 2021, 1]}}, [0, 2]),
        ({"year": {"any": []}}, []),
        ({"court": "bgh"}, [0]),
        ({"court": {"gt": "z"}}, [2]),  # bytes: C3 A9 is above 7A
        ({"fee": 1}, [0]),
        ({"fee": {"lt": 2}}, [0, 2]),
        ({"decided": {"gte": "2019-06-01"}}, [1]),
        ({"decided": "2019-05-31"}, [0]),
        ({"final": False}, [1]),
        ({"tags": "rent"}, [0, 2]),
        ({"tags": {"any": ["roof", "x"]}}, [0]),
        ({"tags": {"any": []}}, []),
        ({"tags": "rent", "year": {"gt": 2019}}, [2]),
    ],
)
def test_a_filter_by_hand(raw: object, rows: list[int]) -> None:
    assert passing(raw) == rows


@pytest.mark.parametrize("operator", ["gt", "gte", "lt", "lte"])
@given(bound=st.integers(-3, 3), years=st.lists(st.none() | st.integers(-3, 3)))
def test_ranges_are_pythons_and_null_never_passes(operator: str, bound: int, years: list[int | None]) -> None:
    compare: dict[str, Any] = {"gt": int.__gt__, "gte": int.__ge__, "lt": int.__lt__, "lte": int.__le__}
    frame = pl.DataFrame({"year": years}, schema={"year": pl.Int64})
    mask = Filter.parse({"year": {operator: bound}}, FIELDS).mask(frame)
    assert mask.tolist() == [year is not None and compare[operator](year, bound) for year in years]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([], "a filter is an object {field: condition}"),
        ("secret", "a filter is an object"),
        ({"secret": 1}, "no such field to filter by: declared are year (integer), court (string), fee (number)"),
        ({"year": "secret"}, "year: a value is not of type integer: write a whole number of 64 bits such as 2019"),
        ({"year": None}, "year: a value is not of type integer"),
        ({"year": ["secret"]}, "year: a value is not of type integer"),
        ({"year": {"any": "secret"}}, "year: any takes a list of at most 1000 values"),
        ({"year": {"any": [1] * 1001}}, "at most 1000 values"),
        ({"year": {"any": [1, "secret"]}}, "year: a value is not of type integer"),
        ({"year": {}}, 'year: no such condition: write a value, {"any": [values]}, or a range of gt, gte, lt, lte'),
        ({"year": {"gte": 1, "any": [1]}}, "year: no such condition"),
        ({"year": {"secret": 1}}, "year: no such condition"),
        ({"year": {"gte": None}}, "year: a value is not of type integer"),
        ({"final": {"gt": False}}, "final: values of type boolean have no order"),
        ({"tags": {"gt": "secret"}}, "tags: values of type strings have no order"),
        ({"tags": ["secret"]}, "tags: a value is not of type string: write text in quotes"),
        ({"decided": "secret"}, 'decided: a value is not of type date: write "2019-05-31" (year-month-day)'),
    ],
)
def test_a_bad_filter_says_what_is_wrong_and_what_to_write_and_repeats_nothing_that_was_sent(
    raw: object, message: str
) -> None:
    with pytest.raises(FilterError) as refused:
        Filter.parse(raw, FIELDS)
    assert message in str(refused.value)
    assert "secret" not in str(refused.value)
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


def test_where_nothing_is_declared_every_field_is_refused() -> None:
    with pytest.raises(FilterError, match="declared are none"):
        Filter.parse({"year": 1}, {})


def test_equal_filters_are_one_key_and_travel() -> None:
    raw = {"year": {"gte": 2019, "lt": 2021}, "tags": {"any": ["a", "b"]}}
    one, two = Filter.parse(raw, FIELDS), Filter.parse(raw, FIELDS)
    assert {one: 1}[two] == 1
    assert pickle.loads(pickle.dumps(one)) == one
