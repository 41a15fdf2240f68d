"""Quality against cost: which compositions nothing cheaper equals, and how sure that is.

Two costs stand side by side: the measured 95 % quantile of an answer's time, which knows the models, and the pairs that
are scored a query, which no machine changes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixstage.composition import Composition
from mixstage.evaluation.latency import Cost
from mixstage.plan.schema import Plan
from mixstage.selection.choose import Values
from mixstage.stats import ROUNDING
from mixstage.stats.bootstrap import resampled_means, resamples, weighted

OVERALL = "overall"


def on_front(means: NDArray[np.float64], costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(R, S) which of S compositions with `costs` (S,) stand on the front of each row of means (R, S).

    Off it is who has a cheaper rival with at least the same mean, or one of the same cost with a greater mean.
    """
    order = np.argsort(costs, kind="stable")
    starts = np.flatnonzero(np.diff(costs[order], prepend=-np.inf))  # of each price, the cheapest first
    price = np.searchsorted(costs[order][starts], costs)
    tops = np.maximum.reduceat(means[:, order], starts, axis=1)  # (R, prices)
    cheaper = np.maximum.accumulate(tops, axis=1)
    cheaper = np.hstack([np.full((len(means), 1), -np.inf), cheaper[:, :-1]])
    best = (means >= tops[:, price] - ROUNDING) & (means > cheaper[:, price] + ROUNDING)
    return np.asarray(best)


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """A composition between quality and both costs."""

    composition: Composition
    mean: float  # on dev
    p95_ms: float | None  # over all applications the slowest one's; None if nothing was timed
    pairs: int  # scored a query
    on_front: bool  # by p95_ms, by pairs where nothing was timed
    share: float  # of bootstrap draws in which it is on that front
    on_pairs_front: bool
    pairs_share: float


def fronts(plan: Plan, dev: Values, cost: Cost | None) -> dict[str, list[Priced]]:
    """OVERALL and every application -> a row a composition. Draws are those of the near-best set."""
    pairs = np.array([float(one.pairs) for one in dev.compositions])
    times = {} if cost is None else _p95(plan, dev, cost)
    means = {OVERALL: dev.overall(), **dev.means()}
    axes = {
        (scope, by): times.get(scope, pairs) if by == "p95" else pairs for scope in means for by in ("p95", "pairs")
    }
    drawn = {axis: np.zeros(len(pairs)) for axis in axes}
    for counts in resamples(dev.matrices, plan.selection.bootstrap, plan.seed):
        again = resampled_means(dev.matrices, counts)
        again = {OVERALL: weighted(again, dev.weights), **again}
        for axis, costs in axes.items():
            drawn[axis] += on_front(again[axis[0]], costs).sum(axis=0)
    shares = {axis: times_on / plan.selection.bootstrap for axis, times_on in drawn.items()}
    now = {axis: on_front(means[axis[0]][None], costs)[0] for axis, costs in axes.items()}
    return {
        scope: [
            Priced(
                composition=one,
                mean=float(means[scope][s]),
                p95_ms=float(times[scope][s]) if scope in times else None,
                pairs=one.pairs,
                on_front=bool(now[scope, "p95"][s]),
                share=float(shares[scope, "p95"][s]),
                on_pairs_front=bool(now[scope, "pairs"][s]),
                pairs_share=float(shares[scope, "pairs"][s]),
            )
            for s, one in enumerate(dev.compositions)
        ]
        for scope in means
    }


def _p95(plan: Plan, dev: Values, cost: Cost) -> dict[str, NDArray[np.float64]]:
    """scope -> (S,) milliseconds."""
    each = {name: cost.quantiles(plan.grid, name, dev.compositions, 0.95) for name in dev.matrices}
    return {OVERALL: np.max(list(each.values()), axis=0), **each}
