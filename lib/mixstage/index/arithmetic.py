"""The arithmetic of search: one score for a pair wherever it is computed, and the best of several lists.

A matrix product gives a pair's score other last bits in another block, process or batch. So whatever finds candidates,
their scores are inner products summed in float64 and rounded to float32 once: sharded and whole, offline and served,
equal texts under two ids and the order of a list then agree bit for bit.
"""

from collections.abc import Callable, Sequence

import numpy as np

_AT_ONCE = 1 << 22  # float64 numbers of gathered vectors: 32 MB
_SPARE = 8  # candidates beyond k, so that few lists have to be made longer
_NOISE = 5e-6  # of a float32 inner product of unit vectors: 384 dimensions summed in any order differ by 1e-6

Found = tuple[np.ndarray, np.ndarray]  # scores (Q, k) float32 descending, rows (Q, k) int64
Search = Callable[[np.ndarray, int], Found]
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]  # queries, rows (Q, n) -> (Q, n) float32


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


def find_exact(search: Search, score: Score, queries: np.ndarray, k: int, spare: int = _SPARE) -> Found:
    """The best k by (score descending, row ascending), found by a search whose scores are float32's.

    Some more are fetched. A list that still ends within the noise of its k-th score is fetched twice as long: what ties
    with it may stand anywhere behind. search: (queries, n) -> n scores descending and rows, fewer if there are fewer.
    """
    near, rows = search(queries, k + spare)
    k, fetched = min(k, rows.shape[1]), rows.shape[1]
    best = sort_found(score(queries, rows), rows, k)
    unsure = near[:, -1] > near[:, k - 1] - _NOISE if fetched == k + spare else np.zeros(len(rows), dtype=bool)
    if unsure.any():
        for part, longer in zip(best, find_exact(search, score, queries[unsure], k, 2 * spare + k), strict=True):
            part[unsure] = longer
    return best


def sort_found(scores: np.ndarray, rows: np.ndarray, k: int) -> Found:
    """The best k of each line by (score descending, row ascending); (Q, n) -> (Q, min(k, n))."""
    order = np.lexsort((rows, -scores))[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def merge_found(lists: Sequence[Found], k: int) -> Found:
    """The best k of several (scores, rows); row -1 has score -inf."""
    scores, rows = (np.hstack(part) for part in zip(*lists, strict=True))
    return sort_found(np.where(rows < 0, -np.inf, scores).astype(np.float32), rows, k)
