"""Rows that are no promotion: trials, their ends, failures, and what is served meanwhile; on SQLite and PostgreSQL."""

from itertools import pairwise

import pytest

from mixstage.composition import Composition
from mixstage.errors import ReleaseError
from mixstage.release.record import Note, Pin, Release, Standing
from mixstage.release.registry import Registry

NOTE = Note(author="ada")


def pin(name: str) -> Pin:
    composition = Composition.parse(f"retriever:{name}@20 > reranker:k@10")
    return Pin(composition=composition, corpus="c", generation=f"g-{name}", retriever=None, reranker="k", report="r")


def promoted(registry: Registry, *names: str) -> list[Release]:
    """Releases that answer."""
    releases = [registry.promote("app", pin(name), NOTE) for name in names]
    for release in releases:
        registry.mark_answering(release)
    return releases


def standing(registry: Registry) -> Standing:
    return registry.standings()["app"]


def test_a_release_is_served_when_it_was_seen_answering(registry: Registry) -> None:
    first = registry.promote("app", pin("A"), NOTE)
    assert (standing(registry).wanted, standing(registry).served) == (first, None)
    registry.mark_answering(first)
    second = registry.promote("app", pin("B"), NOTE)
    assert (standing(registry).wanted, standing(registry).served) == (second, first)
    registry.mark_answering(second)
    registry.mark_answering(second)
    assert standing(registry).served == second


def test_a_trial_is_not_live(registry: Registry) -> None:
    (live,) = promoted(registry, "A")
    trial = registry.try_out("app", "canary", pin("B"), 0.1, NOTE)
    assert (trial.number, trial.action, trial.share, trial.pin) == (2, "canary", 0.1, pin("B"))
    assert registry.live() == {"app": live}
    assert (standing(registry).trial, standing(registry).active_trial) == (trial, None)
    registry.mark_answering(trial)
    assert standing(registry).active_trial == trial
    assert registry.history("app") == [live, trial]


def test_a_trial_takes_the_place_of_the_one_before(registry: Registry) -> None:
    promoted(registry, "A")
    registry.try_out("app", "shadow", pin("B"), 1.0, NOTE)
    wider = registry.try_out("app", "canary", pin("B"), 0.5, NOTE)
    assert standing(registry).trial == wider


def test_a_promotion_ends_the_trial(registry: Registry) -> None:
    promoted(registry, "A")
    trial = registry.try_out("app", "canary", pin("B"), 0.1, NOTE)
    release = registry.promote("app", pin("B"), NOTE, seen=trial.number)
    assert (standing(registry).trial, standing(registry).wanted) == (None, release)


def test_promoting_the_live_pin_during_a_trial_changes_nothing(registry: Registry) -> None:
    promoted(registry, *"AB")
    trial = registry.try_out("app", "canary", pin("C"), 0.1, NOTE)
    assert registry.promote("app", pin("B"), NOTE).number == 2
    assert standing(registry).trial == trial
    assert registry.rollback("app", NOTE).pin == pin("A")


def test_an_end_leaves_the_live_pin_and_what_can_be_undone(registry: Registry) -> None:
    promoted(registry, *"AB")
    registry.try_out("app", "canary", pin("C"), 0.1, NOTE)
    ended = registry.end_trial("app", NOTE)
    assert (ended.action, ended.pin, standing(registry).trial) == ("end", pin("B"), None)
    assert registry.rollback("app", NOTE).pin == pin("A")


def test_a_rollback_during_a_trial_goes_below_the_live_pin(registry: Registry) -> None:
    promoted(registry, *"AB")
    registry.try_out("app", "canary", pin("C"), 0.1, NOTE)
    assert registry.rollback("app", NOTE).pin == pin("A")


