"""What garbage collection takes: generations that are not among the last of a pointer and that no release needs."""

from pathlib import Path

import pytest

from mixstage.composition import Composition
from mixstage.index.generation import Generation
from mixstage.index.pointers import point_to, unneeded_generations
from mixstage.release.record import Fusion, Member, Note, Pin
from mixstage.release.registry import Registry
from mixstage.store.store import Artifact, Store


@pytest.fixture
def generations(store: Store) -> list[Generation]:
    return [store.draft(Generation, {"n": n}).publish({}) for n in range(6)]


def digests(artifacts: list[Artifact]) -> set[str]:
    return {artifact.digest for artifact in artifacts}


def pin(name: str, *members: str) -> Pin:
    """Of a generation of the same name, or of a fusion."""
    fused = Fusion(members=tuple(Member(generation=m, retriever=None) for m in members), constant=60, depth=100)
    return Pin(
        composition=Composition.parse(f"retriever:{name}@20 > none@10"),
        corpus="c",
        generation="" if members else name,
        retriever=None,
        reranker=None,
        report="r",
        fusion=fused if members else None,
    )


def test_the_last_few_of_each_pointer_and_pinned_ones_stay(store: Store, generations: list[Generation]) -> None:
    for n in (0, 1, 2, 3):
        point_to(store, "one", "law", "base", generations[n])
    point_to(store, "two", "law", "base", generations[1])
    assert digests(unneeded_generations(store, [], 2)) == digests([generations[0], *generations[4:]])
    pinned = [generations[0].digest, generations[5].digest]
    assert digests(unneeded_generations(store, pinned, 2)) == {generations[4].digest}
    assert digests(unneeded_generations(store, [], 1)) == digests([generations[0], generations[2], *generations[4:]])
    assert digests(unneeded_generations(store, [], 9)) == digests(generations[4:])


def test_whoever_is_deleted_is_gone_and_the_others_are_whole(store: Store, generations: list[Generation]) -> None:
    point_to(store, "one", "law", "base", generations[0])
    for generation in unneeded_generations(store, [], 1):
        store.delete(generation)
    assert list(store.all(Generation)) == [generations[0]]
    assert [path.name for path in Path(store.root, "generation").iterdir()] == [generations[0].digest]


def test_what_is_live_or_may_be_rolled_back_to_is_pinned(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/registry.db")
    assert registry.pinned() == set()
    for name in "ABC":
        registry.promote("app", pin(name), Note())
    registry.promote("other", pin("F", "g1", "g2"), Note())
    assert registry.pinned() == {"A", "B", "C", "g1", "g2"}
    registry.rollback("app", Note())
    assert registry.pinned() == {"A", "B", "g1", "g2"}  # nothing leads back to C
