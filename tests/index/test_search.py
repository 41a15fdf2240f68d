"""Search: FAISS and BM25 generations against numpy and plain Python, with one rule for ties."""

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from mixstage.corpus.tables import Application
from mixstage.embedding.vectors import QueryVectors
from mixstage.errors import ModelError
from mixstage.index.bm25 import LexicalIndex, build_lexical
from mixstage.index.build import build_generation
from mixstage.index.document_ids import LoadedIds, StoredIds
from mixstage.index.faiss_files import FaissFiles
from mixstage.index.generation import Generation
from mixstage.index.search import DenseIndex, ExactIndex, LexicalTasks, Retriever, open_index, rank_by_score
from mixstage.models.hashing import HashingEncoder
from mixstage.models.lexical import BM25, Lexical
from mixstage.plan.schema import IndexPlan
from mixstage.plan.stages import Workers
from mixstage.progress import Progress
from mixstage.store.store import Store
from tests.index.coordinates import Coordinates

DIM = 4


def random_texts(count: int, seed: int) -> list[str]:
    return [" ".join(map(str, row)) for row in np.random.default_rng(seed).integers(0, 3, size=(count, DIM))]


def generation_of(store: Store, texts: list[str], cuts: list[int]) -> Generation:
    """A generation of several FAISS files, cut at the given rows."""
    import faiss

    draft = store.draft(Generation, {"texts": texts, "cuts": cuts})
    shards = []
    for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, len(texts)], strict=True)):
        index = faiss.IndexFlatIP(DIM)
        index.add(Coordinates(DIM).encode(texts[start:stop], "document"))
        name = f"index-{number:05d}.faiss"
        faiss.write_index(index, f"{draft.path}/{name}")
        shards.append({"name": name, "start": start, "stop": stop, "vectors": ""})
    return draft.publish({"retriever": "coordinates", "shards": shards, "index": IndexPlan().model_dump()})


def expected_ranking(ids: list[str], texts: list[str], queries: list[str]) -> list[tuple[str, str, float, int]]:
    """(query, document, score, rank) of all documents, by (score, id bytes), both descending."""
    scores = Coordinates(DIM).encode(queries, "query") @ Coordinates(DIM).encode(texts, "document").T
    rows = []
    for number, line in enumerate(scores):
        order = sorted(range(len(ids)), key=lambda i: (line[i], ids[i].encode()), reverse=True)
        rows += [(f"q{number}", ids[i], float(line[i]), rank) for rank, i in enumerate(order, 1)]
    return rows


@pytest.fixture
def texts() -> list[str]:
    return random_texts(60, seed=1)


@pytest.fixture
def ids() -> list[str]:
    """Ids whose order by bytes is neither that of the rows nor that of numbers."""
    return [f"d{n * 37 % 60}" if n % 5 else f"é{n}" for n in range(60)]


@pytest.fixture
def retriever(store: Store, make_corpus: Any, texts: list[str], ids: list[str]) -> Retriever:
    corpus = make_corpus([{"_id": i, "text": t} for i, t in zip(ids, texts, strict=True)], shards=3)
    return Retriever(
        LoadedIds(corpus), DenseIndex(FaissFiles.open(generation_of(store, texts, [7, 40])), Coordinates(DIM))
    )


