"""Operating points: how deep a retriever has to go for a recall that an application asks for.

A latency-sensitive interface lives with a small depth, general search with a moderate one, deep research with a large
one. Recall at every depth is in the ranks of the relevant documents, so no depth of the grid limits the answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixstage.corpus.application import read_judgements
from mixstage.corpus.prepare import Prepared
from mixstage.evaluation.compositions import evaluated
from mixstage.evaluation.fusion import members_of
from mixstage.evaluation.grid import Grid
from mixstage.evaluation.rankings import EVALUATED, Ranking, read_ranking
from mixstage.plan.schema import Plan
from mixstage.stats import ROUNDING
from mixstage.store.store import Store

Curves = Mapping[str, NDArray[np.float64]]  # retriever -> (D,) mean recall at depths 1 .. D


def recall_curve(ranking: pl.DataFrame, judgements: pl.DataFrame, depth: int) -> NDArray[np.float64]:
    """(depth,) mean of R@1 .. R@depth over the judged queries; one without a relevant document counts 0.

    ranking: query_id, doc_id, rank. judgements: query_id, doc_id, grade; relevant from grade 1.
    """
    size = judgements["query_id"].n_unique()
    relevant = judgements.filter(pl.col("grade") > 0).with_columns(share=1 / pl.len().over("query_id") / size)
    retrieved = relevant.join(ranking.filter(pl.col("rank") <= depth), on=["query_id", "doc_id"])
    gains = np.bincount(retrieved["rank"].to_numpy() - 1, weights=retrieved["share"].to_numpy(), minlength=depth)
    return np.asarray(gains.cumsum(), dtype=np.float64)


def smallest_depth(curve: NDArray[np.float64], target: float) -> int | None:
    """The first depth whose recall reaches the target; None if none does."""
    reached = curve >= target - ROUNDING
    return int(reached.argmax()) + 1 if reached.any() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """Which retriever reaches an application's target of recall on dev, and how deep.

    It is the one that does at the smallest depth; of those the one made of fewer services, then of higher recall. Where
    none does, depth and pairs are None and the retriever is that of the highest recall.
    """

    application: str
    name: str
    target: float  # recall
    retriever: str
    depth: int | None
    recall: float
    pairs: int | None  # what a reranker of the whole depth scores a query
    recall_test: float
    winner: str  # the winner's retriever
    winner_depth: int | None
    winner_recall: float  # its best, at the ranking depth


def operating_points(
    plan: Plan, store: Store, prepared: Prepared, grid: Grid, winner: str
) -> list[OperatingPoint] | None:
    """Every application's targets; winner: its retriever. None if a ranking has left the store."""
    stored = {key: store.find(Ranking, digest) for key, digest in grid.rankings.items()}
    rows = []
    for name in plan.applications:
        rankings = {key[1]: ranking for key, ranking in stored.items() if key[0] == name and ranking is not None}
        if winner not in rankings or len(rankings) < sum(key[0] == name for key in stored):
            return None
        dev, test = (_curves(plan, prepared, name, rankings, split) for split in EVALUATED)
        for label, target in plan.applications[name].operating_points.items():
            retriever, depth = _reach(plan, dev, target)
            at = (depth or plan.grid.ranking_depth) - 1
            rows.append(
                OperatingPoint(
                    application=name,
                    name=label,
                    target=target,
                    retriever=retriever,
                    depth=depth,
                    recall=float(dev[retriever][at]),
                    pairs=depth,
                    recall_test=float(test[retriever][at]),
                    winner=winner,
                    winner_depth=smallest_depth(dev[winner], target),
                    winner_recall=float(dev[winner][-1]),
                )
            )
    return rows


def _curves(plan: Plan, prepared: Prepared, name: str, rankings: Mapping[str, Ranking], split: str) -> Curves:
    judgements = evaluated(read_judgements(prepared.applications[name], split))
    depth = plan.grid.ranking_depth
    return {
        retriever: recall_curve(read_ranking(ranking), judgements, depth) for retriever, ranking in rankings.items()
    }


def _reach(plan: Plan, curves: Curves, target: float) -> tuple[str, int | None]:
    """The retriever, and the depth at which it reaches the target; the best of all and None if none does."""
    depths = {name: smallest_depth(curve, target) for name, curve in curves.items()}
    reached = {name: depth for name, depth in depths.items() if depth is not None}
    if not reached:
        return max(curves, key=lambda name: float(curves[name][-1])), None

    def order(name: str) -> tuple[int, int, float]:
        depth = reached[name]
        return depth, len(members_of(plan.grid, name)), -float(curves[name][depth - 1])

    first = min(reached, key=order)
    return first, reached[first]
