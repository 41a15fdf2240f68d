"""What an approximate index costs: the same queries through the generation that is served and through exact search.

The grid rests on exact search. Where the served index is another one, each retriever's own metric is measured through
both, so that the price of speed stands in the report.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from mixstage.composition import Composition
from mixstage.corpus.application import read_judgements, read_queries
from mixstage.evaluation.board import build_board, evaluate_board
from mixstage.evaluation.compositions import evaluated
from mixstage.evaluation.rankings import EVALUATED, Key, Ranking, read_ranking
from mixstage.index.faiss_files import is_exact
from mixstage.index.generation import Generation
from mixstage.index.indexer import Indexer, Retrievers, dense_of
from mixstage.measures.measures import parse_measure
from mixstage.models.checkpoint import Checkpoint
from mixstage.plan.schema import GridPlan, Plan
from mixstage.store.plain import Json
from mixstage.store.store import Artifact, Draft


class IndexLoss(Artifact):
    """served.parquet: each dense retriever's metric through exact search and through the generation that is served."""

    kind = "served"
    FORMAT = 1  # raise when the table changes
    __slots__ = ()

    @classmethod
    def recipe_of(
        cls, plan: Plan, generations: Mapping[Key, Generation], rankings: Mapping[Key, Ranking]
    ) -> dict[str, Json]:
        """What decides the table. Both mappings are by (application, retriever)."""
        return {
            "what": "served",
            "format": cls.FORMAT,
            "generations": {"/".join(key): generation.digest for key, generation in generations.items()},
            "rankings": {"/".join(key): rankings[key].digest for key in generations},
            "measures": {name: part.metric for name, part in plan.applications.items()},
        }


def measure_served(indexer: Indexer, retrievers: Retrievers, rankings: Mapping[Key, Ranking]) -> IndexLoss | None:
    """served.parquet: application, retriever, split, measure, exact, served (means), recall (of the generation).

    rankings: of exact search, by (application, retriever). None if the plan serves exact search.
    """
    plan = indexer.prepared.plan
    if is_exact(plan.index):
        return None
    dense = dense_of(retrievers)
    generations = {
        (application, name): indexer.generation(part.corpus, name, checkpoint)
        for application, part in plan.applications.items()
        for name, checkpoint in dense.items()
    }
    recipe = IndexLoss.recipe_of(plan, generations, rankings)

    def build(draft: Draft[IndexLoss]) -> IndexLoss:
        frames = [
            _compare(indexer, key, dense[key[1]], read_ranking(rankings[key]), generation.recall)
            for key, generation in generations.items()
        ]
        draft.table("served.parquet", pl.concat(frames).to_arrow())
        return draft.publish({"factory": plan.index.factory})

    return indexer.prepared.store.made(IndexLoss, recipe, build)


def _compare(indexer: Indexer, key: Key, checkpoint: Checkpoint, exact: pl.DataFrame, recall: float) -> pl.DataFrame:
    plan, (application, name) = indexer.prepared.plan, key
    part = plan.applications[application]
    queries = read_queries(indexer.prepared.applications[application], *EVALUATED)
    retriever = indexer.served(part.corpus, name, checkpoint)
    ids, texts = queries["query_id"].to_list(), queries["text"].to_list()
    rankings = {"exact": exact, "served": retriever.rank(ids, texts, plan.grid.ranking_depth)}
    rows = []
    for split in EVALUATED:
        judgements = read_judgements(indexer.prepared.applications[application], split)
        means = _means(rankings, judgements, part.metric, plan.grid)
        rows.append((application, name, split, part.metric, means["exact"], means["served"], recall))
    columns = ["application", "retriever", "split", "measure", "exact", "served", "recall"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def _means(
    rankings: Mapping[str, pl.DataFrame], judgements: pl.DataFrame, metric: str, grid: GridPlan
) -> dict[str, float]:
    """The metric's mean of each ranking by itself."""
    judged = evaluated(judgements)
    rows = {
        name: frame.filter(pl.col("query_id").is_in(judged["query_id"].implode())) for name, frame in rankings.items()
    }
    nothing = pl.DataFrame(schema={"query_id": pl.String, "doc_id": pl.String})
    board = build_board(rows, nothing, {}, judged)
    alone = [Composition(retriever=name, depth=grid.ranking_depth, reranker="none", k=grid.k) for name in rankings]
    results = evaluate_board(board, alone, [parse_measure(metric)])
    return {one.retriever: float(np.mean(values)) for one, values in results}
