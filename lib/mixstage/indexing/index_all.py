"""Phase 2 as a whole: every corpus embedded and indexed once per retriever stage, plus BM25."""

from collections.abc import Mapping

from mixstage.corpus.prepare import Prepared
from mixstage.indexing.embed import embed
from mixstage.indexing.generation import build_generation
from mixstage.plan import Plan
from mixstage.progress import Progress
from mixstage.store import Artifact, Store


def index_all(
    plan: Plan, store: Store, prepared: Prepared, retrievers: Mapping[str, Artifact | None], progress: Progress
) -> dict[tuple[str, str], Artifact]:
    """(corpus, retriever) -> generation, for every corpus and retriever (name -> checkpoint, None for BM25)."""
    generations = {}
    for corpus_name, corpus in prepared.corpora.items():
        for name, checkpoint in retrievers.items():
            embedding = None
            if checkpoint is not None:
                label = f"{corpus_name} with {name}"
                workers = plan.resources.embed
                embedding = embed(store, corpus, checkpoint, label=label, workers=workers, progress=progress)
            generations[corpus_name, name] = build_generation(store, corpus, embedding)
    return generations