@pytest.mark.parametrize("count", [1, 3, 25])  # FAISS takes another path from 20 queries on
def test_a_ranking_over_several_shards_is_numpys_order_with_ties_by_id(
    retriever: Retriever, texts: list[str], ids: list[str], count: int
) -> None:
    queries = random_texts(count, seed=2)
    expected = expected_ranking(ids, texts, queries)
    assert len({row[2] for row in expected}) < len(expected) / 2  # ties are what this is about
    frame = retriever.rank([f"q{n}" for n in range(count)], queries, k=60)
    order = pl.DataFrame({"query_id": [f"q{n}" for n in range(count)], "number": range(count)})
    rows = frame.join(order, on="query_id").sort("number", "rank").drop("number").rows()
    assert rows == expected
    assert dict(frame.schema) == {"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32, "rank": pl.UInt32}


@pytest.mark.parametrize("k", [1, 5, 10, 59])
def test_a_shorter_ranking_has_the_scores_of_the_longer_ones_head(
    retriever: Retriever, texts: list[str], ids: list[str], k: int
) -> None:
    queries = random_texts(5, seed=3)
    expected = [row for row in expected_ranking(ids, texts, queries) if row[3] <= k]
    frame = retriever.rank([f"q{n}" for n in range(5)], queries, k)
    assert frame.select("query_id", "score", "rank").rows() == [(q, score, rank) for q, _, score, rank in expected]


@pytest.mark.parametrize("k", [1, 5, 10, 59])
def test_dense_ties_at_the_cut_go_to_the_greater_id(
    retriever: Retriever, texts: list[str], ids: list[str], k: int
) -> None:
    queries = random_texts(5, seed=3)
    expected = [row for row in expected_ranking(ids, texts, queries) if row[3] <= k]
    assert retriever.rank([f"q{n}" for n in range(5)], queries, k).rows() == expected


def test_a_depth_beyond_the_corpus_gives_every_document_once(retriever: Retriever, ids: list[str]) -> None:
    frame = retriever.rank(["q"], ["1 0 2 0"], k=500)
    assert sorted(frame["doc_id"]) == sorted(ids)
    assert frame["rank"].to_list() == list(range(1, 61))


def test_no_queries_give_an_empty_ranking(retriever: Retriever) -> None:
    assert retriever.rank([], [], k=10).rows() == []


def test_ties_go_to_the_greater_id_by_bytes() -> None:
    rows = [("q", "d9", 1.0), ("q", "d10", 1.0), ("q", "é", 1.0), ("q", "z", 1.0), ("q", "Z", 2.0), ("p", "a", -1.0)]
    frame = pl.DataFrame(rows, schema=["query_id", "doc_id", "score"], orient="row")
    assert rank_by_score(frame).rows() == [
        ("p", "a", -1.0, 1),
        ("q", "Z", 2.0, 1),
        ("q", "é", 1.0, 2),  # bytes C3 A9 above 7A
        ("q", "z", 1.0, 3),
        ("q", "d9", 1.0, 4),
        ("q", "d10", 1.0, 5),
    ]


DOCUMENTS = [
    {"_id": "a", "title": "Deposit", "text": "deposit returned to the tenant within thirty days"},
    {"_id": "b", "text": "rent is due on the first day"},
    {"_id": "c", "text": "deposit deposit deposit"},
    {"_id": "d", "text": "the roof is repaired by the landlord"},
]


def test_a_served_flat_generation_answers_what_exact_search_ranks_to_the_bit(
    ray_cluster: None, store: Store, make_corpus: Any, make_checkpoint: Any, embed_plainly: Any
) -> None:
    """Equal texts under many ids, in files and shards of other sizes."""
    bodies = [f"deposit {'tenant ' * (n % 3)}{'roof ' * (n % 7 == 0)}" for n in range(60)]
    corpus = make_corpus([{"_id": f"d{n * 37 % 60}", "text": body} for n, body in enumerate(bodies)], shards=5)
    checkpoint = make_checkpoint("retriever")
    embedding = embed_plainly(corpus, checkpoint)
    ready = Workers(workers=2)
    generation = build_generation(
        store,
        embedding,
        IndexPlan(shard_rows=25),
        np.empty((0, 64), dtype=np.float32),
        label="c",
        workers=ready,
        progress=Progress(),
    )
    assert len(generation.meta["shards"]) > 1
    served = Retriever(LoadedIds(corpus), open_index(generation, checkpoint))
    offline = Retriever(StoredIds(corpus), ExactIndex(embedding, QueryVectors(checkpoint, [], ready), ready))
    asked = ["a", "b", "c"], ["deposit tenant", "roof", "the deposit of a roof"]
    for k in (1, 7, 20, 60, 99):
        frame = served.rank(*asked, k)
        assert frame.equals(offline.rank(*asked, k))
        assert len(frame) == 3 * min(k, 60)
    shuffled = frame.sample(fraction=0.8, shuffle=True, seed=1)
    assert offline.score(*asked, shuffled).equals(shuffled.select("query_id", "doc_id", "score"))


def test_vectors_of_queries_are_read_where_an_application_has_them_and_made_elsewhere(
    ray_cluster: None, store: Store, make_checkpoint: Any, embed_plainly: Any
) -> None:
    draft = store.draft(Application, {"n": 1})
    draft.table("queries.parquet", pa.table({"query_id": ["q1", "q2"], "text": ["deposit", "rent"]}))
    checkpoint = make_checkpoint("retriever")
    stored = embed_plainly(draft.publish({}), checkpoint, role="query")
    queries = QueryVectors(checkpoint, [stored], Workers(workers=2))
    asked = ["roof", "rent", "deposit", "roof"]
    vectors = queries.of(asked)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, HashingEncoder(64).encode(asked, "query"))
    assert queries.of([]).shape == (0, 64)


def test_a_bm25_generation_ranks_alike_served_and_as_tasks_and_leaves_out_what_shares_no_term(
    ray_cluster: None, store: Store, make_corpus: Any
) -> None:
    corpus = make_corpus(DOCUMENTS, shards=2)
    generation = build_lexical(store, corpus, "english", workers=Workers(), progress=Progress(), label="c")
    assert generation.meta["retriever"] == "bm25"
    asked = ["q1", "q2"], ["deposit", "submarine"]
    frame = Retriever(LoadedIds(corpus), open_index(generation, BM25)).rank(*asked, k=4)
    tasks = Retriever(StoredIds(corpus), LexicalTasks(generation, Workers()))
    assert frame.equals(tasks.rank(*asked, k=4))
    assert tasks.score(*asked, frame)["score"].is_nan().all()
    plain = LexicalIndex(
        [(0, Lexical.build(["Deposit. " + DOCUMENTS[0]["text"], *(d["text"] for d in DOCUMENTS[1:])], "english"))],
        "english",
    )
    scores, rows = plain.search(["deposit"], 2)
    expected = [("q1", "abcd"[row], score, n) for n, (row, score) in enumerate(zip(rows[0], scores[0], strict=True), 1)]
    assert frame.rows() == expected
    assert [row[1] for row in expected] == ["c", "a"]


def test_a_generation_is_not_searched_with_a_retriever_that_did_not_make_it(store: Store, make_checkpoint: Any) -> None:
    made_by, other = (
        make_checkpoint("retriever", base="hashing://64"),
        make_checkpoint("retriever", base="hashing://32"),
    )
    dense = store.draft(Generation, {"n": 1}).publish({"retriever": made_by.meta["fingerprint"], "shards": []})
    lexical = store.draft(Generation, {"n": 2}).publish({"retriever": "bm25", "shards": []})
    for generation, retriever in ((dense, other), (dense, BM25), (lexical, made_by)):
        with pytest.raises(ModelError, match=f"generation {generation.digest} was made by .*: build it again"):
            open_index(generation, retriever)