def test_what_can_not_be_tried_or_ended_is_refused(registry: Registry) -> None:
    with pytest.raises(ReleaseError, match="no release yet"):
        registry.try_out("app", "canary", pin("A"), 0.1, NOTE)
    first = registry.promote("app", pin("A"), NOTE)
    with pytest.raises(ReleaseError, match="release 1 of 'app' does not answer yet"):
        registry.try_out("app", "canary", pin("B"), 0.1, NOTE)
    registry.mark_answering(first)
    with pytest.raises(ReleaseError, match="nothing to try"):
        registry.try_out("app", "canary", pin("A"), 0.1, NOTE)
    with pytest.raises(ReleaseError, match="nothing is on trial"):
        registry.end_trial("app", NOTE)
    assert len(registry.history("app")) == 1


def test_a_failed_promotion_pins_again_what_was_live(registry: Registry) -> None:
    for name in "ABC":
        registry.promote("app", pin(name), NOTE)
    failed = registry.fail("app", Note(reason="did not start"), seen=3)
    assert failed is not None
    assert (failed.number, failed.action, failed.pin, failed.note.reason) == (4, "failed", pin("B"), "did not start")
    assert registry.rollback("app", NOTE).pin == pin("A")


def test_a_failed_rollback_pins_again_what_was_live(registry: Registry) -> None:
    for name in "ABC":
        registry.promote("app", pin(name), NOTE)
    registry.rollback("app", NOTE)
    failed = registry.fail("app", NOTE, seen=4)
    assert failed is not None and failed.pin == pin("C")
    assert registry.rollback("app", NOTE).pin == pin("B")


def test_a_failed_trial_ends(registry: Registry) -> None:
    promoted(registry, "A")
    registry.try_out("app", "shadow", pin("B"), 1.0, NOTE)
    ended = registry.fail("app", NOTE, seen=2)
    assert ended is not None and (ended.action, ended.pin) == ("end", pin("A"))


def test_a_first_release_can_not_fail_to_anything(registry: Registry) -> None:
    registry.promote("app", pin("A"), NOTE)
    assert registry.fail("app", NOTE, seen=1) is None
    assert len(registry.history("app")) == 1


def test_who_fails_a_release_that_was_replaced_loses(registry: Registry) -> None:
    for name in "AB":
        registry.promote("app", pin(name), NOTE)
    registry.promote("app", pin("C"), NOTE)
    with pytest.raises(ReleaseError, match="at release 3, not 2"):
        registry.fail("app", NOTE, seen=2)


def test_what_a_failure_or_an_ended_trial_went_back_to_can_not_fail_to_anything(registry: Registry) -> None:
    promoted(registry, *"AB")
    registry.try_out("app", "canary", pin("C"), 0.1, NOTE)
    ended = registry.end_trial("app", NOTE)
    assert registry.fail("app", NOTE, seen=ended.number) is None
    registry.promote("app", pin("D"), NOTE)
    failed = registry.fail("app", NOTE, seen=5)
    assert failed is not None and registry.fail("app", NOTE, seen=failed.number) is None
    assert (registry.live()["app"].pin, len(registry.history("app"))) == (pin("B"), 6)


def test_what_is_served_is_pinned_until_the_row_that_follows_it_answers(registry: Registry) -> None:
    promoted(registry, *"AB")
    registry.rollback("app", NOTE)
    assert registry.pinned() == {"g-A", "g-B"}
    registry.mark_answering(registry.live()["app"])
    assert registry.pinned() == {"g-A"}


def test_the_generation_of_a_trial_is_pinned_as_long_as_it_runs(registry: Registry) -> None:
    promoted(registry, "A")
    registry.try_out("app", "canary", pin("B"), 0.1, NOTE)
    assert registry.pinned() == {"g-A", "g-B"}
    registry.end_trial("app", NOTE)
    assert registry.pinned() == {"g-A"}


def test_numbers_count_on_over_all_kinds_of_rows(registry: Registry) -> None:
    promoted(registry, "A")
    registry.try_out("app", "canary", pin("B"), 0.1, NOTE)
    registry.end_trial("app", NOTE)
    registry.promote("app", pin("C"), NOTE)
    registry.fail("app", NOTE, seen=4)
    numbers = [release.number for release in registry.history("app")]
    assert all(later == earlier + 1 for earlier, later in pairwise(numbers)) and numbers[-1] == 5
