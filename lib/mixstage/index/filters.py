"""Filters of a search by declared metadata: read from JSON, then a mask over the rows of a corpus."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any

import numpy as np
import polars as pl

from mixstage.corpus.metadata import read_value, refusal
from mixstage.errors import FilterError
from mixstage.plan.data import FieldType

_RANGE = ("gt", "gte", "lt", "lte")
_MOST = 1000  # values of one any-of
_SHAPE = 'write a value, {"any": [values]}, or a range of gt, gte, lt, lte'


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison of a field; a document without the field never passes."""

    field: str
    operator: str  # any, gt, gte, lt, lte
    values: tuple[Any, ...]  # one, but for any
    is_list: bool  # the field holds several values: one of them has to be among `values`

    def expression(self) -> pl.Expr:
        column = pl.col(self.field)
        if self.is_list:
            return column.list.eval(pl.element().is_in(list(self.values))).list.any()
        if self.operator == "any":
            return column.is_in(list(self.values))
        bound = pl.lit(self.values[0])
        return {"gt": column > bound, "gte": column >= bound, "lt": column < bound, "lte": column <= bound}[
            self.operator
        ]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which documents a search may find: those that pass every term. Equal filters are equal values."""

    terms: tuple[Term, ...]

    @classmethod
    def parse(cls, raw: object, fields: Mapping[str, FieldType]) -> "Filter":
        """{field: value | {"any": [values]} | {"gte": value, "lt": value}} -> Filter; the fields are joined by AND.

        fields: the declared ones. Strings are compared by their UTF-8 bytes; dates are written 2019-05-31. Raises
        FilterError, which names declared fields and never what was sent: it goes out to callers.
        """
        if not isinstance(raw, dict):
            raise FilterError("a filter is an object {field: condition}")
        return cls(tuple(term for name, condition in raw.items() for term in _terms(name, condition, fields)))

    def mask(self, metadata: pl.DataFrame) -> np.ndarray:
        """(N,) bool: which rows pass. metadata: the declared fields, a row a document."""
        if not self.terms:
            return np.ones(len(metadata), dtype=bool)
        passes = reduce(and_, (term.expression() for term in self.terms)).fill_null(False)
        return metadata.select(passes).to_series().to_numpy()


def _terms(name: str, condition: object, fields: Mapping[str, FieldType]) -> list[Term]:
    kind = fields.get(name)
    if kind is None:
        declared = ", ".join(f"{field} ({type_})" for field, type_ in fields.items())
        raise FilterError(f"no such field to filter by: declared are {declared or 'none'}")
    if not isinstance(condition, dict):
        condition = {"any": [condition]}
    if list(condition) == ["any"]:
        values = condition["any"]
        if not isinstance(values, list) or len(values) > _MOST:
            raise FilterError(f"{name}: any takes a list of at most {_MOST} values")
        return [Term(name, "any", tuple(_value(name, kind, value) for value in values), kind == "strings")]
    if not condition or not {*condition} <= {*_RANGE}:
        raise FilterError(f"{name}: no such condition: {_SHAPE}")
    if kind in ("boolean", "strings"):
        raise FilterError(f'{name}: values of type {kind} have no order: write a value or {{"any": [values]}}')
    return [Term(name, operator, (_value(name, kind, value),), False) for operator, value in condition.items()]


def _value(name: str, kind: FieldType, value: object) -> Any:
    kind = "string" if kind == "strings" else kind
    try:
        return read_value(kind, value)
    except ValueError:
        raise FilterError(f"{name}: a value is {refusal(kind)}") from None
