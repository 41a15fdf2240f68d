"""Search: queries in, ranked documents out, whatever finds them.

Offline, exact search and BM25 run as tasks over shards; served, a generation answers inside one process. All of them
find rows, and one rule orders them. Where a generation is larger than one process' share, its files are cut
into groups, each opened and searched by a process of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl

from mixstage.cluster import run_tasks
from mixstage.embedding.vectors import Embedding, QueryVectors
from mixstage.errors import ModelError
from mixstage.index.arithmetic import merge_found
from mixstage.index.bm25 import LexicalIndex, open_lexical
from mixstage.index.document_ids import DocumentIds
from mixstage.index.exact import score_rows, search_exact
from mixstage.index.faiss_files import FaissFiles
from mixstage.index.generation import Generation, Shard
from mixstage.models.checkpoint import RetrieverModel, open_encoder
from mixstage.models.encoder import Encoder
from mixstage.models.lexical import Bm25, Lexical
from mixstage.models.words import words
from mixstage.plan.stages import Workers

_TIES = 8  # results fetched beyond the depth, to see whether a tie crosses it


class Index(Protocol):
    """Anything that finds rows for queries."""

    def search(self, queries: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
        """(Q,) queries -> scores (Q, k) float32 descending, rows (Q, k) int64, -1 where a list is shorter."""
        ...


@runtime_checkable
class Scores(Protocol):
    """An index that also scores given pairs: exact search."""

    def score(self, queries: Sequence[str], rows: np.ndarray) -> np.ndarray:
        """(Q,) queries, (Q, P) rows -> (Q, P) float32 on the scale of its `search`; NaN for row -1."""
        ...


class ExactIndex:
    """Every stored vector of an embedding, searched as tasks."""

    def __init__(self, embedding: Embedding, queries: QueryVectors, workers: Workers) -> None:
        self.embedding, self.queries, self.workers = embedding, queries, workers

    def search(self, queries: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
        return search_exact(self.embedding, self.queries.of(queries), k, self.workers)

    def score(self, queries: Sequence[str], rows: np.ndarray) -> np.ndarray:
        return score_rows(self.embedding, self.queries.of(queries), rows)


class LexicalTasks:
    """A BM25 generation, searched as tasks, one a shard."""

    def __init__(self, generation: Generation, workers: Workers) -> None:
        self.generation, self.workers = generation, workers

    def search(self, queries: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
        calls = [(self.generation, shard, list(queries), k) for shard in self.generation.shards]
        return merge_found(list(run_tasks(search_lexical_shard, calls, workers=self.workers)), k)


def search_lexical_shard(
    generation: Generation, shard: Shard, queries: list[str], k: int
) -> tuple[np.ndarray, np.ndarray]:
    """What a task does: the best k of one shard."""
    index = Lexical.load(generation.local() / shard["name"])
    scores, rows = index.find(words(queries, generation.language), k)
    return scores, np.where(rows < 0, -1, rows + shard["start"])


class ServedIndex:
    """A generation with vectors of queries that are known, searched in a task."""

    def __init__(self, generation: Generation, queries: QueryVectors, workers: Workers) -> None:
        self.generation, self.queries = generation, queries
        self.workers = workers.model_copy(update={"workers": 1})

    def search(self, queries: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
        call = (self.generation, self.queries.of(queries), k)
        return next(iter(run_tasks(search_generation, [call], workers=self.workers)))


def search_generation(generation: Generation, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """What a task does: (Q, dim) float32 -> scores (Q, k) float32, rows (Q, k) int64."""
    return FaissFiles.open(generation).search(vectors, k)


class Files(Protocol):
    """Files of a generation: in this process, or behind others that hold them."""

    def search(self, queries: Any, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k best rows of each query; queries: vectors (Q, dim) float32, texts for BM25. allowed: (rows,) bool."""
        ...


