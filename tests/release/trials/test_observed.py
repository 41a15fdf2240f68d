"""What gateways observe and what the controller makes of it; on SQLite and on PostgreSQL."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mixstage.composition import Composition
from mixstage.plan.serving import TrialPlan
from mixstage.release.record import Note, Pin, Release
from mixstage.release.registry import Registry
from mixstage.release.trials.controller import look, step
from mixstage.release.trials.interleave import Drafted
from mixstage.release.trials.observed import Feedback, Impression, Kind, Observations, hash_user
from mixstage.release.trials.tally import Tally, bucket
from mixstage.release.trials.watch import TrialCounts

NOW = datetime.now(UTC)
DRAFTED: tuple[Drafted, ...] = (("a", "live"), ("b", "trial"), ("c", None))


def pin(name: str) -> Pin:
    return Pin(
        composition=Composition.parse(f"retriever:{name}@20 > none@10"),
        corpus="c",
        generation=f"g-{name}",
        retriever=None,
        reranker=None,
        report="r",
    )


def tally(answers: int = 0, errors: int = 0, ms: float = 50) -> Tally:
    return Tally(requests=answers + errors, errors=errors, latencies=Counter({bucket(ms): answers}))


def impression(request_id: str, number: int = 2, role: str = "interleave", age: float = 0) -> Impression:
    return Impression(
        request_id=request_id,
        application="app",
        number=number,
        role=role,
        user=hash_user("app", "ada"),
        query="deposit",
        documents=DRAFTED,
        created=NOW - timedelta(days=age),
    )


def feedback(request_id: str, document_id: str, kind: Kind = "click", application: str = "app") -> Feedback:
    return Feedback(
        request_id=request_id, application=application, document_id=document_id, kind=kind, user=None, created=NOW
    )


@pytest.fixture
def observations(registry: Registry) -> Observations:
    registry.mark_answering(registry.promote("app", pin("old"), Note(verdict="KEEP")))
    return Observations(registry.engine)


def trial(registry: Registry, action: str = "canary") -> Release:
    release = registry.try_out("app", action, pin("new"), 0.5, Note(verdict="SHIP", author="ada"))
    registry.mark_answering(release)
    return release


def test_a_replica_replaces_its_own_counts_and_replicas_add_up(registry: Registry, observations: Observations) -> None:
    trial(registry)
    observations.write("one", {("app", 2, "trial"): tally(3), ("app", 2, "live"): tally(5)}, [])
    observations.write("one", {("app", 2, "trial"): tally(4, errors=1)}, [])
    observations.write("two", {("app", 2, "trial"): tally(10, ms=900)}, [])
    seen = observations.counts("app", 2)
    assert seen.trial == Tally(requests=15, errors=1, latencies=Counter({bucket(50): 4, bucket(900): 10}))
    assert seen.live == tally(5)
    assert observations.counts("app", 1) == TrialCounts()


def test_clicks_on_interleaved_hits_are_wins_losses_and_ties_of_queries(
    registry: Registry, observations: Observations
) -> None:
    trial(registry, "interleave")
    shown = [impression(name) for name in ("win", "loss", "tie", "nothing", "marked")]
    observations.write("one", {}, [*shown, impression("live", number=1, role="live"), impression("win")])
    for request_id, document_id in [("win", "b"), ("win", "b"), ("loss", "a"), ("tie", "a"), ("tie", "b")]:
        observations.add_feedback(feedback(request_id, document_id))
    observations.add_feedback(feedback("marked", "b", kind="relevant"))  # no click
    observations.add_feedback(feedback("live", "b"))  # of another row
    observations.add_feedback(feedback("nothing", "b", application="other"))
    observations.add_feedback(feedback("unknown", "b"))
    seen = observations.counts("app", 2)
    assert (seen.wins, seen.losses, seen.ties) == (1, 1, 1)


def test_the_first_live_p95_is_kept_whatever_comes_later(registry: Registry, observations: Observations) -> None:
    release = trial(registry)
    observations.write("one", {("app", 2, "live"): tally(199)}, [])
    assert look(observations, release).live_p95_ms is None
    observations.write("one", {("app", 2, "live"): tally(200)}, [])
    first = look(observations, release).live_p95_ms
    assert first == pytest.approx(50, rel=0.045)
    observations.write("one", {("app", 2, "live"): tally(900, ms=700)}, [])
    assert look(observations, release).live_p95_ms == first
    observations.keep_baseline("app", 2, 1.0)
    assert look(observations, release).live_p95_ms == first


def test_feedback_comes_back_with_what_was_shown(registry: Registry, observations: Observations) -> None:
    observations.write("one", {}, [impression("r1")])
    observations.add_feedback(feedback("r1", "a", kind="not_relevant"))
    observations.add_feedback(feedback("r2", "a"))
    observations.add_feedback(feedback("r1", "a", application="other"))
    assert observations.feedback("app") == [
        (feedback("r1", "a", kind="not_relevant"), impression("r1")),
        (feedback("r2", "a"), None),
    ]


def test_old_impressions_without_feedback_are_forgotten(registry: Registry, observations: Observations) -> None:
    observations.write("one", {}, [impression("old", age=31), impression("told", age=31), impression("new", age=29)])
    observations.add_feedback(feedback("told", "a"))
    assert observations.forget(NOW - timedelta(days=30)) == 1
    for name in ("old", "new"):
        observations.add_feedback(feedback(name, "a"))
    assert [(f.request_id, i is not None) for f, i in observations.feedback("app")] == [
        ("told", True),
        ("old", False),
        ("new", True),
    ]


def test_a_failing_trial_is_ended_once_with_its_reason(registry: Registry, observations: Observations) -> None:
    release = trial(registry)
    assert step(registry, observations, TrialPlan(), NOW) == []
    observations.write("one", {("app", 2, "trial"): tally(errors=4)}, [])
    assert step(registry, observations, TrialPlan(), NOW) == []
    observations.write("two", {("app", 2, "trial"): tally(errors=2)}, [])
    (end,) = step(registry, observations, TrialPlan(), NOW)
    assert (end.action, end.number, end.pin) == ("end", release.number + 1, pin("old"))
    assert (end.note.author, end.note.verdict) == ("mixstage", "KEEP")
    assert end.note.reason.startswith("canary 2, roll back: errors: 1 (6 of 6), limit 0.01; evidence ")
    assert step(registry, observations, TrialPlan(), NOW) == []
    assert registry.live()["app"] == registry.history("app")[-1] == end


def test_a_trial_that_keeps_its_limits_is_promoted(registry: Registry, observations: Observations) -> None:
    trial(registry)
    observations.write("one", {("app", 2, "trial"): tally(500), ("app", 2, "live"): tally(500)}, [])
    (promoted,) = step(registry, observations, TrialPlan(), NOW)
    assert (promoted.action, promoted.pin, promoted.note.verdict) == ("promote", pin("new"), "SHIP")
    assert promoted.note.reason.startswith("canary 2, promote: errors: 0 (0 of 500), limit 0.01; ")
    assert registry.rollback("app", Note()).pin == pin("old")  # as any promotion, it can be undone


def test_a_trial_whose_components_do_not_answer_yet_is_left_alone(
    registry: Registry, observations: Observations
) -> None:
    registry.try_out("app", "canary", pin("new"), 0.5, Note())
    assert step(registry, observations, TrialPlan(), NOW + timedelta(hours=99)) == []


def test_a_trial_ends_undecided_when_its_time_is_over(registry: Registry, observations: Observations) -> None:
    trial(registry)
    (end,) = step(registry, observations, TrialPlan(hours=2), NOW + timedelta(hours=2.1))
    assert end.action == "end"
    assert end.note.reason.startswith("canary 2, inconclusive: not decided in 2 hours. errors: nothing yet (0 of 0)")


def test_who_released_meanwhile_has_the_last_word(registry: Registry, observations: Observations) -> None:
    class Late(Observations):
        """Someone promotes between what is read and what is written."""

        def counts(self, application: str, number: int) -> TrialCounts:
            registry.promote("app", pin("other"), Note())
            return TrialCounts(trial=tally(errors=50))

    trial(registry)
    assert step(registry, Late(registry.engine), TrialPlan(), NOW) == []
    assert registry.live()["app"].pin == pin("other")


def test_what_no_database_takes_is_stored_without_what_is_wrong(registry: Registry, observations: Observations) -> None:
    observations.write("one", {}, [replace(impression("r" * 300), query="a\0b\ud800c")])
    observations.add_feedback(feedback("r" * 200, "a"))
    ((_, shown),) = observations.feedback("app")
    assert shown is not None and shown.query == "a b?c"


def test_a_users_key_is_stored_hashed_and_differs_between_applications() -> None:
    assert hash_user("app", "ada") == hash_user("app", "ada") != hash_user("other", "ada")
    assert len(hash_user("app", "ada")) == 32 and "ada" not in hash_user("app", "ada")
    hash_user("app", "\ud800")  # a lone surrogate can be sent as JSON
