"""Paired comparison of two compositions: the mean difference and its bootstrap interval."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 4_000_000  # resampled values held at once: 32 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Winner minus rival over one application or all of them."""

    mean: float  # in metric points
    low: float
    high: float
    wins: int  # queries where the winner scores higher
    losses: int
    queries: int

    @property
    def verdict(self) -> str:
        if self.low <= 0 <= self.high:
            return "no detectable difference"
        return "better" if self.low > 0 else "worse"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict}


def difference(
    pairs: Mapping[str, NDArray[np.float64]],
    weights: Mapping[str, float],
    *,
    replicates: int,
    confidence: float,
    seed: int,
) -> Difference:
    """Percentile interval of the weighted mean difference.

    pairs: application -> (n,) differences per query. Queries are resampled with replacement inside each
    application (stratified), so the pairing and the applications' weights hold in every replicate
    (Efron & Tibshirani 1993, ch. 13).
    """
    total = sum(weights[name] for name in pairs)
    generator = np.random.default_rng(seed)
    draws = np.zeros(replicates)
    mean = 0.0
    for name, values in pairs.items():
        share = weights[name] / total
        mean += share * float(values.mean())
        draws += share * _resampled_means(values, replicates, generator)
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    together = np.concatenate(list(pairs.values()))
    return Difference(
        mean=mean,
        low=float(low),
        high=float(high),
        wins=int((together > 0).sum()),
        losses=int((together < 0).sum()),
        queries=len(together),
    )


def _resampled_means(
    values: NDArray[np.float64], replicates: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    rows = max(1, _BLOCK // len(values))
    blocks = [
        values[generator.integers(0, len(values), (min(rows, replicates - start), len(values)))].mean(axis=1)
        for start in range(0, replicates, rows)
    ]
    return np.concatenate(blocks)
