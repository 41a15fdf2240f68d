"""Exact search: queries against every stored vector, as tasks over shards, each with a running best k.

Nowhere is there a matrix of queries x corpus: a task holds a block of vectors and the best of what it has seen.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from mixstage.cluster import run_tasks, share
from mixstage.embedding.vectors import Embedding, read_vectors
from mixstage.index.arithmetic import Found, exact_scores, find_exact, merge_found
from mixstage.plan.stages import Workers

_BLOCK_ROWS = 65_536  # vectors in memory at once: 100 MB at 384 dimensions
_TASK_ROWS = 262_144  # of a task: seconds of work for a thousand queries


def search_exact(embedding: Embedding, queries: np.ndarray, k: int, workers: Workers) -> Found:
    """(Q, dim) float32 -> the k rows of highest inner product, by (score descending, row ascending).

    Scores are those of `exact_scores`. Fewer than k columns if the corpus is smaller. Raises DamagedError.
    """
    best: Found = (np.empty((len(queries), 0), dtype=np.float32), np.empty((len(queries), 0), dtype=np.int64))
    shared = share(queries)
    calls = [(embedding, names, start, shared, k, workers.gpus > 0) for start, names in _cut(embedding)]
    for part in run_tasks(search_shards, calls, workers=workers):
        best = merge_found([best, part], k)
    return best


def _cut(embedding: Embedding) -> Iterator[tuple[int, list[str]]]:
    """Neighbouring shards of a task, with their first row."""
    names, starts = embedding.shards, embedding.starts()
    task = starts[:-1] // _TASK_ROWS
    for number in np.unique(task):
        places = np.flatnonzero(task == number)
        yield int(starts[places[0]]), [names[place] for place in places]


def search_shards(
    embedding: Embedding, names: Sequence[str], start: int, queries: np.ndarray, k: int, on_gpu: bool
) -> Found:
    """What a task does: the best k of some shards, whose first row is `start`."""
    best: Found = (np.empty((len(queries), 0), dtype=np.float32), np.empty((len(queries), 0), dtype=np.int64))
    for block in _blocks(embedding, names):
        scores, rows = search_block(block, queries, k, on_gpu)
        best = merge_found([best, (scores, rows + start)], k)
        start += len(block)
    return best


def _blocks(embedding: Embedding, names: Sequence[str]) -> Iterator[np.ndarray]:
    waiting: list[np.ndarray] = []
    for name in names:
        waiting.append(read_vectors(embedding, name))
        if sum(map(len, waiting)) >= _BLOCK_ROWS:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def search_block(vectors: np.ndarray, queries: np.ndarray, k: int, on_gpu: bool) -> Found:
    """(N, dim), (Q, dim) -> the best min(k, N)."""

    def nearest(queries: np.ndarray, k: int) -> Found:
        if on_gpu:
            return nearest_by_torch(queries, vectors, min(k, len(vectors)), "cuda")
        import faiss

        scores, rows = faiss.knn(queries, vectors, min(k, len(vectors)), metric=faiss.METRIC_INNER_PRODUCT)
        return scores, rows

    def score(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return exact_scores(queries, vectors.__getitem__, rows)

    return find_exact(nearest, score, queries, k)


def nearest_by_torch(queries: np.ndarray, vectors: np.ndarray, k: int, device: str) -> Found:
    """The k vectors of highest inner product by torch, on a device of its, in float32."""
    import torch

    torch.set_float32_matmul_precision("highest")
    stored = torch.from_numpy(vectors).to(device)
    step = max(1, (1 << 28) // max(1, len(vectors)))  # a gigabyte of scores at once
    tops = [torch.topk(torch.from_numpy(part).to(device) @ stored.T, k) for part in _steps(queries, step)]
    scores = [np.empty((0, k), dtype=np.float32), *(scores.cpu().numpy() for scores, _ in tops)]
    rows = [np.empty((0, k), dtype=np.int64), *(rows.cpu().numpy() for _, rows in tops)]
    return np.concatenate(scores), np.concatenate(rows)


def _steps(queries: np.ndarray, step: int) -> Iterator[np.ndarray]:
    for start in range(0, len(queries), step):
        yield queries[start : start + step]


def score_rows(embedding: Embedding, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(Q, dim) float32, (Q, P) rows -> (Q, P) float32 as `search_exact` scores them, NaN for row -1.

    Reads the shards that hold one of the rows, one at a time.
    """
    scores = np.full(rows.shape, np.nan, dtype=np.float32)
    names, starts = embedding.shards, embedding.starts()
    for number, name in enumerate(names):
        inside = (rows >= starts[number]) & (rows < starts[number + 1])
        if inside.any():
            lines = np.flatnonzero(inside.any(axis=1))
            own = np.where(inside[lines], rows[lines] - starts[number], -1)
            own_scores = exact_scores(queries[lines], read_vectors(embedding, name).__getitem__, own)
            scores[lines] = np.where(own < 0, scores[lines], own_scores)
    return scores
