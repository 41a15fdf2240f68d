"""The registry: append-only, compare and swap, rollback that walks back; on SQLite and on PostgreSQL."""

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mixstage.composition import Composition
from mixstage.errors import ReleaseError
from mixstage.release.record import Fusion, Member, Note, Pin
from mixstage.release.registry import Registry

# What SQLAlchemy made before there were fusions, as sqlite_master tells it.
OLD_TABLE = """
CREATE TABLE releases (
    application VARCHAR(200) NOT NULL, number INTEGER NOT NULL, action VARCHAR(20) NOT NULL,
    composition VARCHAR(500) NOT NULL, corpus VARCHAR(64) NOT NULL, generation VARCHAR(64) NOT NULL,
    retriever VARCHAR(64), reranker VARCHAR(64), report VARCHAR(64) NOT NULL, created DATETIME NOT NULL,
    PRIMARY KEY (application, number)
)
"""
OLD_ROW = (
    "app",
    1,
    "promote",
    "retriever:A@20 > reranker:k@10",
    "c",
    "g-A",
    None,
    "k",
    "r",
    "2026-11-25 10:00:00.000000",
)


def named(name: str) -> Composition:
    return Composition.parse(f"retriever:{name}@20 > reranker:k@10")


def fused(name: str, constant: int = 60) -> Pin:
    members = (Member(generation="g1", retriever="r1"), Member(generation="g2", retriever=None))
    fusion = Fusion(members=members, constant=constant, depth=100)
    return Pin(
        composition=named(name), corpus="c", generation="", retriever=None, reranker="k", report="r", fusion=fusion
    )


def pin(name: str) -> Pin:
    return Pin(composition=named(name), corpus="c", generation=f"g-{name}", retriever=None, reranker="k", report="r")


NOTE = Note(verdict="SHIP", author="ada", reason="better on every application")


def compositions(registry: Registry) -> list[str]:
    return [release.pin.composition.retriever for release in registry.history("app")]


def test_promote_appends_and_the_newest_row_is_live(registry: Registry) -> None:
    registry.promote("app", pin("A"), NOTE)
    registry.promote("app", pin("B"), NOTE)
    registry.promote("other", pin("C"), NOTE)
    assert compositions(registry) == ["A", "B"]
    assert {name: (r.number, r.pin) for name, r in registry.live().items()} == {
        "app": (2, pin("B")),
        "other": (1, pin("C")),
    }


def test_promoting_what_is_live_adds_no_row(registry: Registry) -> None:
    first = registry.promote("app", pin("A"), NOTE)
    assert registry.promote("app", pin("A"), NOTE) == first
    assert compositions(registry) == ["A"]


def test_rollback_appends_the_pin_before(registry: Registry) -> None:
    for name in "AB":
        registry.promote("app", pin(name), NOTE)
    back = registry.rollback("app", NOTE)
    assert (back.number, back.action, back.pin) == (3, "rollback", pin("A"))
    assert compositions(registry) == ["A", "B", "A"]


def test_two_rollbacks_go_back_two_releases(registry: Registry) -> None:
    for name in "ABC":
        registry.promote("app", pin(name), NOTE)
    assert [registry.rollback("app", NOTE).pin for _ in range(2)] == [pin("B"), pin("A")]
    with pytest.raises(ReleaseError, match="no earlier release"):
        registry.rollback("app", NOTE)


def test_rollback_of_one_application_leaves_the_others(registry: Registry) -> None:
    for app in ("app", "other"):
        registry.promote(app, pin("A"), NOTE)
        registry.promote(app, pin("B"), NOTE)
    registry.rollback("app", NOTE)
    assert {name: r.pin for name, r in registry.live().items()} == {"app": pin("A"), "other": pin("B")}


def test_rollback_without_history_is_refused(registry: Registry) -> None:
    with pytest.raises(ReleaseError, match="'app' has no earlier release"):
        registry.rollback("app", NOTE)


