"""Bootstrap over queries: how far a lead of one composition over many others may be chance, for all of them together.

Queries are drawn inside each application, the same for all compositions, so pairing and dependence are kept.

Who can't be told from the best: a simultaneous bootstrap band around the leader, capped at `near`.

The band is that of multiple comparisons with the best (Hsu 1984), with its critical value from a bootstrap over queries
instead of normal theory. Without the cap a small sample would let everything in.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-9  # metric points: a sum's rounding, below any real difference
_BLOCK = 2_000_000  # counts held at once: 16 MB

Matrices = Mapping[str, NDArray[np.float64]]  # application -> (n, S), a row a query


def resamples(matrices: Matrices, draws: int, seed: int) -> Iterator[dict[str, NDArray[np.float64]]]:
    """Bootstrap draws in blocks: application -> (R, n) float64, how often each query is drawn; rows sum to n.

    Stratified: every application keeps its number of queries. The same arguments give the same draws.
    """
    generator = np.random.default_rng(seed)
    rows = max(1, _BLOCK // max(len(matrix) for matrix in matrices.values()))
    for start in range(0, draws, rows):
        size = min(rows, draws - start)
        yield {name: _counts(generator, size, len(matrix)) for name, matrix in matrices.items()}


def _counts(generator: np.random.Generator, rows: int, n: int) -> NDArray[np.float64]:
    picked = generator.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
    return np.bincount(picked.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def resampled_means(matrices: Matrices, counts: Matrices) -> dict[str, NDArray[np.float64]]:
    """application -> (R, S) means of the drawn queries: one product for all compositions."""
    return {name: counts[name] @ matrix / len(matrix) for name, matrix in matrices.items()}


def weighted(means: Matrices, weights: Mapping[str, float]) -> NDArray[np.float64]:
    """The mean over applications, of any shape that their means share."""
    return np.asarray(sum(weights[name] * mean for name, mean in means.items()), dtype=np.float64)


def errors_to(best: int, matrices: Matrices, weights: Mapping[str, float]) -> NDArray[np.float64]:
    """(S,) standard error of the best's lead, paired: sqrt(sum_a w_a^2 var_a(X_best - X_s) / n_a), plug-in variance."""
    parts = [
        weights[name] ** 2 * (matrix[:, best, None] - matrix).var(axis=0) / len(matrix)
        for name, matrix in matrices.items()
    ]
    return np.asarray(np.sqrt(np.sum(parts, axis=0)), dtype=np.float64)


def critical_value(
    best: int,
    eligible: NDArray[np.bool_],
    matrices: Matrices,
    weights: Mapping[str, float],
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> float:
    """c: the quantile over draws of the largest standardised error of a lead, max_s ((theta*_s - theta_s) -
    (theta*_best - theta_best)) / SE_s over the eligible (S,) that vary against the best; 0 if none does."""
    errors = errors_to(best, matrices, weights)
    rivals = np.flatnonzero(eligible & (errors > ROUNDING))
    if not len(rivals):
        return 0.0
    overall = weighted({name: matrix.mean(axis=0) for name, matrix in matrices.items()}, weights)
    largest = []
    for counts in resamples(matrices, draws, seed):
        shift = weighted(resampled_means(matrices, counts), weights) - overall
        largest.append(((shift[:, rivals] - shift[:, best, None]) / errors[rivals]).max(axis=1))
    return max(0.0, float(np.quantile(np.concatenate(largest), confidence)))


def drawn_errors_to(
    best: NDArray[np.intp], matrices: Matrices, counts: Matrices, weights: Mapping[str, float]
) -> NDArray[np.float64]:
    """(R, S) the same inside each draw, whose own best is best[r].

    var(X_best - X_s) = E(X_best^2) + E(X_s^2) - 2 E(X_best X_s) - lead^2 costs three products for all compositions.
    """
    total = np.zeros((len(best), next(iter(matrices.values())).shape[1]))
    at = np.arange(len(best)), best
    for name, matrix in matrices.items():
        count, n = counts[name], len(matrix)
        mean, square = count @ matrix / n, count @ matrix**2 / n
        cross = (count * matrix.T[best]) @ matrix / n
        variance = square[at][:, None] + square - 2 * cross - (mean[at][:, None] - mean) ** 2
        total += weights[name] ** 2 * np.maximum(variance, 0) / n
    return np.sqrt(total)


def tied_with(
    best: NDArray[np.intp],
    eligible: NDArray[np.bool_],
    overall: NDArray[np.float64],
    errors: NDArray[np.float64],
    *,
    critical: float,
    near: float,
) -> NDArray[np.bool_]:
    """(R, S) the near-best set: eligible and behind the best by at most min(critical * error, near)."""
    behind = overall[np.arange(len(best)), best][:, None] - overall
    return np.asarray(eligible & (behind <= np.minimum(critical * errors, near) + ROUNDING))
