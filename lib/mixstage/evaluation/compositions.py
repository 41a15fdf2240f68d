"""What a plan says of compositions before any of their values is looked at: which there are, who may win."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import product

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixstage.composition import UNSCORED, Composition
from mixstage.errors import InputError
from mixstage.measures.measures import parse_measure
from mixstage.plan.schema import GridPlan, Plan


def compositions(grid: GridPlan, retrievers: Sequence[str], rerankers: Sequence[str]) -> list[Composition]:
    """Every composition of the grid, in a fixed order, each retriever's `none` and `oracle` rows first.

    Those score no pairs, so that the ranking depth is a depth of theirs as well.
    """
    depths = sorted(set(grid.depths))
    bare = [
        Composition(retriever=retriever, depth=depth, reranker=reranker, k=grid.k)
        for reranker, retriever, depth in product(UNSCORED, retrievers, sorted({*depths, grid.ranking_depth}))
    ]
    mixes = [*sorted(set(grid.mix)), 1.0]
    return bare + [
        Composition(retriever=retriever, depth=depth, reranker=reranker, mix=mix, k=grid.k)
        for retriever, depth, reranker, mix in product(retrievers, depths, rerankers, mixes)
    ]


def union(rankings: Mapping[str, pl.DataFrame], depth: int) -> pl.DataFrame:
    """query_id, doc_id: the distinct candidates of all retrievers down to a depth, in byte order."""
    tops = [ranking.filter(pl.col("rank") <= depth).select("query_id", "doc_id") for ranking in rankings.values()]
    return pl.concat(tops).unique().sort("query_id", "doc_id")


def evaluated(judgements: pl.DataFrame) -> pl.DataFrame:
    """The rows (query_id, doc_id, grade ...) of queries that count; one with negative grades only is not judged."""
    return judgements.filter(pl.col("grade").max().over("query_id") >= 0)


Queries = Mapping[str, AbstractSet[str]]  # application -> ids


def incumbent_of(plan: Plan, compositions: Sequence[Composition]) -> Composition:
    """The plan's incumbent, or the base retriever alone; raises InputError if the grid lacks it."""
    if plan.selection.incumbent is None:
        incumbent = Composition(retriever="base", depth=plan.grid.ranking_depth, reranker="none", k=plan.grid.k)
    else:
        incumbent = Composition.parse(plan.selection.incumbent)
    if incumbent not in compositions:
        raise InputError(f"selection.incumbent {incumbent} is not in the grid: use one of its depths, mixes and k")
    return incumbent


def within_pairs(plan: Plan, application: str, compositions: Sequence[Composition]) -> NDArray[np.bool_]:
    """(S,) which compositions score no more pairs a query than an application's budget allows."""
    limit = plan.applications[application].budget.pairs_per_query
    pairs = np.array([composition.pairs for composition in compositions])
    return np.ones(len(pairs), dtype=bool) if limit is None else pairs <= limit


def matrix_of(rows: pl.DataFrame, measure: str, compositions: int) -> NDArray[np.float64]:
    """(n, S) values of a measure: a row a query, a column a composition, both in the order of the rows.

    rows: of one application, as a grid's table has them: composition after composition, each with all queries.
    """
    return rows[str(parse_measure(measure))].to_numpy().reshape(compositions, -1).T
