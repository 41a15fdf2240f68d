"""Rankings that do not read the query, by hand."""

import math

import polars as pl
import pytest

from mixstage.corpus.collection import Collection
from mixstage.corpus.documents import read_field
from mixstage.insight.confounds import Confound, measure_confounds, rank_without_query, read_traits
from mixstage.measures.measures import parse_measure
from mixstage.plan.data import CorpusPlan
from tests.conftest import BeirWriter, CorpusMaker

DOCUMENTS = [
    {"_id": "a", "title": "", "text": "xxxx", "metadata": {"court": "high", "year": 1990}},
    {"_id": "b", "title": "t", "text": "xx", "metadata": {"court": "low"}},
    {"_id": "c", "title": "", "text": "xxxxx", "court": "high"},
    {"_id": "d", "title": "", "text": "x"},
    {"_id": "e", "title": "", "text": "xx", "metadata": "none"},
]


def test_a_field_stands_in_the_line_or_in_its_metadata(beir: BeirWriter) -> None:
    collection = Collection.open(str(beir("c", documents=DOCUMENTS)))
    assert read_field(collection, "court").rows() == [
        ("a", "high"),
        ("b", "low"),
        ("c", "high"),
        ("d", None),
        ("e", None),
    ]
    assert read_field(collection, "year")["value"].to_list() == ["1990", None, None, None, None]


def test_traits_of_documents(beir: BeirWriter, make_corpus: CorpusMaker) -> None:
    corpus, source = make_corpus(DOCUMENTS, shards=2), str(beir("source", documents=DOCUMENTS))
    found = read_traits(CorpusPlan(source=source, confound="court"), corpus).sort("doc_id")
    assert found["length"].to_list() == [4, 3, 5, 1, 2]
    assert found["value"].to_list() == ["high", "low", "high", None, None]
    assert read_traits(CorpusPlan(source=source), corpus)["value"].null_count() == 5


def test_the_order_of_each_list() -> None:
    traits = pl.DataFrame(
        {"doc_id": list("abcde"), "length": [4, 3, 5, 1, 2], "value": ["high", "low", "high", None, None]}
    )
    lists = rank_without_query(traits, pl.Series(["b", "b", "a", "d", "d", "d"]), 3)
    assert {name: listed["doc_id"].to_list() for name, listed in lists.items()} == {
        "longest": ["c", "a", "b"],
        "shortest": ["d", "e", "b"],
        "often relevant": ["d", "b", "a"],
        "field": ["b", "c", "a"],  # low: 2 of one document, high: 1 of two; d and e have no value
    }
    assert lists["field"]["score"].to_list() == [2, 0.5, 0.5]
    assert "field" not in rank_without_query(
        traits.with_columns(pl.lit(None, pl.String).alias("value")), pl.Series(["b"]), 3
    )


def test_every_query_gets_the_same_list() -> None:
    listed = pl.DataFrame({"doc_id": ["c", "a"], "score": [2.0, 1.0], "rank": [1, 2]})
    judgements = pl.DataFrame(
        {"query_id": ["q1", "q2", "q3"], "doc_id": ["c", "a", "b"], "grade": [1, 1, 1]},
        schema_overrides={"grade": pl.Int16},
    )
    lists = {"longest": listed.cast({"score": pl.Float32, "rank": pl.UInt32})}
    found = measure_confounds(lists, judgements, parse_measure("nDCG@10"), 0.8)
    mean = (1 + 1 / math.log2(3)) / 3
    assert found == {"longest": Confound(mean=pytest.approx(mean), share=pytest.approx(mean / 0.8))}
    assert measure_confounds(lists, judgements, parse_measure("nDCG@10"), 0.0)["longest"].share is None
