"""Search in some rows: what a search of everything gives, filtered, then cut."""

from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixstage.index.bm25 import LexicalIndex
from mixstage.index.faiss_files import _FEW, FaissFiles, FaissShard, fill, train_index
from mixstage.index.search import DenseIndex, Files, Retriever, Within, rank_by_score
from mixstage.models.lexical import Lexical, Statistics
from mixstage.models.words import words
from mixstage.plan.schema import IndexPlan
from tests.index.coordinates import Coordinates

DIM, SIZE, CUT = 8, 6000, 2500  # rows of two files: one above _FEW, one well above
VECTORS = np.random.default_rng(1).integers(0, 3, size=(SIZE, DIM)).astype(np.float32)
ASKED = [" ".join(map(str, row)) for row in np.random.default_rng(2).integers(-1, 3, size=(3, DIM))]
NAMES = [f"q{number}" for number in range(len(ASKED))]
SHARES = st.sampled_from([0.0, 0.001, 0.1, 0.6, 0.95, 1.0])


class Numbered:
    """Ids that are the rows' numbers, so that byte order is another order."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def take(self, rows: np.ndarray) -> pl.Series:
        return pl.Series("doc_id", [f"d{row}" for row in rows], dtype=pl.String)

    def find(self, doc_ids: pl.Series) -> np.ndarray:
        return np.array([int(doc_id[1:]) for doc_id in doc_ids])


def shard_of(vectors: np.ndarray, start: int, settings: IndexPlan) -> FaissShard:
    index = train_index(vectors, settings)
    fill(index, [vectors], settings)
    return FaissShard(index, start, settings, vectors if settings.rescore else None)


def files_of(factory: str, search: str = "", rescore: int | None = None) -> DenseIndex:
    plan = IndexPlan(factory=factory, search=search, rescore=rescore)
    shards = [shard_of(VECTORS[:CUT], 0, plan), shard_of(VECTORS[CUT:], CUT, plan)]
    return DenseIndex(FaissFiles(shards), Coordinates(DIM))


def allowed_rows(share: float, seed: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).random(size) < share


def filtered(index: Files | DenseIndex, allowed: np.ndarray, queries: list[str], k: int) -> pl.DataFrame:
    """Everything is searched, then filtered, then cut."""
    everything = Retriever(Numbered(len(allowed)), index).rank(NAMES, queries, len(allowed))
    good = [f"d{row}" for row in np.flatnonzero(allowed)]
    return rank_by_score(everything.filter(pl.col("doc_id").is_in(good))).filter(pl.col("rank") <= k)


def within(index: Files | DenseIndex, allowed: np.ndarray, queries: list[str], k: int) -> pl.DataFrame:
    return Retriever(Numbered(len(allowed)), Within(index, allowed)).rank(NAMES, queries, k)


@cache
def opened(factory: str, search: str = "", rescore: int | None = None) -> DenseIndex:
    return files_of(factory, search, rescore)


EXACT = {
    "flat": ("Flat",),
    "all clusters": ("IVF8,Flat", "nprobe=8"),
    "half floats": ("SQfp16",),
    "a rotation, which takes no selector": ("RR8,Flat", "", 1),
    "bits": ("BFlat", "", SIZE),
    "all clusters of bits, which take no selector": ("BIVF8", "nprobe=8", SIZE),
}


@pytest.mark.parametrize("files", EXACT.values(), ids=EXACT.keys())
@settings(max_examples=8)
@given(share=SHARES, seed=st.integers(0, 99), k=st.sampled_from([1, 10, 100]))
def test_within_rows_is_a_search_of_everything_filtered_and_cut(
    files: tuple[str, str, int | None], share: float, seed: int, k: int
) -> None:
    index, allowed = opened(*files), allowed_rows(share, seed)
    hits = within(index, allowed, ASKED, k)
    assert len(hits) == len(ASKED) * min(k, int(allowed.sum()))
    assert hits.equals(filtered(index, allowed, ASKED, k))


APPROXIMATE = {
    "a graph": ("HNSW8", "efSearch=16"),
    "one cluster": ("IVF64,Flat", "nprobe=1"),
    "codes": ("PQ4x4", "", 4),
    "bits": ("BFlat", "", 2),
    "a graph of bits": ("BHNSW8", "efSearch=16", 2),
}


@pytest.mark.parametrize("files", APPROXIMATE.values(), ids=APPROXIMATE.keys())
@settings(max_examples=8)
@given(share=SHARES, seed=st.integers(0, 99), k=st.sampled_from([1, 10, 100]))
def test_an_approximate_index_finds_allowed_rows_only_and_as_many_as_there_are(
    files: tuple[str, str, int | None], share: float, seed: int, k: int
) -> None:
    allowed = allowed_rows(share, seed)
    hits = within(opened(*files), allowed, ASKED, k)
    assert len(hits) == len(ASKED) * min(k, int(allowed.sum()))
    rows = [int(doc_id[1:]) for doc_id in hits["doc_id"]]
    assert allowed[rows].all()
    vectors = dict(zip(NAMES, Coordinates(DIM).encode(ASKED, "query"), strict=True))
    assert hits["score"].to_list() == [
        vectors[query] @ VECTORS[row] for query, row in zip(hits["query_id"], rows, strict=True)
    ]


def test_a_search_that_meets_no_allowed_row_scores_all_of_them() -> None:
    """One cluster of 64 is looked at, and what is allowed lies in the others."""
    index, query = opened("IVF64,Flat", "nprobe=1"), ASKED[:1]
    near = {row for row in index.search(query, SIZE)[1][0].tolist() if row >= 0}
    allowed = np.array([row not in near for row in range(SIZE)])
    assert min(allowed[:CUT].sum(), allowed[CUT:].sum()) > _FEW
    scores = VECTORS @ Coordinates(DIM).encode(query, "query")[0]
    best = np.sort(scores[allowed])[::-1][:10]
    assert Within(index, allowed).search(query, 10)[0][0].tolist() == best.tolist()


WORDS = ["deposit", "rent", "roof", "tenant", "landlord", "heating"]


def lexical(seed: int) -> LexicalIndex:
    """240 short documents in shards of 100, 40 and 100."""
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, size=random.integers(1, 5))) for _ in range(240)]
    whole = Statistics.of(words(texts, "english"))
    cuts = [(0, 100), (100, 140), (140, 240)]
    return LexicalIndex([(a, Lexical.build(texts[a:b], "english", whole)) for a, b in cuts], "english")


@settings(max_examples=20)
@given(share=SHARES, seed=st.integers(0, 99), k=st.sampled_from([1, 10, 100]))
def test_bm25_within_rows_is_a_search_of_everything_filtered_and_cut(share: float, seed: int, k: int) -> None:
    index, allowed = lexical(seed), allowed_rows(share, seed, 240)
    queries = ["roof tenant", "heating", "submarine"]
    assert within(index, allowed, queries, k).equals(filtered(index, allowed, queries, k))
