"""Phase 2 as a whole: every corpus embedded and indexed once per retriever stage, plus BM25."""

from collections.abc import Mapping

from mixstage.corpus.prepare import Prepared
from mixstage.indexing.embed import embed
from mixstage.indexing.generation import build_generation
from mixstage.plan import Plan
from mixstage.progress import Progress
from mixstage.stage_plan import Workers
from mixstage.store import Artifact, Store


def index_all(
    plan: Plan, store: Store, prepared: Prepared, retrievers: Mapping[str, Artifact | None], progress: Progress
) -> dict[tuple[str, str], Artifact]:
    """(corpus, retriever) -> generation, for every corpus and retriever (name -> checkpoint, None for BM25)."""
    return {
        (corpus_name, name): index(
            store,
            corpus,
            checkpoint,
            label=f"{corpus_name} with {name}",
            workers=plan.resources.embed,
            progress=progress,
        )
        for corpus_name, corpus in prepared.corpora.items()
        for name, checkpoint in retrievers.items()
    }


def index(
    store: Store, corpus: Artifact, checkpoint: Artifact | None, *, label: str, workers: Workers, progress: Progress
) -> Artifact:
    """The generation of a corpus under one retriever, None for BM25; what is missing is embedded first."""
    embedding = None
    if checkpoint is not None:
        embedding = embed(store, corpus, checkpoint, label=label, workers=workers, progress=progress)
    return build_generation(store, corpus, embedding)
