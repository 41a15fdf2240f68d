"""A paired mean with its t interval."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

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