class DenseIndex:
    """A generation's files behind the encoder of their vectors."""

    def __init__(self, files: Files, encoder: Encoder) -> None:
        self.files, self.encoder = files, encoder

    def search(
        self, queries: Sequence[str], k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.files.search(self.encoder.encode(queries, "query"), k, allowed)

    def encoded(self, queries: Sequence[str]) -> "Encoded":
        """The index for these queries, encoded together and once, however often they are searched for."""
        distinct = list(dict.fromkeys(queries))
        return Encoded(self.files, dict(zip(distinct, self.encoder.encode(distinct, "query"), strict=True)))


class Encoded:
    """A generation's files and the vectors of all queries to come."""

    def __init__(self, files: Files, vectors: Mapping[str, np.ndarray]) -> None:
        self.files, self.vectors = files, vectors

    def search(
        self, queries: Sequence[str], k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.files.search(self._of(queries), k, allowed)

    def _of(self, queries: Sequence[str]) -> np.ndarray:
        return np.stack([self.vectors[query] for query in queries])


class Within:
    """An index of which only some rows exist. allowed: (rows,) bool."""

    def __init__(self, index: Files, allowed: np.ndarray) -> None:
        self.index, self.allowed = index, allowed

    def search(self, queries: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
        return self.index.search(queries, k, self.allowed)


class Retriever:
    """An index ready to answer: rows become document ids, ties are broken by them."""

    def __init__(self, ids: DocumentIds, index: Index) -> None:
        self.ids, self.index = ids, index

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
        named = frame.drop("row").with_columns(self.ids.take(frame["row"].to_numpy()))
        return rank_by_score(named).filter(pl.col("rank") <= k)

    def _search(self, queries: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
        """At least k results, and as many more as tie with the k-th: which of them stay is the ids' to decide."""
        size = len(self.ids)
        fetched = min(k + _TIES, size)
        scores, rows = self.index.search(queries, fetched)
        while fetched < size and ((scores[:, k - 1] == scores[:, -1]) & (rows[:, -1] >= 0)).any():
            fetched = min(2 * fetched, size)
            scores, rows = self.index.search(queries, fetched)
        return scores, rows

    def score(self, query_ids: Sequence[str], queries: Sequence[str], pairs: pl.DataFrame) -> pl.DataFrame:
        """query_id, doc_id, score float32 of the given pairs (query_id, doc_id), on the scale of `rank`.

        NaN for a document that the corpus lacks, and of an index that scores only what it finds: BM25's scores say
        nothing of one query's documents against another's margin.
        """
        if not isinstance(self.index, Scores):
            return pairs.select("query_id", "doc_id", pl.lit(float("nan"), pl.Float32).alias("score"))
        row = pl.Series("row", self.ids.find(pairs["doc_id"]), dtype=pl.Int64)
        placed = pairs.select("query_id", "doc_id").with_columns(row, slot=pl.int_range(pl.len()).over("query_id"))
        numbers = {query_id: number for number, query_id in enumerate(query_ids)}
        at = np.array([numbers[query_id] for query_id in placed["query_id"]], dtype=np.int64), placed["slot"].to_numpy()
        rows = np.full((len(query_ids), int(at[1].max(initial=-1)) + 1), -1, dtype=np.int64)
        rows[at] = placed["row"].to_numpy()
        scores = self.index.score(queries, rows)[at]
        return placed.select("query_id", "doc_id").with_columns(pl.Series("score", scores, dtype=pl.Float32))


def rank_by_score(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds the rank inside each query: the one ordering rule, (float32 score desc, doc_id bytes desc)."""
    ordered = frame.sort(["query_id", "score", "doc_id"], descending=[False, True, True])
    rank = pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).over("query_id").alias("rank")
    return ordered.with_columns(rank).select("query_id", "doc_id", "score", "rank")


def open_index(generation: Generation, retriever: RetrieverModel, files: Files | None = None) -> DenseIndex | Files:
    """The index of a generation and its retriever. It can be searched `Within` some rows.

    files: who searches the files; unset: this process, which opens them. Raises ModelError if the retriever is not the
    one that made the generation.
    """
    if generation.retriever != retriever.fingerprint:
        raise ModelError(
            f"generation {generation.digest} was made by {generation.retriever}, not by {retriever.fingerprint}: build "
            "it again"
        )
    if isinstance(retriever, Bm25):
        return files or open_lexical(generation)
    return DenseIndex(files or FaissFiles.open(generation), open_encoder(retriever))


Part = list[Shard]  # neighbouring files, as the generation's meta lists them


def divide(generation: Generation, count: int) -> list[Part]:
    """The generation's files in `count` groups in row order; in as many as there are files if those are fewer."""
    files = generation.shards
    cuts = np.array_split(np.arange(len(files)), min(count, len(files)))
    return [[files[number] for number in cut] for cut in cuts]


def open_part(generation: Generation, part: Part) -> FaissFiles | LexicalIndex:
    """Fetches and opens these files and no others."""
    return (open_lexical if generation.is_lexical else FaissFiles.open)(generation, part)


def edges_of(parts: Sequence[Part]) -> list[tuple[int, int]]:
    """(first row, the row after the last) of each part."""
    return [(part[0]["start"], part[-1]["stop"]) for part in parts]
