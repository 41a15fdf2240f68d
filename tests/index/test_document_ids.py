"""Rows and ids: read shard by shard or all at once, the answers are those of a list."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from mixstage.corpus.tables import Corpus
from mixstage.index.document_ids import LoadedIds, StoredIds

IDS = [f"d{n * 7 % 23}" if n % 4 else f"é{n}" for n in range(23)]


@pytest.fixture
def corpus(make_corpus: Any) -> Corpus:
    made: Corpus = make_corpus([{"_id": i, "text": "x" * 40} for i in IDS], shards=4)
    assert len(made.names("documents/")) > 2
    return made


@pytest.mark.parametrize("kind", [LoadedIds, StoredIds])
@pytest.mark.parametrize("rows", [[], [0], [22, 0, 11, 11, 5], list(range(22, -1, -1))])
def test_rows_become_ids_in_the_order_asked(corpus: Corpus, kind: Any, rows: list[int]) -> None:
    ids = kind(corpus)
    assert len(ids) == 23
    taken = ids.take(np.array(rows, dtype=np.int64))
    assert (taken.to_list(), taken.name, taken.dtype) == ([IDS[row] for row in rows], "doc_id", pl.String)


@pytest.mark.parametrize("kind", [LoadedIds, StoredIds])
@pytest.mark.parametrize("asked", [[], [IDS[3]], [IDS[22], "stranger", IDS[0], IDS[22], ""], IDS[::-1]])
def test_ids_become_rows_and_strangers_none(corpus: Corpus, kind: Any, asked: list[str]) -> None:
    rows = kind(corpus).find(pl.Series("doc_id", asked, dtype=pl.String))
    assert rows.tolist() == [IDS.index(i) if i in IDS else -1 for i in asked]
    assert rows.dtype == np.int64