def test_a_stale_view_is_refused(registry: Registry) -> None:
    registry.promote("app", pin("A"), NOTE)
    registry.promote("app", pin("B"), NOTE, seen=1)
    with pytest.raises(ReleaseError, match="at release 2, not 1"):
        registry.promote("app", pin("C"), NOTE, seen=1)
    with pytest.raises(ReleaseError, match="at release 2, not 1"):
        registry.rollback("app", NOTE, seen=1)
    assert compositions(registry) == ["A", "B"]


def test_of_many_racing_writers_one_wins_each_number(registry: Registry) -> None:
    registry.promote("app", pin("A"), NOTE)
    url = registry.engine.url.render_as_string(hide_password=False)
    start = threading.Barrier(8)
    outcomes: list[str] = []

    def race(name: str) -> None:
        own = Registry(url)
        start.wait()
        try:
            own.promote("app", pin(name), NOTE, seen=1)
            outcomes.append("won")
        except ReleaseError:
            outcomes.append("lost")

    threads = [threading.Thread(target=race, args=(f"W{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]
    assert len(compositions(registry)) == 2


def test_releases_survive_a_new_connection(registry: Registry) -> None:
    registry.promote("app", pin("A"), NOTE)
    again = Registry(registry.engine.url.render_as_string(hide_password=False)).live()["app"]
    assert again.pin == pin("A")
    assert again.created.year >= 2026


def test_a_fused_pin_is_read_as_it_was_written(registry: Registry) -> None:
    registry.promote("app", fused("F"), NOTE)
    registry.promote("app", pin("A"), NOTE)
    registry.rollback("app", NOTE)
    again = Registry(registry.engine.url.render_as_string(hide_password=False))
    assert [release.pin for release in again.history("app")] == [fused("F"), pin("A"), fused("F")]
    assert again.live()["app"].pin.members == (
        Member(generation="g1", retriever="r1"),
        Member(generation="g2", retriever=None),
    )
    assert pin("A").members == (Member(generation="g-A", retriever=None),)


def test_members_keep_their_weights_and_other_weights_are_another_release(registry: Registry) -> None:
    members = (Member(generation="g1", retriever="r1", weight=0.75), Member(generation="g2", retriever=None, weight=1))
    weighted = replace(fused("F"), fusion=Fusion(members=members, constant=60, depth=100))
    registry.promote("app", fused("F"), NOTE)
    assert registry.promote("app", weighted, NOTE).number == 2
    again = Registry(registry.engine.url.render_as_string(hide_password=False)).live()["app"].pin.fusion
    assert again is not None and again.weights == (0.75, 1)


def test_another_constant_is_another_release(registry: Registry) -> None:
    registry.promote("app", fused("F"), NOTE)
    assert registry.promote("app", fused("F"), NOTE).number == 1
    assert registry.promote("app", fused("F", constant=10), NOTE).number == 2


def test_of_two_fused_releases_of_one_number_none_is_half_written(registry: Registry) -> None:
    registry.promote("app", fused("F"), NOTE)
    history = registry.history("app")
    registry.promote("app", pin("A"), NOTE)
    with pytest.raises(ReleaseError, match="by someone else just now"):
        registry._append("app", "promote", fused("G"), NOTE, history, None)  # has not seen A
    assert [release.pin for release in registry.history("app")] == [fused("F"), pin("A")]


def test_a_registry_from_before_fusions_is_read_and_written(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection, connection:
        connection.execute(OLD_TABLE)
        connection.execute(f"INSERT INTO releases VALUES ({', '.join('?' * len(OLD_ROW))})", OLD_ROW)
    registry = Registry(f"sqlite:///{tmp_path}/old.db")
    assert registry.live()["app"].pin == pin("A")
    registry.promote("app", fused("F"), NOTE, seen=1)
    registry.rollback("app", NOTE)
    assert [release.pin for release in registry.history("app")] == [pin("A"), fused("F"), pin("A")]


def test_who_why_and_the_verdict_are_kept_with_each_release(registry: Registry) -> None:
    registry.promote("app", pin("A"), NOTE)
    registry.promote("app", pin("B"), Note(author="bob", reason="a customer asked"))
    registry.rollback("app", Note(author="ada", reason="slower"))
    notes = [release.note for release in registry.history("app")]
    assert notes == [NOTE, Note(author="bob", reason="a customer asked"), Note(author="ada", reason="slower")]


def parts(retriever: str, reranker: str, *, depth: int = 20, mix: str = "") -> Pin:
    """A pin whose digests tell which parts it has."""
    name = Composition.parse(f"retriever:{retriever}@{depth} > {mix}reranker:{reranker}@10")
    return Pin(
        composition=name, corpus="c", generation=f"g-{retriever}", retriever=retriever, reranker=reranker, report="r"
    )


def test_rolling_back_one_component_touches_nothing_else(registry: Registry) -> None:
    registry.promote("app", parts("broad", "broad", mix="0.5*"), NOTE)
    registry.promote("other", parts("robust", "robust"), NOTE)
    registry.promote("app", parts("robust", "robust", depth=60), NOTE)
    back = registry.rollback("app", NOTE, component="reranker")
    assert back.action == "rollback reranker"
    assert back.pin == parts("robust", "broad", depth=60, mix="0.5*")
    assert registry.live()["other"].pin == parts("robust", "robust")


def test_a_retriever_goes_back_with_what_it_searches(registry: Registry) -> None:
    old = replace(fused("ensemble"), corpus="c-old")
    registry.promote("app", old, NOTE)
    registry.promote("app", parts("robust", "robust"), NOTE)
    back = registry.rollback("app", NOTE, component="retriever").pin
    assert str(back.composition) == "retriever:ensemble@20 > reranker:robust@10"
    assert (back.fusion, back.generation, back.retriever) == (old.fusion, "", None)
    assert (back.corpus, back.reranker) == ("c-old", "robust")


def test_component_by_component_walks_back_and_then_stops(registry: Registry) -> None:
    for pinned in (parts("a", "x"), parts("b", "y"), parts("c", "y"), parts("c", "z")):
        registry.promote("app", pinned, NOTE)
    found = [registry.rollback("app", NOTE, component="reranker").pin.reranker for _ in range(2)]
    assert found == ["y", "x"]  # past both releases that had y, and never to z again
    with pytest.raises(ReleaseError, match="'app' has no earlier reranker"):
        registry.rollback("app", NOTE, component="reranker")
    assert [registry.rollback("app", NOTE, component="retriever").pin for _ in range(2)] == [
        parts("b", "x"),
        parts("a", "x"),
    ]
    # As a whole: to what was live before the release whose components went back.
    assert registry.rollback("app", NOTE).pin == parts("c", "y")


def test_a_release_as_json_tells_depth_mix_k_and_the_row_before(registry: Registry) -> None:
    first = registry.promote("app", parts("a", "x", depth=60, mix="0.25*"), NOTE).to_json()
    assert (first["depth"], first["mix"], first["k"], first["previous"]) == (60, 0.25, 10, None)
    assert (first["verdict"], first["author"], first["reason"]) == ("SHIP", "ada", "better on every application")
    assert registry.promote("app", parts("a", "y"), NOTE).to_json()["previous"] == 1


def test_the_generations_that_a_rollback_of_the_retriever_may_bring_back_are_pinned(registry: Registry) -> None:
    for pinned in (parts("a", "x"), parts("b", "y"), parts("c", "y")):
        registry.promote("app", pinned, NOTE)
    registry.rollback("app", NOTE, component="retriever")
    registry.rollback("app", NOTE, component="retriever")
    assert registry.pinned() == {"g-a", "g-b"}  # as it is now, and as the releases below it were; nothing leads to c
