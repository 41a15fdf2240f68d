"""Who can't be told from the best: a simultaneous bootstrap band around the leader, capped at `near`.

The band is that of multiple comparisons with the best (Hsu 1984), with its critical value from a bootstrap over queries
instead of normal theory. Without the cap a small sample would let everything in.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mixstage.evaluation.resampling import ROUNDING, Matrices


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
