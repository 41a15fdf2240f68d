"""The Bayesian view of dev: how probable it is that a composition is best, or costs an application too much.

Columns to read beside the p values; no rule decides by them. The bootstrap's counts give way to Dirichlet(1, ..., 1)
weights of the queries, one draw of each application's distribution of queries (the Bayesian bootstrap, Rubin 1981; for
comparisons with a region of practical equivalence Benavoli et al. 2017).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixstage.selection.choose import Values
from mixstage.stats import ROUNDING
from mixstage.stats.bootstrap import draws as drawn
from mixstage.stats.bootstrap import query_weights, sizes_of, weighted


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """Of S compositions, in their order."""

    best: NDArray[np.float64]  # (S,) probability of the highest weighted mean; equals share it
    regret: NDArray[np.float64]  # (S,) expected metric points behind the best
    loss: NDArray[np.float64]  # (S,) probability that some application loses more than the margin to the incumbent

    def row(self, column: int) -> dict[str, float]:
        """{"p_best", "regret", "p_loss"} of one composition."""
        return {
            "p_best": float(self.best[column]),
            "regret": float(self.regret[column]),
            "p_loss": float(self.loss[column]),
        }


def posterior(dev: Values, incumbent: int, *, margin: float, draws: int, seed: int) -> Posterior:
    """margin: metric points an application may lose (`max_regression`); incumbent: its column."""
    totals = np.zeros((3, len(dev.compositions)))
    for shares in drawn(sizes_of(dev.matrices), draws, query_weights, seed):
        means = {name: shares[name] @ matrix for name, matrix in dev.matrices.items()}
        behind = weighted(means, dev.weights)
        behind = behind.max(axis=1, keepdims=True) - behind
        first = behind <= ROUNDING
        worst = np.max([mean[:, incumbent, None] - mean for mean in means.values()], axis=0)
        totals[0] += (first / first.sum(axis=1, keepdims=True)).sum(axis=0)
        totals[1] += behind.sum(axis=0)
        totals[2] += (worst > margin + ROUNDING).sum(axis=0)
    best, regret, loss = totals / draws
    return Posterior(best=best, regret=regret, loss=loss)
