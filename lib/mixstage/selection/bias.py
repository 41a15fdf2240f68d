"""The honest size of the gain: the winner of many is there partly by luck, so its own dev mean is too high.

Each bootstrap draw chooses by the whole rule on the queries it drew, and the composition it chose is measured on those
it did not draw (BBC-CV: Tsamardinos, Greasidou & Borboudakis 2018, with the whole rule in place of the highest mean).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixstage.selection.choose import Values
from mixstage.selection.rule import Rule, lead
from mixstage.stats.bootstrap import Matrices, drawn_errors_to, resampled_means, resamples, tied_with, weighted
from mixstage.store.plain import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What the rule gains over the incumbent on queries that it did not see, in metric points."""

    mean: float
    low: float
    high: float
    draws: int  # that left out a query of every application; the others say nothing
    shares: dict[str, float]  # composition -> share of all draws that choose it, the highest first

    @classmethod
    def from_json(cls, notes: Mapping[str, Json] | None) -> "Gain | None":
        """As a choice and a report keep it; None where nothing could be said."""
        return cls(**notes) if notes else None  # type: ignore[arg-type]


def corrected_gain(
    rule: Rule, dev: Values, critical: float, *, draws: int, confidence: float, seed: int
) -> Gain | None:
    """Mean of the chosen minus the incumbent over the queries left out, averaged over draws, with percentiles.

    `critical` is that of the whole sample: to find it anew in each draw would take a bootstrap of every draw. The
    estimate is the out-of-bag mean itself; "apparent minus optimism" corrects too much. It leans to the careful side,
    since a draw chooses by fewer distinct queries than dev has. None if no draw leaves out a query of every
    application, as with one query each.
    """
    gains, chosen = [], []
    leads = {name: matrix - matrix[:, rule.incumbent, None] for name, matrix in dev.matrices.items()}
    for counts in resamples(dev.matrices, draws, seed):
        winners = _choose_in(rule, dev, counts, critical)
        gains.append(weighted(_left_out(winners, leads, counts), dev.weights))
        chosen.append(winners)
    every = np.concatenate(gains)
    every = every[~np.isnan(every)]
    if not len(every):
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(every, [tail, 1 - tail])
    shares = _shares(dev, np.concatenate(chosen))
    return Gain(mean=float(every.mean()), low=float(low), high=float(high), draws=len(every), shares=shares)


def _choose_in(rule: Rule, dev: Values, counts: Matrices, critical: float) -> NDArray[np.intp]:
    """(R,) column that the rule chooses from each draw's queries."""
    means = resampled_means(dev.matrices, counts)
    overall, eligible = weighted(means, dev.weights), rule.eligible(means)
    best = lead(eligible, overall)
    errors = drawn_errors_to(best, dev.matrices, counts, dev.weights)
    return rule.simplest(tied_with(best, eligible, overall, errors, critical=critical, near=rule.near), overall)


def _left_out(winners: NDArray[np.intp], leads: Matrices, counts: Matrices) -> Mapping[str, NDArray[np.float64]]:
    """application -> (R,) mean lead of each draw's winner over the queries not drawn, NaN where all were."""
    means = {}
    for name, lead_of in leads.items():
        out = counts[name] == 0
        size = out.sum(axis=1)
        total = (lead_of.T[winners] * out).sum(axis=1)
        means[name] = np.divide(total, size, out=np.full(len(size), np.nan), where=size > 0)
    return means


def _shares(dev: Values, chosen: NDArray[np.intp]) -> dict[str, float]:
    columns, times = np.unique(chosen, return_counts=True)
    order = np.argsort(-times, kind="stable")
    return {str(dev.compositions[int(columns[i])]): float(times[i]) / len(chosen) for i in order}
