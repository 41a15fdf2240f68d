"""Near-duplicate queries and equal documents: by hand, and against a comparison of all pairs."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest

from mixstage.insight.leaks import EqualDocuments, equal_documents, near_duplicates, trigrams
from tests.conftest import CorpusMaker

SCHEMA = ["application", "query_id", "text", "split"]


def queries(*rows: tuple[str, str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def test_trigrams_forget_case_and_gaps_and_keep_characters() -> None:
    assert trigrams("Tax  law").tolist() == trigrams(" tax law ").tolist()
    assert len(trigrams("abcabc")) == 3  # abc, bca, cab
    assert len(trigrams("税法")) == len(trigrams("")) == 1
    assert trigrams("ab").tolist() != trigrams("ba").tolist()


def test_pairs_between_splits_only_most_similar_first() -> None:
    found = near_duplicates(
        queries(
            ("a", "q1", "notice period of a lease", "train"),
            ("a", "q2", "Notice period of a lease", "train"),  # the same split as q1: no leak
            ("a", "q3", "notice periods of a lease", "test"),
            ("b", "q4", "NOTICE period of a  lease", "dev"),  # another application's
            ("b", "q5", "who pays the broker", "test"),
        ),
        threshold=0.8,
    )
    # "notice period of a lease" has 22 trigrams, "periods" makes 23, of which 20 are shared ("ods", "ds ", "s o" are
    # new; "od ", "d o" are gone): 20 / 25
    assert found.rows() == [
        ("a", "q1", "train", "b", "q4", "dev", 1.0),
        ("a", "q2", "train", "b", "q4", "dev", 1.0),
        ("a", "q1", "train", "a", "q3", "test", 0.8),
        ("a", "q2", "train", "a", "q3", "test", 0.8),
        ("a", "q3", "test", "b", "q4", "dev", 0.8),
    ]


def test_unlike_queries_are_no_pairs() -> None:
    found = near_duplicates(queries(("a", "q1", "one", "dev"), ("a", "q2", "another", "test")))
    assert found.is_empty() and found.columns[-1] == "similarity"


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 1.0])
def test_the_short_cut_finds_what_all_pairs_find(threshold: float) -> None:
    generator = np.random.default_rng(2)
    texts = ["".join(generator.choice(list("abc "), generator.integers(1, 14))) for _ in range(120)]
    table = queries(*(("a", f"q{i:03d}", text, "dev" if i % 2 else "test") for i, text in enumerate(texts)))
    grams = [set(trigrams(text).tolist()) for text in texts]
    expected = {
        (f"q{i:03d}", f"q{j:03d}")
        for i, j in combinations(range(len(texts)), 2)
        if i % 2 != j % 2 and len(grams[i] & grams[j]) / len(grams[i] | grams[j]) >= threshold
    }
    assert set(near_duplicates(table, threshold).select("query_id", "other_query_id").iter_rows()) == expected
    assert expected


def test_equal_documents_are_counted_beyond_the_first(make_corpus: CorpusMaker) -> None:
    documents = [
        {"_id": "1", "title": "A", "text": "same"},
        {"_id": "2", "title": "A", "text": "same"},
        {"_id": "3", "title": "A", "text": "same"},
        {"_id": "4", "title": "B", "text": "same"},
    ]
    assert equal_documents(make_corpus(documents, shards=2)) == EqualDocuments(documents=4, copies=2)
