"""Rankings: what every retriever stage, BM25 and every fusion finds for the dev and test queries of an application."""

from collections.abc import Mapping, Sequence

import polars as pl

from mixstage.corpus.application import read_queries
from mixstage.corpus.tables import Application
from mixstage.evaluation.fusion import fuse_rankings
from mixstage.index.indexer import Indexer, Retrievers
from mixstage.models.checkpoint import RetrieverModel
from mixstage.plan.schema import Plan
from mixstage.store.plain import Json
from mixstage.store.store import Artifact, Draft, Store

EVALUATED = ("dev", "test")  # splits whose queries are ranked
Key = tuple[str, str]  # (application, retriever)


class Ranking(Artifact):
    """What a retriever finds for the dev and test queries of an application: ranking.parquet."""

    kind = "ranking"
    FORMAT = 2  # raise when rankings change
    __slots__ = ()

    @classmethod
    def recipe_of(cls, application: Application, searched: Artifact, depth: int) -> dict[str, Json]:
        """searched: the embedding of a corpus, or its BM25 generation."""
        return {
            "what": "ranking",
            "format": cls.FORMAT,
            "application": application.digest,
            "searched": searched.digest,
            "depth": depth,
        }

    @classmethod
    def recipe_of_fusion(
        cls, members: Sequence["Ranking"], weights: Sequence[float], constant: int, depth: int
    ) -> dict[str, Json]:
        """A fusion's, whatever the order of its members; constant: without weights."""
        digests = [member.digest for member in members]
        return {
            "what": "ranking",
            "format": cls.FORMAT,
            "fused": sorted(digests),
            **({"weights": sorted(zip(digests, weights, strict=True))} if weights else {"constant": constant}),
            "depth": depth,
        }

    @property
    def application(self) -> str:
        return str(self.meta["application"])

    @property
    def retriever(self) -> str:
        """The stage, "bm25" or the fusion that first needed it."""
        return str(self.meta["retriever"])

    @property
    def queries(self) -> int:
        return int(self.meta["queries"])


def rank_all(indexer: Indexer, retrievers: Retrievers) -> dict[Key, Ranking]:
    """The ranking of every (application, retriever of the grid) to the plan's ranking depth; fusions come last."""
    plan, store, progress = indexer.prepared.plan, indexer.prepared.store, indexer.prepared.progress
    rankings: dict[Key, Ranking] = {}
    pairs = [(application, retriever) for application in plan.applications for retriever in retrievers]
    ranked = ((pair, rank(indexer, *pair, retrievers[pair[1]])) for pair in pairs)
    rankings.update(progress.track(ranked, "rank", total=len(pairs), unit="rankings"))
    rankings |= _fuse_all(plan, store, rankings)
    listed = [name for name in retrievers if name != "bm25" or plan.grid.bm25]  # BM25 may be there as a member only
    order = [*listed, *plan.grid.fusions]
    return {(name, retriever): rankings[name, retriever] for name in plan.applications for retriever in order}


def rank(indexer: Indexer, application: str, name: str, retriever: RetrieverModel) -> Ranking:
    """What one retriever finds for an application's dev and test queries: ranking.parquet."""
    prepared = indexer.prepared
    plan, part = prepared.plan, prepared.applications[application]
    corpus = plan.applications[application].corpus
    recipe = Ranking.recipe_of(part, indexer.searched(corpus, name, retriever), plan.grid.ranking_depth)

    def build(draft: Draft[Ranking]) -> Ranking:
        queries = read_queries(part, *EVALUATED)
        searcher = indexer.retriever(corpus, name, retriever)
        ranking = searcher.rank(queries["query_id"].to_list(), queries["text"].to_list(), plan.grid.ranking_depth)
        draft.table("ranking.parquet", ranking.to_arrow())
        return draft.publish({"application": application, "retriever": name, "queries": len(queries)})

    return prepared.store.made(Ranking, recipe, build)


def _fuse_all(plan: Plan, store: Store, rankings: Mapping[Key, Ranking]) -> dict[Key, Ranking]:
    fused = {}
    for name in plan.applications:
        for retriever, fusion in plan.grid.fusions.items():
            key, members = (name, retriever), [rankings[name, member] for member in fusion.of]
            depth = plan.grid.ranking_depth
            fused[key] = fuse(store, key, members, constant=fusion.constant, depth=depth, weights=fusion.weights)
    return fused


def fuse(
    store: Store, key: Key, members: Sequence[Ranking], *, constant: int, depth: int, weights: Sequence[float] = ()
) -> Ranking:
    """The ranking that fuses others (see `fuse_rankings`), from what they list: no model is opened."""
    recipe = Ranking.recipe_of_fusion(members, weights, constant, depth)

    def build(draft: Draft[Ranking]) -> Ranking:
        ranking = fuse_rankings([read_ranking(member) for member in members], constant, depth, weights)
        draft.table("ranking.parquet", ranking.to_arrow())
        return draft.publish({"application": key[0], "retriever": key[1], "queries": members[0].queries})

    return store.made(Ranking, recipe, build)


def read_ranking(ranking: Ranking) -> pl.DataFrame:
    """query_id, doc_id, score float32, rank uint32."""
    return pl.DataFrame(ranking.read_table("ranking.parquet"))
