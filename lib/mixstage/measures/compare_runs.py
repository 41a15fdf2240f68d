"""Several runs against the first, query by query."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from mixstage.measures.one_run import RunMeasures
from mixstage.stats.paired import t_interval
from mixstage.stats.sign_flips import p_values

_FLIPS: Final = 10_000
_CONFIDENCE: Final = 0.95
_SEED: Final = 0
_ALL: Final = "all"  # the only stratum


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """One measure of a run minus that of the first run, over all judged queries."""

    mean: float  # in metric points
    low: float  # ends of the 95 % t interval of this row alone
    high: float
    p: float  # sign flips, of all runs and measures together
    wins: int  # queries
    losses: int

    def to_json(self) -> dict[str, Any]:
        """JSON knows no infinity: the open ends of a single query are None."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


def leads_over_first(reports: Sequence[RunMeasures]) -> list[dict[str, Lead]]:
    """Measure -> lead for each run after the first; empty for a single run. The reports share queries and measures.

    p: `selection.table.p_values`, two-sided. Intervals of a single query are infinite.
    """
    if len(reports) < 2:
        return []
    names = list(reports[0]["mean"])
    values = np.array([[list(row.values()) for row in report["per_query"].values()] for report in reports])  # (R, Q, M)
    leads = values[1:] - values[0]
    _, together = p_values(
        {_ALL: leads.transpose(1, 0, 2).reshape(values.shape[1], -1)}, {_ALL: 1.0}, flips=_FLIPS, seed=_SEED
    )
    found = []
    for lead, p in zip(leads, together.reshape(-1, len(names)), strict=True):
        row = {}
        for m, name in enumerate(names):
            interval = t_interval(lead[:, m], _CONFIDENCE)
            wins, losses = int((lead[:, m] > 0).sum()), int((lead[:, m] < 0).sum())
            row[name] = Lead(
                mean=interval.mean, low=interval.low, high=interval.high, p=float(p[m]), wins=wins, losses=losses
            )
        found.append(row)
    return found
