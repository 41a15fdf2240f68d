"""Resampling queries, in blocks that fit into memory, and what it says of a lead over many compositions at once.

Queries are drawn inside each application, the same for all compositions, so pairing and dependence are kept.

Who can't be told from the best is answered by a simultaneous band around the leader, that of multiple comparisons with
the best (Hsu 1984) with its critical value from the bootstrap instead of normal theory, and capped at `near` metric
points: without the cap a small sample would let everything in.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from mixstage.stats import ROUNDING

Floats = NDArray[np.float64]
Matrices = Mapping[str, Floats]  # application -> (n, S), a row a query
Draw = Callable[[np.random.Generator, int, int], Floats]  # generator, R, n -> (R, n): a row a replicate

_HELD = 2_000_000  # drawn values held at once: 16 MB


def draws(
    sizes: Mapping[str, int], number: int, draw: Draw, seed: int | np.random.Generator, *, held: int = _HELD
) -> Iterator[dict[str, Floats]]:
    """`number` replicates in blocks: application -> (R, n), for applications of n queries each.

    sizes: application -> n. seed: what starts a generator, or one that goes on. held: values of the largest application
    that a block has at most, if that is a replicate at least. The same arguments give the same draws.
    """
    generator = np.random.default_rng(seed)
    rows = max(1, held // max(sizes.values()))
    for start in range(0, number, rows):
        yield {name: draw(generator, min(rows, number - start), n) for name, n in sizes.items()}


def query_counts(generator: np.random.Generator, replicates: int, n: int) -> Floats:
    """(R, n) how often each of n queries is drawn with replacement; rows sum to n (Efron 1979)."""
    picked = generator.integers(0, n, (replicates, n)) + n * np.arange(replicates)[:, None]
    return np.bincount(picked.ravel(), minlength=replicates * n).reshape(replicates, n).astype(np.float64)


def query_weights(generator: np.random.Generator, replicates: int, n: int) -> Floats:
    """(R, n) Dirichlet(1, ..., 1) weights of n queries; rows sum to 1 (the Bayesian bootstrap, Rubin 1981)."""
    waits = generator.standard_exponential((replicates, n))
    return np.asarray(waits / waits.sum(axis=1, keepdims=True), dtype=np.float64)


def sizes_of(matrices: Matrices) -> dict[str, int]:
    """application -> its number of queries."""
    return {name: len(matrix) for name, matrix in matrices.items()}


def resamples(matrices: Matrices, number: int, seed: int) -> Iterator[dict[str, Floats]]:
    """Blocks of `query_counts` for every application: stratified, each keeps its number of queries."""
    return draws(sizes_of(matrices), number, query_counts, seed)


def resampled_means(matrices: Matrices, counts: Matrices) -> dict[str, Floats]:
    """application -> (R, S) means of the drawn queries: one product for all compositions."""
    return {name: counts[name] @ matrix / len(matrix) for name, matrix in matrices.items()}


def shares_of(weights: Mapping[str, float]) -> dict[str, float]:
    """The same proportions, summing to 1."""
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def weighted(means: Matrices, weights: Mapping[str, float]) -> Floats:
    """The mean over applications, of any shape that their means share. weights: shares that sum to 1."""
    return np.asarray(sum(weights[name] * mean for name, mean in means.items()), dtype=np.float64)


def errors_to(best: int, matrices: Matrices, weights: Mapping[str, float]) -> Floats:
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
) -> Floats:
    """(R, S) standard errors of the lead of best[r] among the queries that replicate r drew; counts: `query_counts`.

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
    overall: Floats,
    errors: Floats,
    *,
    critical: float,
    near: float,
) -> NDArray[np.bool_]:
    """(R, S) the near-best set: eligible and behind the best by at most min(critical * error, near)."""
    behind = overall[np.arange(len(best)), best][:, None] - overall
    return np.asarray(eligible & (behind <= np.minimum(critical * errors, near) + ROUNDING))
