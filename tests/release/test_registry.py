"""The registry: append-only, compare and swap, rollback that walks back."""

import threading
from pathlib import Path

import pytest

from mixstage.errors import ReleaseError
from mixstage.release.registry import Pin, Registry


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
