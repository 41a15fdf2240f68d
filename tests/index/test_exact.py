"""Exact search: one flat matrix in float64 is the truth, whatever the shards, the blocks and the arithmetic."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from mixstage.corpus.documents import document_text
from mixstage.embedding.vectors import Embedding, QueryVectors
from mixstage.errors import DamagedError
from mixstage.index import exact
from mixstage.index.arithmetic import Found, exact_scores, find_exact, merge_found, sort_found
from mixstage.index.document_ids import StoredIds
from mixstage.index.exact import nearest_by_torch, score_rows, search_exact, search_shards
from mixstage.index.search import ExactIndex, Retriever
from mixstage.models.hashing import HashingEncoder
from mixstage.plan.stages import Workers

LAYOUTS = [(), (1,), (50, 51, 130), tuple(range(20, 200, 20))]


def unit(rows: int, dim: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dim))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def crowded(rows: int, dim: int, seed: int) -> np.ndarray:
    """Unit vectors of which many are equal: every fifth is a copy of one of four, and row 7 stands 40 times."""
    vectors = unit(rows, dim, seed)
    vectors[::5] = vectors[np.arange(len(vectors[::5])) % 4 + 1]
    vectors[np.random.default_rng(seed).permutation(rows)[:40]] = vectors[7]
    return vectors


def flat_search(vectors: np.ndarray, queries: np.ndarray, k: int) -> Found:
    """By (score descending, row ascending), with scores in float64 rounded once."""
    scores = (queries.astype(np.float64)[:, None, :] * vectors.astype(np.float64)[None]).sum(axis=2).astype(np.float32)
    order = np.lexsort((np.broadcast_to(np.arange(len(vectors)), scores.shape), -scores))[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


def in_one_process(embedding: Embedding, queries: np.ndarray, k: int) -> Found:
    return search_shards(embedding, embedding.shards, 0, queries, k, on_gpu=False)


@pytest.mark.parametrize("cuts", LAYOUTS)
@pytest.mark.parametrize("block", [1, 33, 10_000])
@pytest.mark.parametrize("k", [1, 10, 150])
def test_rows_and_scores_are_those_of_one_flat_matrix(
    make_embedding: Any, monkeypatch: pytest.MonkeyPatch, cuts: tuple[int, ...], block: int, k: int
) -> None:
    monkeypatch.setattr(exact, "_BLOCK_ROWS", block)
    vectors, queries = crowded(200, 24, seed=1), np.vstack([unit(9, 24, seed=2), crowded(200, 24, seed=1)[:9]])
    scores, rows = in_one_process(make_embedding(vectors, cuts), queries, k)
    expected_scores, expected_rows = flat_search(vectors, queries, k)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(scores, expected_scores)  # bit for bit
    assert (scores.dtype, rows.dtype) == (np.float32, np.int64)


def test_rows_are_those_of_a_faiss_index_where_nothing_ties(make_embedding: Any) -> None:
    import faiss

    vectors, queries = unit(300, 32, seed=3), unit(20, 32, seed=4)
    index = faiss.IndexFlatIP(32)
    index.add(vectors)
    scores, rows = in_one_process(make_embedding(vectors, (100, 150)), queries, 12)
    theirs, their_rows = index.search(queries, 12)
    np.testing.assert_array_equal(rows, their_rows)
    np.testing.assert_allclose(scores, theirs, atol=1e-6)


@pytest.mark.parametrize("k", [1, 10, 190])
def test_torch_and_faiss_find_the_same_to_the_bit(make_embedding: Any, k: int) -> None:
    vectors, queries = crowded(200, 24, seed=5), crowded(200, 24, seed=5)[:30]

    def nearest(queries: np.ndarray, k: int) -> Found:
        return nearest_by_torch(queries, vectors, min(k, 200), "cpu")

    def score(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return exact_scores(queries, vectors.__getitem__, rows)

    best = find_exact(nearest, score, queries, k)
    for ours, theirs in zip(best, in_one_process(make_embedding(vectors), queries, k), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    scores, rows = nearest_by_torch(queries[:0], vectors, 3, "cpu")
    assert scores.shape == rows.shape == (0, 3)


def test_a_search_whose_scores_are_noisy_still_finds_the_best() -> None:
    """float32 in its worst hour: scores that are off by a millionth, so that equal texts come in any order."""
    vectors, queries = crowded(200, 24, seed=6), crowded(200, 24, seed=6)[:40]
    noise = np.random.default_rng(0).uniform(-1e-6, 1e-6, size=(40, 200)).astype(np.float32)
    calls: list[tuple[int, int]] = []

    def search(part: np.ndarray, k: int) -> Found:
        calls.append((len(part), k))
        lines = [int(np.flatnonzero((queries == query).all(axis=1))[0]) for query in part]
        scores = part @ vectors.T + noise[lines]
        return sort_found(scores, np.broadcast_to(np.arange(200), scores.shape), min(k, 200))

    best = find_exact(search, lambda part, rows: exact_scores(part, vectors.__getitem__, rows), queries, 10)
    for ours, expected in zip(best, flat_search(vectors, queries, 10), strict=True):
        np.testing.assert_array_equal(ours, expected)
    assert calls[0] == (40, 18)
    assert all(lines < 40 for lines, _ in calls[1:]), "only lists that end in a tie are made longer"
    assert [k for _, k in calls] == [18, 36, 72, 144][: len(calls)]


def test_a_depth_beyond_the_corpus_gives_all_of_it_and_no_queries_give_nothing(make_embedding: Any) -> None:
    embedding = make_embedding(unit(7, 4, seed=1), (3,))
    _, rows = in_one_process(embedding, unit(2, 4, seed=2), 50)
    assert np.sort(rows, axis=1).tolist() == [list(range(7))] * 2
    scores, rows = in_one_process(embedding, np.empty((0, 4), dtype=np.float32), 3)
    assert scores.shape == rows.shape == (0, 3)


def test_as_tasks_it_is_the_same(ray_cluster: None, make_embedding: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = crowded(200, 24, seed=1), unit(9, 24, seed=2)
    embedding = make_embedding(vectors, (50, 51, 130), dtype="float16")
    monkeypatch.setattr(exact, "_TASK_ROWS", 60)
    assert [(start, len(names)) for start, names in exact._cut(embedding)] == [(0, 3), (130, 1)]
    best = search_exact(embedding, queries, 10, Workers(workers=2))
    for ours, expected in zip(best, flat_search(vectors.astype(np.float16), queries, 10), strict=True):
        np.testing.assert_array_equal(ours, expected)
    scores, rows = search_exact(embedding, queries[:0], 10, Workers())
    assert scores.shape == rows.shape == (0, 10)


def test_given_rows_are_scored_as_the_search_scores_them(make_embedding: Any) -> None:
    vectors, queries = crowded(200, 24, seed=1), unit(9, 24, seed=2)
    embedding = make_embedding(vectors, (50, 51, 130))
    scores, rows = in_one_process(embedding, queries, 200)
    requested = np.random.default_rng(0).permuted(np.hstack([rows, np.full((9, 3), -1)]), axis=1)
    found = score_rows(embedding, queries, requested)
    for line in range(9):
        known = dict(zip(rows[line].tolist(), scores[line].tolist(), strict=True))
        expected = np.array([known.get(row, np.nan) for row in requested[line].tolist()], dtype=np.float32)
        np.testing.assert_array_equal(found[line], expected)
    assert score_rows(embedding, queries, np.empty((9, 0), dtype=np.int64)).shape == (9, 0)


def test_a_score_does_not_depend_on_what_else_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = unit(100, 33, seed=1), unit(20, 33, seed=2)
    rows = np.random.default_rng(3).integers(-1, 100, size=(20, 30))
    together = exact_scores(queries, vectors.__getitem__, rows)
    for line in range(20):
        alone = [exact_scores(queries[[line]], vectors.__getitem__, rows[[line]][:, [n]])[0, 0] for n in range(30)]
        np.testing.assert_array_equal(together[line], np.array(alone))
    assert np.isneginf(together[rows == -1]).all() and np.isfinite(together[rows >= 0]).all()
    monkeypatch.setattr("mixstage.index.arithmetic._AT_ONCE", 1)
    np.testing.assert_array_equal(exact_scores(queries, vectors.__getitem__, rows), together)


def test_merged_lists_go_by_score_and_row_with_nothing_found_last() -> None:
    one = np.array([[3.0, 1.0, 9.0]], dtype=np.float32), np.array([[4, 2, -1]])
    other = np.array([[3.0, 1.0]], dtype=np.float32), np.array([[1, 7]])
    scores, rows = merge_found([one, other], 4)
    assert (scores.tolist(), rows.tolist()) == ([[3, 3, 1, 1]], [[1, 4, 2, 7]])
    scores, rows = merge_found([one, other], 9)
    assert rows.tolist() == [[1, 4, 2, 7, -1]] and np.isneginf(scores[0, -1])


def test_a_flipped_byte_is_found_by_who_reads_it_and_the_file_is_named(make_embedding: Any) -> None:
    embedding = make_embedding(unit(20, 4, seed=1), (10,))
    path = embedding.local() / "vectors/part-00001.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=r"vectors/part-00001\.parquet differs from its manifest"):
        in_one_process(embedding, unit(2, 4, seed=2), 3)


# --- ranked ---------------------------------------------------------------------------------------------------

TEXTS = ["deposit"] * 6 + ["deposit tenant"] * 9 + ["roof"] * 7 + ["tenant deposit"] * 5 + ["tenant"] * 3
IDS = [f"d{n * 7 % 30}" if n % 5 else f"é{n}" for n in range(30)]


@pytest.fixture
def ranked(ray_cluster: None, make_corpus: Any, make_checkpoint: Any, embed_plainly: Any) -> Callable[..., Any]:
    def make(shards: int) -> Retriever:
        rows = [{"_id": i, "text": t} for i, t in zip(IDS, TEXTS, strict=True)]
        corpus = make_corpus(rows, shards=shards, name=f"c{shards}")
        checkpoint = make_checkpoint("retriever", base="hashing://64")
        embedding = embed_plainly(corpus, checkpoint)
        queries = QueryVectors(checkpoint, [], Workers())
        return Retriever(StoredIds(corpus), ExactIndex(embedding, queries, Workers(workers=2)))

    return make


def test_equal_texts_tie_and_go_by_the_bytes_of_their_ids_in_any_layout(ranked: Any) -> None:
    encoder = HashingEncoder(64)
    bodies = [document_text("", text) for text in TEXTS]
    vectors = encoder.encode(bodies, "document").astype(np.float16).astype(np.float64)
    calls = ["deposit", "tenant deposit roof"]
    scores = (encoder.encode(calls, "query").astype(np.float64) @ vectors.T).astype(np.float32)
    one, several = ranked(1), ranked(4)
    for k in (1, 4, 8, 100):
        expected = []
        for number, line in enumerate(scores):
            order = sorted(range(30), key=lambda row: (line[row], IDS[row].encode()), reverse=True)[:k]
            expected += [(f"q{number}", IDS[row], float(line[row]), rank) for rank, row in enumerate(order, 1)]
        for retriever in (one, several):
            assert retriever.rank(["q0", "q1"], calls, k).rows() == expected
    pairs = pl.DataFrame([(q, d) for q, d, _, _ in expected[::3]], schema=["query_id", "doc_id"], orient="row")
    assert several.score(["q0", "q1"], calls, pairs).rows() == [(q, d, s) for q, d, s, _ in expected[::3]]
    assert several.rank([], [], 5).rows() == []
