"""Rankings: what every retriever stage, BM25 and every fusion finds for the dev and test queries of an application."""

from collections.abc import Mapping, Sequence

import polars as pl

from mixstage.cluster import run_tasks
from mixstage.corpus.application import read_queries
from mixstage.corpus.prepare import Prepared
from mixstage.evaluation.fusion import fuse_rankings
from mixstage.indexing.search import open_retriever
from mixstage.plan import Plan
from mixstage.progress import Progress
from mixstage.store import Artifact, Store, digest_of

_FORMAT = 1  # raise when rankings change
SPLITS = ("dev", "test")
Key = tuple[str, str]  # (application, retriever)


def rank_all(
    plan: Plan,
    store: Store,
    prepared: Prepared,
    retrievers: Mapping[str, Artifact | None],
    generations: Mapping[Key, Artifact],
    progress: Progress,
) -> dict[Key, Artifact]:
    """The ranking of every (application, retriever of the grid) to the plan's ranking depth; fusions come last.

    retrievers: name -> checkpoint, None for BM25. generations: (corpus, retriever) -> generation.
    """
    rankings: dict[Key, Artifact] = {}
    calls = []
    for name, part in plan.applications.items():
        for retriever, checkpoint in retrievers.items():
            generation = generations[part.corpus, retriever]
            recipe = {
                "what": "ranking",
                "format": _FORMAT,
                "application": prepared.applications[name].digest,
                "generation": generation.digest,
                "depth": plan.grid.ranking_depth,
            }
            found = store.find("ranking", digest_of(recipe))
            if found is None:
                application, corpus = prepared.applications[name], prepared.corpus_of(plan, name)
                calls.append(((name, retriever), store, recipe, application, corpus, generation, checkpoint))
            else:
                rankings[name, retriever] = found
    done = run_tasks(_rank, calls, workers=plan.resources.embed)
    rankings.update(progress.track(done, "rank", total=len(calls), unit="rankings") if calls else ())
    rankings |= _fuse_all(plan, store, rankings)
    listed = [name for name in retrievers if name != "bm25" or plan.grid.bm25]  # BM25 may be there as a member only
    order = [*listed, *plan.grid.fusions]
    return {(name, retriever): rankings[name, retriever] for name in plan.applications for retriever in order}


def _rank(
    key: Key,
    store: Store,
    recipe: dict[str, object],
    application: Artifact,
    corpus: Artifact,
    generation: Artifact,
    checkpoint: Artifact | None,
) -> tuple[Key, Artifact]:
    queries = read_queries(application, *SPLITS)
    retriever = open_retriever(corpus, generation, checkpoint)
    ranking = retriever.rank(queries["query_id"].to_list(), queries["text"].to_list(), int(str(recipe["depth"])))
    draft = store.draft("ranking", recipe)
    draft.table("ranking.parquet", ranking.to_arrow())
    return key, draft.publish({"application": key[0], "retriever": key[1], "queries": len(queries)})


def _fuse_all(plan: Plan, store: Store, rankings: Mapping[Key, Artifact]) -> dict[Key, Artifact]:
    fused = {}
    for name in plan.applications:
        for retriever, fusion in plan.grid.fusions.items():
            key, members = (name, retriever), [rankings[name, member] for member in fusion.of]
            fused[key] = fuse(store, key, members, constant=fusion.constant, depth=plan.grid.ranking_depth)
    return fused


def fuse(store: Store, key: Key, members: Sequence[Artifact], *, constant: int, depth: int) -> Artifact:
    """The ranking that fuses others (see `fuse_rankings`), from what they list: no model is opened."""
    recipe = {
        "what": "ranking",
        "format": _FORMAT,
        "fused": sorted(member.digest for member in members),  # their order changes nothing
        "constant": constant,
        "depth": depth,
    }
    found = store.find("ranking", digest_of(recipe))
    if found is not None:
        return found
    ranking = fuse_rankings([read_ranking(member) for member in members], constant, depth)
    draft = store.draft("ranking", recipe)
    draft.table("ranking.parquet", ranking.to_arrow())
    return draft.publish({"application": key[0], "retriever": key[1], "queries": members[0].meta["queries"]})


def read_ranking(artifact: Artifact) -> pl.DataFrame:
    """query_id, doc_id, score float32, rank uint32."""
    return pl.DataFrame(artifact.read_table("ranking.parquet"))
