"""Sign-flip tests of paired differences that hold for all rows of a table together."""

from collections.abc import Mapping

import numpy as np

from mixstage.stats import ROUNDING
from mixstage.stats.bootstrap import Floats, Matrices, draws, sizes_of, weighted


def p_values(leads: Matrices, weights: Mapping[str, float], *, flips: int, seed: int) -> tuple[Floats, Floats]:
    """(S,) two-sided p of each column alone and (S,) of all together, of leads: application -> (n, S).

    p = (1 + flips as large) / (flips + 1), which is never 0 (Phipson & Smyth 2010).
    """
    scale = np.sqrt(sum(weights[name] ** 2 * (lead**2).mean(axis=0) / len(lead) for name, lead in leads.items()))
    varies = scale > 0  # a column that is the incumbent's everywhere has statistic 0 under every flip

    def statistic(means: Matrices) -> Floats:
        overall = np.abs(weighted(means, weights))
        return np.asarray(np.divide(overall, scale, out=np.zeros_like(overall), where=varies), dtype=np.float64)

    seen = statistic({name: lead.mean(axis=0) for name, lead in leads.items()}) - ROUNDING
    alone, together = np.ones(len(seen)), np.ones(len(seen))
    for signs in draws(sizes_of(leads), flips, query_signs, seed):
        flipped = statistic({name: signs[name] @ lead / len(lead) for name, lead in leads.items()})
        alone += (flipped >= seen).sum(axis=0)
        together += (flipped.max(axis=1, keepdims=True) >= seen).sum(axis=0)
    return alone / (flips + 1), together / (flips + 1)


def query_signs(generator: np.random.Generator, replicates: int, n: int) -> Floats:
    """(R, n) of -1 and 1: which of n queries' differences are turned over."""
    return np.asarray(generator.choice([-1.0, 1.0], (replicates, n)), dtype=np.float64)
