"""What a composition pins: the artifacts behind its names, and only such as belong together."""

from typing import Any, TypeVar

import pytest

from mixstage.composition import Composition
from mixstage.corpus.tables import Corpus
from mixstage.errors import ReleaseError
from mixstage.index.generation import Generation
from mixstage.models.checkpoint import Checkpoint, RetrieverModel
from mixstage.models.lexical import BM25
from mixstage.plan.schema import FusionPlan, GridPlan
from mixstage.release.pins import make_pin
from mixstage.release.record import Fusion, Member, Pin
from mixstage.report.report import Report
from mixstage.store.store import Artifact, Store

GRID = GridPlan(ranking_depth=100, fusions={"ensemble": FusionPlan(of=("easy", "hard", "bm25"), constant=30)})
FUSED = Composition.parse("retriever:ensemble@60 > reranker:refine@10")
Found = tuple[Generation, RetrieverModel]
A = TypeVar("A", bound=Artifact)


def artifact(store: Store, kind: type[A], **meta: Any) -> A:
    return store.draft(kind, meta).publish(meta)


@pytest.fixture
def corpus(store: Store) -> Corpus:
    return artifact(store, Corpus, documents=3)


@pytest.fixture
def members(store: Store, corpus: Corpus) -> list[Found]:
    """(generation, checkpoint) of easy, hard and BM25."""
    found: list[Found] = []
    for name in ("easy", "hard", "bm25"):
        model = BM25 if name == "bm25" else artifact(store, Checkpoint, fingerprint=f"print of {name}")
        found.append((artifact(store, Generation, retriever=model.fingerprint, corpus=corpus.digest), model))
    return found


@pytest.fixture
def others(store: Store) -> tuple[dict[str, Checkpoint], Report]:
    """Rerankers and a report."""
    return {"refine": artifact(store, Checkpoint, fingerprint="reranker")}, artifact(store, Report, winner="w")


def test_a_single_retriever_is_pinned_by_its_generation(
    corpus: Corpus, members: list[Found], others: tuple[dict[str, Checkpoint], Report]
) -> None:
    rerankers, report = others
    generation, checkpoint = members[0]
    assert isinstance(checkpoint, Checkpoint)
    composition = Composition.parse("retriever:easy@60 > none@10")
    assert make_pin(GRID, composition, corpus, members[:1], rerankers, report) == Pin(
        composition=composition,
        corpus=corpus.digest,
        generation=generation.digest,
        retriever=checkpoint.digest,
        reranker=None,
        report=report.digest,
    )


def test_a_fusion_pins_every_member_and_what_fuses_them(
    corpus: Corpus, members: list[Found], others: tuple[dict[str, Checkpoint], Report]
) -> None:
    rerankers, report = others
    digests = tuple(
        Member(generation=generation.digest, retriever=model.digest if isinstance(model, Checkpoint) else None)
        for generation, model in members
    )
    assert make_pin(GRID, FUSED, corpus, members, rerankers, report) == Pin(
        composition=FUSED,
        corpus=corpus.digest,
        generation="",
        retriever=None,
        reranker=rerankers["refine"].digest,
        report=report.digest,
        fusion=Fusion(members=digests, constant=30, depth=100),
    )


def test_a_weighted_fusion_pins_each_members_weight(
    corpus: Corpus, members: list[Found], others: tuple[dict[str, Checkpoint], Report]
) -> None:
    weighted = FusionPlan(of=("easy", "hard", "bm25"), method="weighted", weights=(0.5, 0.3, 0.2))
    pinned = make_pin(GridPlan(fusions={"ensemble": weighted}), FUSED, corpus, members, *others).fusion
    assert pinned is not None and pinned.weights == (0.5, 0.3, 0.2)
    assert [member.generation for member in pinned.members] == [generation.digest for generation, _ in members]


def test_the_oracle_is_not_released(
    corpus: Corpus, members: list[Found], others: tuple[dict[str, Checkpoint], Report]
) -> None:
    with pytest.raises(ReleaseError, match="no reranker 'oracle'"):
        make_pin(GRID, Composition.parse("retriever:easy@60 > oracle@10"), corpus, members[:1], *others)


@pytest.mark.parametrize("wrong", range(3))
def test_a_generation_made_by_another_retriever_is_refused_for_each_member(
    wrong: int, corpus: Corpus, members: list[Found], others: tuple[dict[str, Checkpoint], Report]
) -> None:
    members[wrong] = members[wrong][0], members[1 if wrong == 0 else 0][1]
    with pytest.raises(ReleaseError, match=f"generation {members[wrong][0].digest} was made by retriever"):
        make_pin(GRID, FUSED, corpus, members, *others)


@pytest.mark.parametrize("wrong", range(3))
def test_a_generation_of_another_corpus_is_refused_for_each_member(
    wrong: int,
    store: Store,
    corpus: Corpus,
    members: list[Found],
    others: tuple[dict[str, Checkpoint], Report],
) -> None:
    generation, checkpoint = members[wrong]
    members[wrong] = artifact(store, Generation, **{**generation.meta, "corpus": "elsewhere"}), checkpoint
    with pytest.raises(ReleaseError, match="holds another corpus"):
        make_pin(GRID, FUSED, corpus, members, *others)


def test_an_unknown_reranker_is_refused(
    corpus: Corpus, members: list[Found], others: tuple[dict[str, Checkpoint], Report]
) -> None:
    composition = Composition.parse("retriever:ensemble@60 > reranker:gone@10")
    with pytest.raises(ReleaseError, match="no reranker 'gone': there are refine"):
        make_pin(GRID, composition, corpus, members, *others)


def test_a_fusion_hands_on_no_more_than_it_ranks(
    corpus: Corpus, members: list[Found], others: tuple[dict[str, Checkpoint], Report]
) -> None:
    with pytest.raises(ReleaseError, match="a fusion ranks 100 documents"):
        make_pin(GRID, FUSED.at_depth(101), corpus, members, *others)
