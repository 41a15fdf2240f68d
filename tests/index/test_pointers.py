"""Pointers at the newest generation: their order, and that they are old or new, never between."""

from pathlib import Path

import pytest

from mixstage.index.generation import Generation
from mixstage.index.pointers import histories, history, point_to
from mixstage.store.store import Store


@pytest.fixture
def generations(store: Store) -> list[Generation]:
    return [store.draft(Generation, {"n": n}).publish({}) for n in range(6)]


def test_the_newest_comes_first_and_what_comes_back_moves_there(store: Store, generations: list[Generation]) -> None:
    assert history(store, "plan", "law", "base") == []
    a, b, c, *_ = generations
    for generation in (a, b, b, c, a):
        point_to(store, "plan", "law", "base", generation)
    assert history(store, "plan", "law", "base") == [a.digest, c.digest, b.digest]
    assert history(store, "plan", "law", "broad") == history(store, "other", "law", "base") == []


def test_a_pointer_is_replaced_whole(
    store: Store, generations: list[Generation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that dies before the exchange leaves the old one, and one that stays as it is is not written."""
    point_to(store, "plan", "law", "base", generations[0])
    (path,) = Path(store.root, "live").rglob("*.json")
    before = path.stat()
    point_to(store, "plan", "law", "base", generations[0])
    assert path.stat().st_mtime_ns == before.st_mtime_ns

    def dies(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        point_to(store, "plan", "law", "base", generations[1])
    monkeypatch.undo()
    assert history(store, "plan", "law", "base") == [generations[0].digest]
    assert [p.name for p in path.parent.iterdir()] == ["base.json"]


def test_histories_are_those_of_all_plans(store: Store, generations: list[Generation]) -> None:
    point_to(store, "one", "law", "base", generations[0])
    point_to(store, "two", "law", "bm25", generations[1])
    (Path(store.root) / "live/one/law/.writing-x").write_bytes(b"hal")  # of a killed run
    assert sorted(histories(store)) == sorted([[generations[0].digest], [generations[1].digest]])
