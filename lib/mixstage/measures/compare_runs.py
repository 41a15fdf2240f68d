"""Several runs against the first, query by query."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from mixstage.errors import InputError
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

    def to_json(self) -> dict[str, float | int | str | None]:
        """Without the number of queries, which the run's measures tell; the open ends of a single query are None."""
        return {name: value for name, value in Paired.to_json(self).items() if name != "queries"}


def compare(reports: Sequence[RunMeasures]) -> list[dict[str, Lead]]:
    """Measure -> lead over the first run, for each run after it; empty for a single run.

    >>> qrels = {f"q{number}": {"d1": 1} for number in range(8)}
    >>> before, after = ({query: ranking for query in qrels} for ranking in (["d2", "d1"], ["d1", "d2"]))
    >>> (leads,) = compare([measure(run, qrels, ["RR", "R@2"]) for run in (before, after)])
    >>> leads["RR"].mean, leads["RR"].wins, leads["RR"].losses, leads["R@2"].mean
    (0.5, 8, 0, 0.0)
    >>> leads["RR"].p < 0.05
    True

    reports: what `measure` says of each run, by the same judgements and measures. p is two-sided and holds for all runs
    and measures together (sign flips, max-T); the interval is of each row alone, infinite for a single query. Raises
    InputError for a run that was measured by other judgements or other measures.
    """
    if len(reports) < 2:
        return []
    names = list(reports[0]["mean"])
    _refuse_others(reports)
    values = np.array([[list(row.values()) for row in report["per_query"].values()] for report in reports])  # (R, Q, M)
    leads = values[1:] - values[0]
    _, together = p_values(
        {_ALL: leads.transpose(1, 0, 2).reshape(values.shape[1], -1)}, {_ALL: 1.0}, flips=_FLIPS, seed=_SEED
    )
    rows = []
    for lead, p in zip(leads, together.reshape(-1, len(names)), strict=True):
        row = {}
        for m, name in enumerate(names):
            counted = Difference.of(t_interval(lead[:, m], _CONFIDENCE), lead[:, m])
            row[name] = Lead(**asdict(counted), p=float(p[m]))
        rows.append(row)
    return rows


def _refuse_others(reports: Sequence[RunMeasures]) -> None:
    first = reports[0]
    for number, report in enumerate(reports[1:], start=2):
        if [*report["mean"]] != [*first["mean"]] or report["per_query"].keys() != first["per_query"].keys():
            raise InputError(
                f"run {number} has {', '.join(report['mean'])} of {len(report['per_query'])} queries, run 1 has "
                f"{', '.join(first['mean'])} of {len(first['per_query'])}: measure all by the same judgements"
            )
