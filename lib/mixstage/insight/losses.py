"""Where quality is lost: by the retriever, which did not find, or by the reranker, which did not put first.

1 - Y = (1 - C) + (C - Y), query by query: Y is the metric achieved, C the ceiling, the metric of the best possible
order of the same candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixstage.measures.measures import Grades, Judged, Measure
from mixstage.stats import ROUNDING
from mixstage.stats.bootstrap import Floats
from mixstage.stats.paired import Paired, t_interval
from mixstage.store.plain import Json, plain_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSplit:
    """Means over queries, in metric points; retrieval + ranking = 1 - achieved."""

    achieved: Paired  # Y
    ceiling: Paired  # C
    retrieval: Paired  # 1 - C
    ranking: Paired  # C - Y

    @property
    def efficiency(self) -> float:
        """mean Y / mean C: the share of what the candidates allow that is achieved; 0 where they allow nothing."""
        return self.achieved.mean / self.ceiling.mean if self.ceiling.mean > 0 else 0.0

    def to_json(self) -> dict[str, Json]:
        """Its fields and the efficiency."""
        return plain_fields(self) | {"efficiency": self.efficiency}


def ceiling(ranks: NDArray[np.integer], grades: Grades, depth: int, measure: Measure) -> Floats:
    """(Q,) the measure of the retriever's top `depth`, ordered by grade: no reranker can do better.

    ranks: (Q, J) rank, from 1, of each judged document in the retriever's list, 0 where it is not in it. grades:
    (Q, J), negative = not judged or an unused slot; those come after all judged documents, like unjudged ones.
    """
    candidate = (ranks > 0) & (ranks <= depth) & (grades >= 0)
    order = np.argsort(-np.where(candidate, grades, -1), axis=1, kind="stable")
    best = np.zeros(ranks.shape, dtype=np.int32)
    np.put_along_axis(best, order, np.arange(1, ranks.shape[1] + 1, dtype=np.int32)[None, :], axis=1)
    best[~candidate] = 0
    returned = candidate.sum(axis=1).astype(np.int32)  # judged ones alone: looser for Judged@k, of no effect elsewhere
    return measure.values(Judged(ranks=best, grades=grades, returned=returned))


def split_loss(ceilings: Floats, achieved: Floats, confidence: float) -> LossSplit:
    """The split of (Q,) ceilings and achieved values of one composition."""
    # both add the same terms, in different orders
    assert (ceilings >= achieved - ROUNDING).all(), "an order of the candidates beats their best order"
    return LossSplit(
        achieved=t_interval(achieved, confidence),
        ceiling=t_interval(ceilings, confidence),
        retrieval=t_interval(1 - ceilings, confidence),
        ranking=t_interval(ceilings - achieved, confidence),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthPoint:
    """One depth of a depth curve."""

    depth: int
    achieved: float  # mean Y
    ceiling: float  # mean C; never falls with depth
    efficiency: float  # mean Y / mean C; falls where further candidates distract


def depth_curve(
    ranks: NDArray[np.integer], grades: Grades, measure: Measure, achieved: Sequence[tuple[int, Floats]]
) -> list[DepthPoint]:
    """A point a depth, in the order given. achieved: (depth, (Q,) values) of compositions that differ in depth only."""
    points = []
    for depth, values in achieved:
        top, own = float(ceiling(ranks, grades, depth, measure).mean()), float(values.mean())
        points.append(DepthPoint(depth=depth, achieved=own, ceiling=top, efficiency=own / top if top > 0 else 0.0))
    return points
