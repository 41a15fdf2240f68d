"""The arithmetic of search: one score for a pair wherever it is computed, and the best of several lists.

A matrix product gives a pair's score other last bits in another block, process or batch. So whatever finds candidates,
their scores are inner products summed in float64 and rounded to float32 once: sharded and whole, offline and served,
equal texts under two ids and the order of a list then agree bit for bit.
"""

from collections.abc import Callable, Sequence

import numpy as np

_AT_ONCE = 1 << 22  # float64 numbers of gathered vectors: 32 MB


def exact_scores(queries: np.ndarray, vectors: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    """(Q, dim) float32, (Q, k) int64 -> (Q, k) float32 inner products, -inf for row -1.

    vectors: (N,) rows -> (N, dim) float32.
    """
    scores = np.full(rows.shape, -np.inf, dtype=np.float32)
    width = max(1, rows.shape[1]) * queries.shape[1]
    step = max(1, _AT_ONCE // width)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        unique, place = np.unique(rows[part], return_inverse=True)
        gathered = vectors(np.maximum(unique, 0)).astype(np.float64)[place.reshape(rows[part].shape)]
        sums = np.einsum("qd,qkd->qk", queries[part].astype(np.float64), gathered)
        scores[part] = np.where(rows[part] < 0, -np.inf, sums)
    return scores


def sort_found(scores: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The best k of each line by (score descending, row ascending); (Q, n) -> (Q, min(k, n))."""
    order = np.lexsort((rows, -scores))[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def merge_found(found: Sequence[tuple[np.ndarray, np.ndarray]], k: int) -> tuple[np.ndarray, np.ndarray]:
    """The best k of several (scores, rows); row -1 has score -inf."""
    scores, rows = (np.hstack(part) for part in zip(*found, strict=True))
    return sort_found(np.where(rows < 0, -np.inf, scores).astype(np.float32), rows, k)
