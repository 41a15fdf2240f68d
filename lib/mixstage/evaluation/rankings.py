"""Rankings: what every retriever stage, BM25 and every fusion finds for the dev and test queries of an application."""

from collections.abc import Mapping, Sequence

import polars as pl

from mixstage.corpus.application import read_queries
from mixstage.evaluation.fusion import fuse_rankings
from mixstage.index.indexer import Checkpoints, Indexer
from mixstage.plan.schema import Plan
from mixstage.store.store import Artifact, Store, digest_of

_FORMAT = 2  # raise when rankings change
SPLITS = ("dev", "test")
Key = tuple[str, str]  # (application, retriever)


def rank_all(indexer: Indexer, retrievers: Checkpoints) -> dict[Key, Artifact]:
    """The ranking of every (application, retriever of the grid) to the plan's ranking depth; fusions come last."""
    plan, store = indexer.plan, indexer.store
    rankings: dict[Key, Artifact] = {}
    pairs = [(application, retriever) for application in plan.applications for retriever in retrievers]
    made = ((pair, rank(indexer, *pair, retrievers[pair[1]])) for pair in pairs)
    rankings.update(indexer.progress.track(made, "rank", total=len(pairs), unit="rankings"))
    rankings |= _fuse_all(plan, store, rankings)
    listed = [name for name in retrievers if name != "bm25" or plan.grid.bm25]  # BM25 may be there as a member only
    order = [*listed, *plan.grid.fusions]
    return {(name, retriever): rankings[name, retriever] for name in plan.applications for retriever in order}


def rank(indexer: Indexer, application: str, retriever: str, checkpoint: Artifact | None) -> Artifact:
    """What one retriever finds for an application's dev and test queries: ranking.parquet."""
    plan, part = indexer.plan, indexer.prepared.applications[application]
    corpus = plan.applications[application].corpus
    recipe = {
        "what": "ranking",
        "format": _FORMAT,
        "application": part.digest,
        "searched": indexer.searched(corpus, retriever, checkpoint).digest,
        "depth": plan.grid.ranking_depth,
    }
    found = indexer.store.find("ranking", digest_of(recipe))
    if found is not None:
        return found
    queries = read_queries(part, *SPLITS)
    searcher = indexer.retriever(corpus, retriever, checkpoint)
    ranking = searcher.rank(queries["query_id"].to_list(), queries["text"].to_list(), plan.grid.ranking_depth)
    draft = indexer.store.draft("ranking", recipe)
    draft.table("ranking.parquet", ranking.to_arrow())
    return draft.publish({"application": application, "retriever": retriever, "queries": len(queries)})


def _fuse_all(plan: Plan, store: Store, rankings: Mapping[Key, Artifact]) -> dict[Key, Artifact]:
    fused = {}
    for name in plan.applications:
        for retriever, fusion in plan.grid.fusions.items():
            key, members = (name, retriever), [rankings[name, member] for member in fusion.of]
            depth = plan.grid.ranking_depth
            fused[key] = fuse(store, key, members, constant=fusion.constant, depth=depth, weights=fusion.weights)
    return fused


def fuse(
    store: Store, key: Key, members: Sequence[Artifact], *, constant: int, depth: int, weights: Sequence[float] = ()
) -> Artifact:
    """The ranking that fuses others (see `fuse_rankings`), from what they list: no model is opened."""
    digests = [member.digest for member in members]
    recipe = {
        "what": "ranking",
        "format": _FORMAT,
        "fused": sorted(digests),  # their order changes nothing
        **({"weights": sorted(zip(digests, weights, strict=True))} if weights else {"constant": constant}),
        "depth": depth,
    }
    found = store.find("ranking", digest_of(recipe))
    if found is not None:
        return found
    ranking = fuse_rankings([read_ranking(member) for member in members], constant, depth, weights)
    draft = store.draft("ranking", recipe)
    draft.table("ranking.parquet", ranking.to_arrow())
    return draft.publish({"application": key[0], "retriever": key[1], "queries": members[0].meta["queries"]})


def read_ranking(artifact: Artifact) -> pl.DataFrame:
    """query_id, doc_id, score float32, rank uint32."""
    return pl.DataFrame(artifact.read_table("ranking.parquet"))
