"""Search: queries in, ranked documents out, whatever the generation is made of."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from mixstage.corpus.documents import iterate_documents
from mixstage.errors import ModelError
from mixstage.models.checkpoint import open_encoder
from mixstage.models.encoder import Encoder
from mixstage.models.lexical import Lexical
from mixstage.store import Artifact

_TIES = 8  # results fetched beyond the depth, to see whether a tie crosses it


class Index(Protocol):
    """Anything that finds rows for queries."""

    def search(self, queries: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
        """(Q,) queries -> scores (Q, k) float32 descending, rows (Q, k) int64, -1 where nothing was found."""
        ...

    def score(self, queries: Sequence[str], rows: np.ndarray) -> np.ndarray:
        """(Q,) queries, (Q, P) rows -> (Q, P) float32 on the scale of `search`; NaN for row -1, or without a scale."""
        ...


class DenseIndex:
    """The FAISS files of a generation behind the encoder that made their vectors."""

    def __init__(self, generation: Artifact, encoder: Encoder) -> None:
        import faiss

        folder = generation.local()
        self.encoder = encoder
        self.shards = [(s["start"], faiss.read_index(str(folder / s["name"]))) for s in generation.meta["shards"]]
        self.asked: tuple[tuple[str, ...], np.ndarray] = ((), np.empty((0, encoder.dim), dtype=np.float32))

    def search(self, queries: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
        """Searches every shard and keeps the best k of all."""
        vectors = self._encode(queries)
        found = [(start, *index.search(vectors, min(k, index.ntotal))) for start, index in self.shards]
        scores = np.hstack([scores for _, scores, _ in found])
        rows = np.hstack([np.where(rows < 0, -1, rows + start) for start, _, rows in found])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)

    def score(self, queries: Sequence[str], rows: np.ndarray) -> np.ndarray:
        """Inner products with the stored vectors."""
        vectors = self._encode(queries)
        scores = np.full(rows.shape, np.nan, dtype=np.float32)
        for start, index in self.shards:
            inside = (rows >= start) & (rows < start + index.ntotal)
            for q, p in np.argwhere(inside):
                scores[q, p] = vectors[q] @ index.reconstruct(int(rows[q, p] - start))
        return scores

    def _encode(self, queries: Sequence[str]) -> np.ndarray:
        """(Q, dim) float32; the last queries' vectors are kept, since the same ones are searched and scored."""
        if self.asked[0] != tuple(queries):
            self.asked = (tuple(queries), self.encoder.encode(list(queries), "query"))
        return self.asked[1]


class Retriever:
    """A generation ready to answer: rows become document ids, ties are broken by them."""

    def __init__(self, corpus: Artifact, index: Index) -> None:
        self.index = index
        self.doc_ids = pa.concat_tables(list(iterate_documents(corpus, ["doc_id"])))["doc_id"].combine_chunks()

    def rank(self, query_ids: Sequence[str], queries: Sequence[str], k: int) -> pl.DataFrame:
        """query_id, doc_id, score float32, rank uint32 (1-based); by (score desc, doc_id bytes desc)."""
        scores, rows = self._search(queries, k)
        frame = pl.DataFrame(
            {
                "query_id": np.repeat(np.asarray(query_ids, dtype=object), scores.shape[1]).tolist(),
                "row": rows.reshape(-1),
                "score": scores.reshape(-1).astype(np.float32),
            },
            schema={"query_id": pl.String, "row": pl.Int64, "score": pl.Float32},
        ).filter(pl.col("row") >= 0)
        ids = pl.Series("doc_id", self.doc_ids.take(pa.array(frame["row"].to_numpy())), dtype=pl.String)
        return rank_by_score(frame.drop("row").with_columns(ids)).filter(pl.col("rank") <= k)

    def _search(self, queries: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
        """At least k results, and as many more as tie with the k-th: which of them stay is the ids' to decide."""
        size = len(self.doc_ids)
        fetched = min(k + _TIES, size)
        scores, rows = self.index.search(queries, fetched)
        while fetched < size and ((scores[:, k - 1] == scores[:, -1]) & (rows[:, -1] >= 0)).any():
            fetched = min(2 * fetched, size)
            scores, rows = self.index.search(queries, fetched)
        return scores, rows

    def score(self, query_ids: Sequence[str], queries: Sequence[str], pairs: pl.DataFrame) -> pl.DataFrame:
        """query_id, doc_id, score float32 (see `Index.score`) of the given pairs (query_id, doc_id)."""
        row = pc.index_in(pairs["doc_id"].to_arrow().cast(pa.string()), value_set=self.doc_ids.cast(pa.string()))
        slot = pl.int_range(pl.len()).over("query_id")
        placed = pairs.select("query_id", "doc_id").with_columns(pl.Series("row", row, dtype=pl.Int64), slot=slot)
        numbers = {query_id: number for number, query_id in enumerate(query_ids)}
        at = np.array([numbers[query_id] for query_id in placed["query_id"]], dtype=np.int64), placed["slot"].to_numpy()
        rows = np.full((len(query_ids), int(at[1].max(initial=-1)) + 1), -1, dtype=np.int64)
        rows[at] = placed["row"].fill_null(-1).to_numpy()
        scores = self.index.score(queries, rows)[at]
        return placed.select("query_id", "doc_id").with_columns(pl.Series("score", scores, dtype=pl.Float32))


def rank_by_score(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds the rank inside each query: the one ordering rule, (float32 score desc, doc_id bytes desc)."""
    ordered = frame.sort(["query_id", "score", "doc_id"], descending=[False, True, True])
    rank = pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).over("query_id").alias("rank")
    return ordered.with_columns(rank).select("query_id", "doc_id", "score", "rank")


def open_index(generation: Artifact, checkpoint: Artifact | None) -> Index:
    """The index of a generation; `checkpoint` is its retriever, None for BM25.

    Raises ModelError if the checkpoint is not the one that made the generation.
    """
    made_by = generation.meta["retriever"]
    given = "bm25" if checkpoint is None else checkpoint.meta["fingerprint"]
    if made_by != given:
        raise ModelError(f"generation {generation.digest} was made by {made_by}, not by {given}: build it again")
    if checkpoint is None:
        return Lexical.load(generation.local())
    return DenseIndex(generation, open_encoder(checkpoint))


def open_retriever(corpus: Artifact, generation: Artifact, checkpoint: Artifact | None) -> Retriever:
    """A retriever over a corpus; see `open_index`."""
    return Retriever(corpus, open_index(generation, checkpoint))
