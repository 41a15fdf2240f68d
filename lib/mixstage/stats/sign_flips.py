"""Sign-flip tests of paired differences that hold for all rows of a table together."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from mixstage.stats.bootstrap import ROUNDING, Matrices, weighted

_BLOCK = 2_000_000  # signs held at once: 16 MB


def p_values(
    leads: Matrices, weights: Mapping[str, float], *, flips: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(S,) two-sided p of each column alone and (S,) of all together, of leads: application -> (n, S)."""
    scale = np.sqrt(sum(weights[name] ** 2 * (lead**2).mean(axis=0) / len(lead) for name, lead in leads.items()))
    varies = scale > 0  # a column that is the incumbent's everywhere has statistic 0 under every flip

    def statistic(means: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        overall = np.abs(weighted(means, weights))
        found: NDArray[np.float64] = np.divide(overall, scale, out=np.zeros_like(overall), where=varies)
        return found

    seen = statistic({name: lead.mean(axis=0) for name, lead in leads.items()}) - ROUNDING
    alone, together = np.ones(len(seen)), np.ones(len(seen))
    for signs in _signs(leads, flips, seed):
        flipped = statistic({name: signs[name] @ lead / len(lead) for name, lead in leads.items()})
        alone += (flipped >= seen).sum(axis=0)
        together += (flipped.max(axis=1, keepdims=True) >= seen).sum(axis=0)
    return alone / (flips + 1), together / (flips + 1)


def _signs(leads: Matrices, flips: int, seed: int) -> Iterator[dict[str, NDArray[np.float64]]]:
    """Blocks of flips: application -> (R, n) of -1 and 1."""
    generator = np.random.default_rng(seed)
    rows = max(1, _BLOCK // max(len(lead) for lead in leads.values()))
    for start in range(0, flips, rows):
        size = min(rows, flips - start)
        yield {name: generator.choice([-1.0, 1.0], (size, len(lead))) for name, lead in leads.items()}
