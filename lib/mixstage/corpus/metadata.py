"""Declared metadata of documents: fields of corpus.jsonl, or of its `metadata`, checked and stored in columns."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import polars as pl
import pyarrow as pa

from mixstage.corpus.tables import Corpus
from mixstage.plan.data import FieldType
from mixstage.store.plain import JsonObject

FOLDER = "metadata/"  # of a corpus with declared fields: a file beside each of its documents'
Value = str | int | float | bool | date | None  # of a declared field
_INT64 = 1 << 63


def field_of(row: JsonObject, field: str) -> Any:
    """The value of a line's own field, else of its `metadata`; None without."""
    metadata = row.get("metadata")
    return row.get(field, metadata.get(field) if isinstance(metadata, dict) else None)


def read_value(kind: FieldType, value: object) -> Any:
    """A JSON value as what it is stored and compared as. Raises ValueError with value and remedy."""
    try:
        return _TYPES[kind][2](value)
    except (ValueError, TypeError, OverflowError):
        shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
        raise ValueError(f"{shown} is {refusal(kind)}") from None


def refusal(kind: FieldType) -> str:
    """What is to be said of a value that is none of the type."""
    return f"not of type {kind}: write {_TYPES[kind][1]}"


def read_fields(row: JsonObject, fields: Mapping[str, FieldType]) -> dict[str, Value]:
    """Declared field -> value of one line, None where it is missing or null. Raises ValueError."""
    values: dict[str, Value] = {}
    for field, kind in fields.items():
        value = field_of(row, field)
        try:
            values[field] = None if value is None else read_value(kind, value)
        except ValueError as error:
            raise ValueError(f"document {row['_id']!r}: {field}: {error}, or null where it is unknown") from None
    return values


def metadata_table(rows: list[dict[str, Value]], fields: Mapping[str, FieldType]) -> pa.Table:
    """A column a field, in the order of the rows."""
    return pa.Table.from_pylist(rows, schema=pa.schema([(field, _TYPES[kind][0]) for field, kind in fields.items()]))


def read_metadata(corpus: Corpus) -> pl.DataFrame:
    """The declared fields of all documents, in row order; no row for a corpus without."""
    tables = [corpus.read_table(name) for name in corpus.names(FOLDER, ".parquet")]
    return pl.DataFrame(pa.concat_tables(tables)) if tables else pl.DataFrame()


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # half a character has no UTF-8: a ValueError
    return value


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -_INT64 <= value < _INT64:
        raise TypeError
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError
    return float(value)


def _date(value: object) -> date:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise TypeError
    return date.fromisoformat(value)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _strings(value: object) -> list[str]:
    if not isinstance(value, list):
        raise TypeError
    return [_string(one) for one in value]


_TYPES: dict[FieldType, tuple[pa.DataType, str, Callable[[object], Any]]] = {
    "string": (pa.string(), "text in quotes", _string),
    "integer": (pa.int64(), "a whole number of 64 bits such as 2019", _integer),
    "number": (pa.float64(), "a finite number such as 0.5", _number),
    "date": (pa.date32(), '"2019-05-31" (year-month-day)', _date),
    "boolean": (pa.bool_(), "true or false", _boolean),
    "strings": (pa.list_(pa.string()), 'a list such as ["a", "b"]', _strings),
}
