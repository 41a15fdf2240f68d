"""Paired comparison of compositions: mean differences with t bounds, or with a bootstrap interval.

A paired mean with its t interval.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Weighted mean differences of S columns and how well they are known, in metric points."""

    mean: NDArray[np.float64]  # (S,)
    error: NDArray[np.float64]  # (S,) standard error; infinite where an application has a single query
    freedom: NDArray[np.float64]  # (S,) degrees of freedom

    def lower(self, confidence: float) -> NDArray[np.float64]:
        """(S,) one-sided bound; differences of measures lie in -1..1, and so does a bound that knows nothing."""
        return np.maximum(self.mean - self._half(confidence), -1.0)

    def upper(self, confidence: float) -> NDArray[np.float64]:
        return np.minimum(self.mean + self._half(confidence), 1.0)

    def interval(self, confidence: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(S,), (S,) two-sided."""
        one_sided = (1 + confidence) / 2
        return self.lower(one_sided), self.upper(one_sided)

    def _half(self, confidence: float) -> NDArray[np.float64]:
        return np.asarray(stdtrit(self.freedom, confidence) * self.error, dtype=np.float64)


def estimate(pairs: Mapping[str, NDArray[np.float64]], weights: Mapping[str, float]) -> Estimate:
    """The stratified mean of paired differences. pairs: application -> (n, S); weights are shares of those given.

    error^2 = sum_a e_a with e_a = w_a^2 var_a / n_a; freedom = (sum_a e_a)^2 / sum_a e_a^2 / (n_a - 1) (Satterthwaite
    1946): n - 1 for one application.
    """
    total = sum(weights[name] for name in pairs)
    shares = {name: weights[name] / total for name in pairs}
    mean = np.sum([shares[name] * values.mean(axis=0) for name, values in pairs.items()], axis=0)
    if min(len(values) for values in pairs.values()) < 2:
        return Estimate(mean=mean, error=np.full_like(mean, np.inf), freedom=np.ones_like(mean))
    parts = [shares[name] ** 2 * values.var(axis=0, ddof=1) / len(values) for name, values in pairs.items()]
    sizes = [len(values) for values in pairs.values()]
    square = np.sum(parts, axis=0)
    spent = np.sum([part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True)], axis=0)
    most = np.full_like(mean, sum(sizes) - len(sizes))  # where nothing varies
    freedom = np.divide(square**2, spent, out=most, where=spent > 0)
    return Estimate(mean=mean, error=np.sqrt(square), freedom=freedom)


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


Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean over queries, in metric points, and what it may be."""

    mean: float
    low: float
    high: float
    queries: int

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0

    def to_json(self) -> dict[str, Any]:
        """JSON knows no infinity: an open end is None."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


def t_interval(values: Floats, confidence: float) -> Interval:
    """Two-sided interval of the mean of (n,) values, one a query: mean +- t(n - 1) sd / sqrt(n) (Student, 1908).

    A single query has no spread to go by: its interval is the whole line.
    """
    count, mean = len(values), math.fsum(values) / len(values)
    if count == 1:
        return Interval(mean=mean, low=-math.inf, high=math.inf, queries=1)
    quantile = float(stdtrit(count - 1, (1 + confidence) / 2))
    half = quantile * float(values.std(ddof=1)) / math.sqrt(count)
    return Interval(mean=mean, low=mean - half, high=mean + half, queries=count)
