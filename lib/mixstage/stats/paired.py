"""A paired difference of two compositions, query by query: its mean, and what chance makes of it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from mixstage.stats.bootstrap import Floats, draws, shares_of

_HELD = 4_000_000  # resampled values held at once: 32 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """A mean over queries, in metric points, with the ends of its interval."""

    mean: float
    low: float  # minus infinity where nothing is known
    high: float
    queries: int

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0

    def to_json(self) -> dict[str, float | int | str | None]:
        """JSON knows no infinity: an open end is None."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(Paired):
    """One composition minus another, and how many queries each of them wins."""

    wins: int  # queries where the first scores higher
    losses: int

    @classmethod
    def of(cls, interval: Paired, differences: Floats) -> Self:
        """The interval of (n,) differences, with what they count."""
        wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
        return cls(**asdict(interval), wins=wins, losses=losses)

    @classmethod
    def from_json(cls, ends: Mapping[str, Any]) -> Self:
        """What `to_json` gave; the verdict follows from it."""
        return cls(**{name: value for name, value in ends.items() if name != "verdict"})

    @property
    def ties(self) -> int:
        return self.queries - self.wins - self.losses

    @property
    def verdict(self) -> str:
        if self.low <= 0 <= self.high:
            return "no detectable difference"
        return "better" if self.low > 0 else "worse"

    def to_json(self) -> dict[str, float | int | str | None]:
        return {**Paired.to_json(self), "verdict": self.verdict}


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Weighted mean differences of S columns and how well they are known, in metric points."""

    mean: Floats  # (S,)
    error: Floats  # (S,) standard error; infinite where an application has a single query
    freedom: Floats  # (S,) degrees of freedom

    def lower(self, confidence: float) -> Floats:
        """(S,) one-sided bound; differences of measures lie in -1..1, and so does a bound that knows nothing."""
        return np.maximum(self.mean - self._half(confidence), -1.0)

    def upper(self, confidence: float) -> Floats:
        """(S,) one-sided bound from above."""
        return np.minimum(self.mean + self._half(confidence), 1.0)

    def interval(self, confidence: float) -> tuple[Floats, Floats]:
        """(S,), (S,) two-sided."""
        one_sided = (1 + confidence) / 2
        return self.lower(one_sided), self.upper(one_sided)

    def _half(self, confidence: float) -> Floats:
        return np.asarray(stdtrit(self.freedom, confidence) * self.error, dtype=np.float64)


def estimate(pairs: Mapping[str, Floats], weights: Mapping[str, float]) -> Estimate:
    """The stratified mean of paired differences. pairs: application -> (n, S); weights: proportions of those given.

    error^2 = sum_a e_a with e_a = w_a^2 var_a / n_a; freedom = (sum_a e_a)^2 / sum_a e_a^2 / (n_a - 1) (Satterthwaite
    1946): n - 1 for one application.
    """
    shares = shares_of({name: weights[name] for name in pairs})
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
    pairs: Mapping[str, Floats],
    weights: Mapping[str, float],
    *,
    replicates: int,
    confidence: float,
    seed: int,
) -> Difference:
    """Percentile interval of the weighted mean difference.

    pairs: application -> (n,) differences per query; weights: proportions of those given. Queries are resampled with
    replacement inside each application (stratified), so the pairing and the applications' weights hold in every
    replicate (Efron & Tibshirani 1993, ch. 13).
    """
    shares = shares_of({name: weights[name] for name in pairs})
    generator = np.random.default_rng(seed)
    means, mean = np.zeros(replicates), 0.0
    for name, values in pairs.items():
        mean += shares[name] * float(values.mean())
        means += shares[name] * _resampled_means(name, values, replicates, generator)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    together = np.concatenate(list(pairs.values()))
    interval = Paired(mean=mean, low=float(low), high=float(high), queries=len(together))
    return Difference.of(interval, together)


def _resampled_means(name: str, values: Floats, replicates: int, generator: np.random.Generator) -> Floats:
    """(R,) means of the values drawn. Drawn values are averaged in the order of drawing, and counts of them are not
    the same sum: the last digits of every interval hang on it."""

    def picked(generator: np.random.Generator, rows: int, n: int) -> Floats:
        return np.asarray(values[generator.integers(0, n, (rows, n))], dtype=np.float64)

    blocks = draws({name: len(values)}, replicates, picked, generator, held=_HELD)
    return np.concatenate([block[name].mean(axis=1) for block in blocks])


def t_interval(values: NDArray[np.float64], confidence: float) -> Paired:
    """Two-sided interval of the mean of (n,) values, one a query: mean +- t(n - 1) sd / sqrt(n) (Student, 1908).

    A single query has no spread to go by: its interval is the whole line.
    """
    count, mean = len(values), math.fsum(values) / len(values)
    if count == 1:
        return Paired(mean=mean, low=-math.inf, high=math.inf, queries=1)
    quantile = float(stdtrit(count - 1, (1 + confidence) / 2))
    half = quantile * float(values.std(ddof=1)) / math.sqrt(count)
    return Paired(mean=mean, low=mean - half, high=mean + half, queries=count)
