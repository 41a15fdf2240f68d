"""Declared metadata: typed from JSON, stored beside the documents, refused with line, value and remedy."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixstage.corpus.collection import Collection
from mixstage.corpus.documents import CORPUS_FILE, ParseShard, refuse_problems, shard_ranges
from mixstage.corpus.metadata import read_metadata, read_value
from mixstage.corpus.tables import Corpus
from mixstage.errors import InputError
from mixstage.plan.data import CorpusPlan, FieldType
from mixstage.store.store import Store, digest_of

FIELDS: dict[str, FieldType] = {
    "year": "integer",
    "court": "string",
    "fee": "number",
    "decided": "date",
    "final": "boolean",
    "tags": "strings",
}
DOCUMENTS = [
    {"_id": "a", "text": "t", "year": 2019, "metadata": {"court": "bgh", "year": 1900}, "tags": ["rent", "roof"]},
    {"_id": "b", "text": "t", "metadata": {"fee": 3, "decided": "2020-02-29", "final": False, "tags": []}},
    {"_id": "c", "text": "t", "metadata": {"year": None, "court": "", "fee": 0.5, "unknown": {}}},
]


def prepared(store: Store, folder: Path, fields: dict[str, FieldType], shards: int = 2) -> Corpus:
    collection = Collection.open(str(folder))
    draft = store.draft(Corpus, {"fields": fields, "shards": shards})
    size = collection.size(CORPUS_FILE)
    done = [ParseShard(collection, draft, fields)(item) for item in shard_ranges(size, -(-size // shards))]
    refuse_problems(collection, done)
    return draft.publish({"documents": sum(shard["rows"] for shard in done), "metadata": fields})


def test_fields_are_read_from_the_line_or_its_metadata_and_are_null_where_missing(store: Store, beir: Any) -> None:
    corpus = prepared(store, beir(documents=DOCUMENTS), FIELDS)
    assert len(corpus.names("metadata/", ".parquet")) == len(corpus.names("documents/", ".parquet")) == 2
    assert read_metadata(corpus).rows() == [
        (2019, "bgh", None, None, None, ["rent", "roof"]),  # the line's own year, not that of its metadata
        (None, None, 3.0, date(2020, 2, 29), False, []),
        (None, "", 0.5, None, None, None),
    ]


def test_a_plan_that_declares_nothing_writes_nothing_else(store: Store, beir: Any) -> None:
    corpus = prepared(store, beir(documents=DOCUMENTS), {}, shards=1)
    assert list(corpus.files) == ["documents/part-00000.parquet"]
    assert read_metadata(corpus).is_empty()


@pytest.mark.parametrize(
    ("value", "kind", "remedy"),
    [
        ("2019", "integer", "write a whole number of 64 bits such as 2019"),
        (20.5, "integer", "whole number"),
        (True, "integer", "whole number"),
        (1 << 63, "integer", "64 bits"),
        (5, "string", "text in quotes"),
        (["x"], "string", "text in quotes"),
        ("\ud800", "string", "text in quotes"),
        ("0.5", "number", "a finite number"),
        (float("nan"), "number", "a finite number"),
        (10**400, "number", "a finite number"),
        (True, "number", "a finite number"),
        ("2019-02-29", "date", "year-month-day"),
        ("20190228", "date", "year-month-day"),
        ("2019-02-28T10:00", "date", "year-month-day"),
        (2019, "date", "year-month-day"),
        (0, "boolean", "true or false"),
        ("rent", "strings", 'a list such as ["a", "b"]'),
        (["rent", 1], "strings", "a list"),
        ([None], "strings", "a list"),
    ],
)
def test_a_value_of_another_type_is_refused_with_value_and_remedy(value: object, kind: FieldType, remedy: str) -> None:
    with pytest.raises(ValueError, match="is not of type " + kind) as refused:
        read_value(kind, value)
    assert remedy in str(refused.value)


def test_bad_values_are_reported_with_their_line(store: Store, beir: Any) -> None:
    documents = [DOCUMENTS[0], {"_id": "b", "text": "t", "metadata": {"year": "MMXIX"}}]
    folder = beir(documents=documents)
    with pytest.raises(InputError) as refused:
        prepared(store, folder, FIELDS, shards=1)
    assert f"{folder}/corpus.jsonl:2: document 'b': year: 'MMXIX' is not of type integer: write" in str(refused.value)


VALUES = {
    "integer": st.integers(-(1 << 63), (1 << 63) - 1),
    "string": st.text(st.characters(exclude_categories=["Cs"])),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "date": st.dates().map(str),
    "boolean": st.booleans(),
    "strings": st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), max_size=3),
}


@given(st.data())
def test_every_value_of_json_comes_back_as_it_was(data: st.DataObject) -> None:
    for kind, values in VALUES.items():
        value = data.draw(values)
        read = read_value(kind, json.loads(json.dumps(value)))  # type: ignore[arg-type]
        assert (str(read) if kind == "date" else read) == value


def test_declaring_fields_makes_another_corpus_and_declaring_none_the_same_as_ever() -> None:
    assert CorpusPlan(source="x").metadata == {}
    recipe = {"what": "corpus", "format": 2, "sha256": "s"}
    assert digest_of(recipe | {"metadata": {"year": "integer"}}) != digest_of(recipe)
