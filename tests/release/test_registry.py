"""The registry: append-only, compare and swap, rollback that walks back."""

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mixstage.errors import ReleaseError
from mixstage.release.registry import Fusion, Member, Pin, Registry

# What SQLAlchemy made before there were fusions, as sqlite_master tells it.
OLD_TABLE = """
CREATE TABLE releases (
    application VARCHAR(200) NOT NULL, number INTEGER NOT NULL, action VARCHAR(20) NOT NULL,
    composition VARCHAR(500) NOT NULL, corpus VARCHAR(64) NOT NULL, generation VARCHAR(64) NOT NULL,
    retriever VARCHAR(64), reranker VARCHAR(64), report VARCHAR(64) NOT NULL, created DATETIME NOT NULL,
    PRIMARY KEY (application, number)
)
"""
OLD_ROW = ("app", 1, "promote", "A", "c", "g-A", None, "k", "r", "2026-11-25 10:00:00.000000")


def fused(name: str, constant: int = 60) -> Pin:
    members = (Member(generation="g1", retriever="r1"), Member(generation="g2", retriever=None))
    fusion = Fusion(members=members, constant=constant, depth=100)
    return Pin(composition=name, corpus="c", generation="", retriever=None, reranker="k", report="r", fusion=fusion)


def pin(name: str) -> Pin:
    return Pin(composition=name, corpus="c", generation=f"g-{name}", retriever=None, reranker="k", report="r")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(f"sqlite:///{tmp_path}/registry.db")


def compositions(registry: Registry) -> list[str]:
    return [release.pin.composition for release in registry.history("app")]


def test_promote_appends_and_the_newest_row_is_live(registry: Registry) -> None:
    registry.promote("app", pin("A"))
    registry.promote("app", pin("B"))
    registry.promote("other", pin("C"))
    assert compositions(registry) == ["A", "B"]
    assert {name: (r.number, r.pin) for name, r in registry.live().items()} == {
        "app": (2, pin("B")),
        "other": (1, pin("C")),
    }


def test_promoting_what_is_live_adds_no_row(registry: Registry) -> None:
    first = registry.promote("app", pin("A"))
    assert registry.promote("app", pin("A")) == first
    assert compositions(registry) == ["A"]


def test_rollback_appends_the_pin_before(registry: Registry) -> None:
    for name in "AB":
        registry.promote("app", pin(name))
    back = registry.rollback("app")
    assert (back.number, back.action, back.pin) == (3, "rollback", pin("A"))
    assert compositions(registry) == ["A", "B", "A"]


def test_two_rollbacks_go_back_two_releases(registry: Registry) -> None:
    for name in "ABC":
        registry.promote("app", pin(name))
    assert [registry.rollback("app").pin.composition for _ in range(2)] == ["B", "A"]
    with pytest.raises(ReleaseError, match="no earlier release"):
        registry.rollback("app")


def test_rollback_of_one_application_leaves_the_others(registry: Registry) -> None:
    for app in ("app", "other"):
        registry.promote(app, pin("A"))
        registry.promote(app, pin("B"))
    registry.rollback("app")
    assert {name: r.pin.composition for name, r in registry.live().items()} == {"app": "A", "other": "B"}


def test_rollback_without_history_is_refused(registry: Registry) -> None:
    with pytest.raises(ReleaseError, match="'app' has no earlier release"):
        registry.rollback("app")


def test_a_stale_view_is_refused(registry: Registry) -> None:
    registry.promote("app", pin("A"))
    registry.promote("app", pin("B"), seen=1)
    with pytest.raises(ReleaseError, match="at release 2, not 1"):
        registry.promote("app", pin("C"), seen=1)
    with pytest.raises(ReleaseError, match="at release 2, not 1"):
        registry.rollback("app", seen=1)
    assert compositions(registry) == ["A", "B"]


def test_of_many_racing_writers_one_wins_each_number(registry: Registry) -> None:
    registry.promote("app", pin("A"))
    url = str(registry.engine.url)
    start = threading.Barrier(8)
    outcomes: list[str] = []

    def race(name: str) -> None:
        own = Registry(url)
        start.wait()
        try:
            own.promote("app", pin(name), seen=1)
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
    registry.promote("app", pin("A"))
    again = Registry(str(registry.engine.url)).live()["app"]
    assert again.pin == pin("A")
    assert again.created.year >= 2026


def test_a_fused_pin_is_read_as_it_was_written(registry: Registry) -> None:
    registry.promote("app", fused("F"))
    registry.promote("app", pin("A"))
    registry.rollback("app")
    again = Registry(str(registry.engine.url))
    assert [release.pin for release in again.history("app")] == [fused("F"), pin("A"), fused("F")]
    assert again.live()["app"].pin.members == (
        Member(generation="g1", retriever="r1"),
        Member(generation="g2", retriever=None),
    )
    assert pin("A").members == (Member(generation="g-A", retriever=None),)


def test_members_keep_their_weights_and_other_weights_are_another_release(registry: Registry) -> None:
    members = (Member(generation="g1", retriever="r1", weight=0.75), Member(generation="g2", retriever=None, weight=1))
    weighted = replace(fused("F"), fusion=Fusion(members=members, constant=60, depth=100))
    registry.promote("app", fused("F"))
    assert registry.promote("app", weighted).number == 2
    again = Registry(str(registry.engine.url)).live()["app"].pin.fusion
    assert again is not None and again.weights == (0.75, 1)


def test_another_constant_is_another_release(registry: Registry) -> None:
    registry.promote("app", fused("F"))
    assert registry.promote("app", fused("F")).number == 1
    assert registry.promote("app", fused("F", constant=10)).number == 2


def test_of_two_fused_releases_of_one_number_none_is_half_written(registry: Registry) -> None:
    registry.promote("app", fused("F"))
    history = registry.history("app")
    registry.promote("app", pin("A"))
    with pytest.raises(ReleaseError, match="by someone else just now"):
        registry._append("app", "promote", fused("G"), history, None)  # has not seen A
    assert [release.pin for release in registry.history("app")] == [fused("F"), pin("A")]


def test_a_registry_from_before_fusions_is_read_and_written(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection, connection:
        connection.execute(OLD_TABLE)
        connection.execute(f"INSERT INTO releases VALUES ({', '.join('?' * len(OLD_ROW))})", OLD_ROW)
    registry = Registry(f"sqlite:///{tmp_path}/old.db")
    assert registry.live()["app"].pin == pin("A")
    registry.promote("app", fused("F"), seen=1)
    registry.rollback("app")
    assert [release.pin for release in registry.history("app")] == [pin("A"), fused("F"), pin("A")]
