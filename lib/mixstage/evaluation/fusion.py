"""Fusion of rankings and of scores: the same arithmetic offline and in the server."""

from collections.abc import Sequence
from functools import reduce
from operator import add

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixstage.index.search import rank_by_score
from mixstage.plan.schema import GridPlan

Floats = NDArray[np.float32]


def members_of(grid: GridPlan, retriever: str) -> tuple[str, ...]:
    """The retrievers that a query asks: a fusion's members, else the retriever itself."""
    return grid.fusions[retriever].of if retriever in grid.fusions else (retriever,)


def fuse_rankings(
    rankings: Sequence[pl.DataFrame], constant: int, depth: int, weights: Sequence[float] = ()
) -> pl.DataFrame:
    """The rankings as one: a document scores the sum of the votes of the rankings that list it.

    rankings: query_id, doc_id, rank (1-based) and, with weights, score. A vote is 1 / (constant + rank), reciprocal
    rank fusion (Cormack, Clarke, Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
    methods", SIGIR 2009, section 2). With weights, one a ranking, it is weight x score, min-max normalised over the
    ranking's list for the query; where all scores of a list are equal, each counts 1 (CombSUM of Fox and Shaw,
    "Combination of multiple searches", TREC-2, 1994, weighted). Returns the `depth` best of every query: query_id,
    doc_id, score float32 (summed in float64), rank uint32; by (score desc, doc_id bytes desc).
    """
    by_rank = 1 / (constant + pl.col("rank"))
    votes = [weight * _share() for weight in weights] or [by_rank] * len(rankings)
    cast = [
        ranking.select("query_id", "doc_id", vote.alias("vote")) for ranking, vote in zip(rankings, votes, strict=True)
    ]
    # Added from the greatest vote down: the same votes from other members give the same bits, so ties stay ties.
    rows = pl.concat(cast).group_by("query_id", "doc_id").agg(pl.col("vote").sort(descending=True))
    parts = [pl.col("vote").list.get(i, null_on_oob=True).fill_null(0.0) for i in range(len(rankings))]
    score = reduce(add, parts).cast(pl.Float32)
    return rank_by_score(rows.select("query_id", "doc_id", score.alias("score"))).filter(pl.col("rank") <= depth)


def _share() -> pl.Expr:
    """The score between the query's least (0) and greatest (1), float64."""
    score = pl.col("score").cast(pl.Float64)
    low, high = score.min().over("query_id"), score.max().over("query_id")
    return pl.when(high > low).then((score - low) / (high - low)).otherwise(1.0)


def mix_scores(retriever: Floats, reranker: Floats, weight: float, listed: NDArray[np.bool_]) -> Floats:
    """weight x normalised reranker + (1 - weight) x normalised retriever, (Q, D) float32.

    Each score is min-max normalised over the listed candidates of its query; a constant list becomes 0. Entries
    that are not listed are undefined. weight 1 returns the reranker's scores as they are: no rounding moves a rank.
    """
    if weight == 1:
        return reranker
    mixed = weight * _normalised(reranker, listed) + (1 - weight) * _normalised(retriever, listed)
    return mixed.astype(np.float32)


def _normalised(scores: Floats, listed: NDArray[np.bool_]) -> NDArray[np.float64]:
    wide = scores.astype(np.float64)
    low = np.where(listed, wide, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    high = np.where(listed, wide, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    span = high - low
    usable = np.isfinite(span) & (span > 0)
    return np.where(usable & listed, (wide - low) / np.where(usable, span, 1), 0.0)
