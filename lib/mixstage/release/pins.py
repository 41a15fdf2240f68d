"""From names to artifacts: what a composition of a plan pins."""

from collections.abc import Mapping
from pathlib import Path

from pyarrow import fs

from mixstage.composition import Composition
from mixstage.errors import ReleaseError
from mixstage.plan import Plan
from mixstage.release.registry import Pin, Registry
from mixstage.store import Artifact, Store


def open_registry(plan: Plan, store: Store) -> Registry:
    """The plan's registry: its URL, or SQLite beside a store on disk."""
    if plan.serving.registry is not None:
        return Registry(plan.serving.registry)
    if not isinstance(store.filesystem, fs.LocalFileSystem):
        raise ReleaseError(
            f"the store {store.uri} is no disk: set serving.registry to a database URL (postgresql://...)"
        )
    return Registry(f"sqlite:///{Path(store.root) / 'registry.db'}")


def make_pin(
    composition: Composition,
    corpus: Artifact,
    generation: Artifact,
    retriever: Artifact | None,
    rerankers: Mapping[str, Artifact],
    report: Artifact,
) -> Pin:
    """The pin of a composition; raises ReleaseError if generation and retriever do not belong together."""
    fingerprint = "bm25" if retriever is None else retriever.meta["fingerprint"]
    if generation.meta["retriever"] != fingerprint:
        raise ReleaseError(
            f"generation {generation.digest} was made by retriever {generation.meta['retriever']}, not {fingerprint}: "
            "their vectors can't be compared; index the corpus with this retriever first"
        )
    if generation.meta["corpus"] != corpus.digest:
        raise ReleaseError(f"generation {generation.digest} holds another corpus than {corpus.digest}: index it first")
    if composition.reranker != "none" and composition.reranker not in rerankers:
        raise ReleaseError(f"no reranker {composition.reranker!r}: there are {', '.join(rerankers)}")
    return Pin(
        composition=str(composition),
        corpus=corpus.digest,
        generation=generation.digest,
        retriever=None if retriever is None else retriever.digest,
        reranker=None if composition.reranker == "none" else rerankers[composition.reranker].digest,
        report=report.digest,
    )
