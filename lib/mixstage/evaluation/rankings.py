"""Rankings: what every retriever stage (and BM25) finds for the dev and test queries of every application."""

from collections.abc import Mapping

import polars as pl

from mixstage.cluster import run_tasks
from mixstage.corpus.application import read_queries
from mixstage.corpus.prepare import Prepared
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
    """The ranking of every (application, retriever) to the plan's ranking depth.

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
    return {(name, retriever): rankings[name, retriever] for name in plan.applications for retriever in retrievers}


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


def read_ranking(artifact: Artifact) -> pl.DataFrame:
    """query_id, doc_id, score float32, rank uint32."""
    return pl.DataFrame(artifact.read_table("ranking.parquet"))
