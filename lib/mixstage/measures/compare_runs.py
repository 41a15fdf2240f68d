"""Several runs against the first, query by query."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from mixstage.measures.one_run import RunMeasures
from mixstage.stats.paired import Difference, Paired, t_interval
from mixstage.stats.sign_flips import p_values

_FLIPS: Final = 10_000
_CONFIDENCE: Final = 0.95
_SEED: Final = 0
_ALL: Final = "all"  # the only stratum


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead(Difference):
    """One measure of a run minus that of the first run, over all judged queries; the interval is t's, of 95 %."""

    p: float  # sign flips, of all runs and measures together

    def to_json(self) -> dict[str, Any]:
        """Without the number of queries, which the run's measures tell; the open ends of a single query are None."""
        return {name: value for name, value in Paired.to_json(self).items() if name != "queries"}


def leads_over_first(reports: Sequence[RunMeasures]) -> list[dict[str, Lead]]:
    """Measure -> lead for each run after the first; empty for a single run. The reports share queries and measures.

    p: two-sided, see `sign_flips.p_values`. Intervals of a single query are infinite.
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
            counted = Difference.of(t_interval(lead[:, m], _CONFIDENCE), lead[:, m])
            row[name] = Lead(**asdict(counted), p=float(p[m]))
        found.append(row)
    return found
