"""From names to artifacts: what a composition of a plan pins, and which compositions a report lets be released."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pyarrow import fs

from mixstage.composition import Composition
from mixstage.corpus.tables import Corpus
from mixstage.errors import ReleaseError
from mixstage.index.generation import Generation
from mixstage.models.checkpoint import Checkpoint, RetrieverModel, open_encoder, open_reranker
from mixstage.models.lexical import Bm25
from mixstage.plan.schema import GridPlan, Plan
from mixstage.release.record import Fusion, Member, Pin
from mixstage.release.registry import Registry
from mixstage.report.report import Report
from mixstage.selection.choose import Decision
from mixstage.selection.verdict import Ruling, Word
from mixstage.store.store import Store


def open_registry(plan: Plan, store: Store) -> Registry:
    """The plan's registry: its URL, or SQLite beside a store on disk."""
    if plan.serving.registry is not None:
        return Registry(plan.serving.registry)
    if not isinstance(store.filesystem, fs.LocalFileSystem):
        raise ReleaseError(
            f"the store {store.uri} is not on a disk: set serving.registry to a database URL (postgresql://...)"
        )
    return Registry(f"sqlite:///{Path(store.root) / 'registry.db'}")


def make_pin(
    grid: GridPlan,
    composition: Composition,
    corpus: Corpus,
    retrievers: Sequence[tuple[Generation, RetrieverModel]],
    rerankers: Mapping[str, Checkpoint],
    report: Report,
) -> Pin:
    """The pin of a composition of the grid.

    retrievers: (generation, its retriever) of the composition's retriever, or of each member of a fusion.
    Raises ReleaseError if a generation and its retriever do not belong together, or a fusion is asked for more
    documents than it ranks.
    """
    if composition.reranker != "none" and composition.reranker not in rerankers:
        raise ReleaseError(f"no reranker {composition.reranker!r}: there are {', '.join(rerankers)}")
    members = tuple(_member(corpus, generation, retriever) for generation, retriever in retrievers)
    fusion = _fusion(grid, composition, members)
    return Pin(
        composition=composition,
        corpus=corpus.digest,
        generation="" if fusion else members[0].generation,
        retriever=None if fusion else members[0].retriever,
        reranker=None if composition.reranker == "none" else rerankers[composition.reranker].digest,
        report=report.digest,
        fusion=fusion,
    )


def replay_golden(retrievers: Sequence[RetrieverModel], reranker: Checkpoint | None) -> None:
    """Opens each checkpoint as a server will; reranker: None if the composition has none.

    Raises ModelError if one drifted from its golden records.
    """
    for retriever in retrievers:
        if isinstance(retriever, Checkpoint):
            open_encoder(retriever)
    if reranker is not None:
        open_reranker(reranker)


def _fusion(grid: GridPlan, composition: Composition, members: tuple[Member, ...]) -> Fusion | None:
    part = grid.fusions.get(composition.retriever)
    if part is None:
        return None
    if composition.depth > grid.ranking_depth:
        raise ReleaseError(
            f"{composition}: a fusion ranks {grid.ranking_depth} documents; lower the depth or raise grid.ranking_depth"
        )
    if part.weights:
        members = tuple(replace(m, weight=weight) for m, weight in zip(members, part.weights, strict=True))
    return Fusion(members=members, constant=part.constant, depth=grid.ranking_depth)


def _member(corpus: Corpus, generation: Generation, retriever: RetrieverModel) -> Member:
    if generation.retriever != retriever.fingerprint:
        raise ReleaseError(
            f"generation {generation.digest} was made by retriever {generation.retriever}, not "
            f"{retriever.fingerprint}: their vectors can't be compared; index the corpus with this retriever first"
        )
    if generation.corpus != corpus.digest:
        raise ReleaseError(f"generation {generation.digest} holds another corpus than {corpus.digest}: index it first")
    return Member(generation=generation.digest, retriever=None if isinstance(retriever, Bm25) else retriever.digest)


def verdict_on(choice: Decision, verdict: Ruling, composition: Composition) -> Word | None:
    """What the test says of a composition: the verdict for the two that were compared, None for all others."""
    return verdict.word if composition in (choice.winner, choice.incumbent) else None


def refuse_unproven(choice: Decision, verdict: Ruling, composition: Composition) -> None:
    """Raises ReleaseError unless the composition is the incumbent, which every verdict leaves in place, or a winner
    whose verdict is SHIP."""
    if composition == choice.incumbent:
        return
    if composition != choice.winner:
        why = f"no test compared it with the incumbent, only {choice.winner}"
    elif verdict.word != "SHIP":
        why = f"the verdict on it is {verdict.sentence}"
    else:
        return
    raise ReleaseError(f"{composition} is not proven: {why}\nRelease it all the same with --force --why 'the reason'")
