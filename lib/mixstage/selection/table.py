"""Every composition against the incumbent: one table whose p values hold for all of its rows together.

Sign-flip max-T (Westfall & Young 1993, single step; for retrieval Boytsov, Belova & Westfall 2013): if a composition
and the incumbent were alike, the sign of each query's difference would be a coin. The same coin turns all compositions
of a query, so their dependence is kept. The denominator is the root mean square of the differences, which no flip
changes: the test is exact at any sample size, while a standard error taken once rejects up to 17 % of true nulls at
20 queries.
"""

from dataclasses import dataclass

import numpy as np

from mixstage.selection.choose import Values
from mixstage.stats.paired import Difference, Paired, estimate
from mixstage.stats.sign_flips import p_values


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Difference):
    """One composition minus the incumbent, weighted over all applications; the interval is t's, of this row alone."""

    composition: str
    p: float  # of this row alone
    p_adjusted: float  # of all rows together

    def to_json(self) -> dict[str, float | int | str | None]:
        return {
            "composition": self.composition,
            **{name: value for name, value in Paired.to_json(self).items() if name != "queries"},
            "ties": self.ties,
        }


def compare_all(dev: Values, incumbent: int, *, flips: int, confidence: float, seed: int) -> list[Row]:
    """A row for each composition but the incumbent, in the grid's order."""
    rivals = np.delete(np.arange(len(dev.compositions)), incumbent)
    leads = {name: matrix[:, rivals] - matrix[:, incumbent, None] for name, matrix in dev.matrices.items()}
    alone, together = p_values(leads, dev.weights, flips=flips, seed=seed)
    estimates = estimate(leads, dev.weights)
    low, high = estimates.interval(confidence)
    every = np.vstack(list(leads.values()))
    wins, losses = (every > 0).sum(axis=0), (every < 0).sum(axis=0)
    return [
        Row(
            composition=str(dev.compositions[rival]),
            mean=float(estimates.mean[s]),
            low=float(low[s]),
            high=float(high[s]),
            p=float(alone[s]),
            p_adjusted=float(together[s]),
            wins=int(wins[s]),
            losses=int(losses[s]),
            queries=len(every),
        )
        for s, rival in enumerate(rivals)
    ]
