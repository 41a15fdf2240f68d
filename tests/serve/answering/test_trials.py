"""Trials of a pin on live requests: who is asked, what users get, what is counted; and the controller that decides."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mixstage.composition import Composition
from mixstage.plan.serving import TrialPlan
from mixstage.release.record import Note, Pin, Release
from mixstage.release.registry import Registry
from mixstage.release.trials.controller import step
from mixstage.release.trials.observed import Feedback, Observations
from mixstage.release.trials.tally import bucket
from mixstage.release.trials.watch import FEWEST
from mixstage.serve.answering.recorder import Recorder
from mixstage.serve.answering.search import Hit, SearchResponse
from mixstage.serve.answering.trials import Trials, concerns, ends_at, overlap

LISTS = {"old": ["a", "b", "c", "d"], "new": ["c", "e", "a", "f"]}
Side = Callable[[], Awaitable[None]]


def hits(ids: Iterable[str]) -> list[Hit]:
    return [Hit.model_construct(id=i) for i in ids]


def pin(name: str) -> Pin:
    return Pin(
        composition=Composition.parse(f"retriever:{name}@20 > none@10"),
        corpus="c",
        generation=f"g-{name}",
        retriever=None,
        reranker=None,
        report="r",
    )


async def well() -> None:
    pass


async def failing() -> None:
    raise RuntimeError("no answer")


def taking(seconds: float) -> Side:
    async def slow() -> None:
        await asyncio.sleep(seconds)

    return slow


class Service:
    """One process of a gateway over a registry with a trial, its sides made of a few lines."""

    def __init__(self, registry: Registry, **sides: Side) -> None:
        self.registry = registry
        self.sides: dict[str, Side] = {"old": well, "new": well, **sides}
        self.asked: Counter[str] = Counter()
        self.observations = Observations(registry.engine)
        self.trials = Trials(Recorder(self.observations), patience_s=0.5, copies=4)
        self.users = 0
        self.standing = registry.standings()["app"]

    async def run(self, release: Release) -> SearchResponse:
        name = release.pin.generation.removeprefix("g-")
        self.asked[name] += 1
        await self.sides[name]()
        return SearchResponse.model_construct(
            request_id=f"r{self.users}",
            application="app",
            composition=release.pin.composition,
            release=release.number,
            role="live",
            hits=hits(LISTS[name]),
        )

    async def search(self, user: str | None = None) -> SearchResponse:
        self.users += 1
        key = user or f"user {self.users}"
        return await self.trials.answer(self.standing, key, self.run, query="deposit")

    async def decide(self, limits: TrialPlan | None = None) -> list[Release]:
        await self.trials.recorder.flush()
        written = step(self.registry, self.observations, limits or TrialPlan(), datetime.now(UTC))
        for release in written:
            self.registry.mark_answering(release)  # as the reconciler does: the components run already
        self.standing = self.registry.standings()["app"]
        return written


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    opened = Registry(f"sqlite:///{tmp_path}/registry.db")
    opened.mark_answering(opened.promote("app", pin("old"), Note()))
    return opened


def start(registry: Registry, action: str, share: float) -> Release:
    trial = registry.try_out("app", action, pin("new"), share, Note(author="ada"))
    registry.mark_answering(trial)
    return trial


def ran(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def test_without_a_trial_the_live_pin_answers(registry: Registry) -> None:
    async def work() -> None:
        service = Service(registry)
        answer = await service.search()
        assert (answer.role, answer.release, service.asked) == ("live", 1, {"old": 1})

    ran(work)


def test_a_canary_gets_its_share_of_users_and_each_user_always_the_same_side(registry: Registry) -> None:
    async def work() -> None:
        trial = start(registry, "canary", 0.3)
        service = Service(registry)
        first = {f"user {n}": await service.search(f"user {n}") for n in range(200)}
        for user, answer in first.items():
            assert (await service.search(user)).role == answer.role
        roles = Counter(answer.role for answer in first.values())
        assert 40 <= roles["canary"] <= 80  # binomial: 60, sd 6.5
        assert {answer.release for answer in first.values() if answer.role == "canary"} == {trial.number}
        await service.trials.close()
        seen = service.observations.counts("app", trial.number)
        assert (seen.trial.requests, seen.live.requests) == (2 * roles["canary"], 2 * roles["live"])

    ran(work)


def test_another_trial_draws_other_users(registry: Registry) -> None:
    one, other = start(registry, "canary", 0.5), start(registry, "canary", 0.5)
    users = [f"user {n}" for n in range(400)]
    both = sum(concerns(one, user) and concerns(other, user) for user in users)
    assert 60 < both < 140  # independent draws: 100, sd 8.7


def test_a_canary_that_fails_is_rolled_back_and_no_request_fails(registry: Registry) -> None:
    async def work() -> None:
        trial = start(registry, "canary", 0.5)
        service = Service(registry, new=failing)
        written: list[Release] = []
        while not written:
            answer = await service.search()
            assert (answer.role, answer.release) == ("live", 1)
            written = await service.decide()
        (end,) = written
        assert (end.action, end.note.author, end.pin) == ("end", "mixstage", pin("old"))
        assert end.note.reason.startswith(f"canary {trial.number}, roll back: errors: 1 ({FEWEST} of {FEWEST}), limit")
        assert service.asked["new"] == FEWEST
        for _ in range(20):
            await service.search()
        assert service.asked["new"] == FEWEST  # the trial is over for everyone

    ran(work)


def test_a_request_that_both_sides_refuse_is_not_held_against_the_canary(registry: Registry) -> None:
    async def work() -> None:
        trial = start(registry, "canary", 1.0)
        service = Service(registry, old=failing, new=failing)
        with pytest.raises(RuntimeError, match="no answer"):
            await service.search()
        await service.trials.close()
        assert service.observations.counts("app", trial.number).trial.requests == 0

    ran(work)


def test_a_canary_that_hangs_is_given_up_counted_and_answered_by_the_live_pin(registry: Registry) -> None:
    async def work() -> None:
        trial = start(registry, "canary", 1.0)
        service = Service(registry, new=taking(3600))
        service.trials.patience_s = 0.01
        assert (await service.search()).role == "live"
        await service.trials.close()
        assert service.observations.counts("app", trial.number).trial.errors == 1

    ran(work)


def test_a_caller_in_a_hurry_gets_the_live_answer_in_time_and_is_no_evidence(registry: Registry) -> None:
    async def work() -> None:
        trial = start(registry, "canary", 1.0)
        service = Service(registry, new=taking(3600))
        ends_at.set(asyncio.get_running_loop().time() + 0.1)  # half of that is the trial's: less than its 0.5 s
        async with asyncio.timeout(0.4):
            assert (await service.search()).role == "live"
        await service.trials.close()
        assert service.observations.counts("app", trial.number).trial.requests == 0

    ran(work)


def test_a_shadow_copy_has_time_of_its_own(registry: Registry) -> None:
    async def work() -> None:
        trial = start(registry, "shadow", 1.0)
        service = Service(registry, new=taking(0.05))
        ends_at.set(asyncio.get_running_loop().time() + 0.01)
        await service.search()
        await service.trials.close()
        counted = service.observations.counts("app", trial.number).trial
        assert (counted.answers, counted.errors) == (1, 0)

    ran(work)


def test_a_caller_that_leaves_is_no_failure(registry: Registry) -> None:
    async def work() -> None:
        trial = start(registry, "canary", 1.0)
        service = Service(registry, new=taking(3600))
        asking = asyncio.create_task(service.search())
        await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await service.trials.close()
        assert service.asked == {"new": 1}
        assert service.observations.counts("app", trial.number).trial.requests == 0

    ran(work)


def test_a_slow_canary_is_rolled_back_by_the_live_latency(registry: Registry) -> None:
    async def work() -> None:
        start(registry, "canary", 0.1)
        service = Service(registry, old=taking(0.001), new=taking(0.1))
        written: list[Release] = []
        for _ in range(20):
            answers = await asyncio.gather(*(service.search() for _ in range(30)))
            assert len(answers) == 30
            written = await service.decide()
            if written:
                break
        (end,) = written
        assert (end.action, "roll back: answers slower than" in end.note.reason) == ("end", True)

    ran(work)


def test_a_healthy_canary_is_promoted_to_all_users(registry: Registry) -> None:
    async def work() -> None:
        start(registry, "canary", 0.5)
        service = Service(registry, old=taking(0.02), new=taking(0.005))
        limits = TrialPlan(errors=0.05, slower=3)  # some 90 requests show it kept
        written: list[Release] = []
        for _ in range(30):
            await asyncio.gather(*(service.search() for _ in range(20)))
            written = await service.decide(limits)
            if written:
                break
        (promoted,) = written
        assert (promoted.action, promoted.pin) == ("promote", pin("new"))
        assert "promote: errors: 0 (0 of " in promoted.note.reason
        answer = await service.search()
        assert (answer.role, answer.composition) == ("live", pin("new").composition)

    ran(work)


def test_a_shadow_never_changes_an_answer_nor_waits(registry: Registry) -> None:
    async def work() -> None:
        trial = start(registry, "shadow", 1.0)
        service = Service(registry, new=taking(3600))
        service.trials.patience_s = 0.05
        async with asyncio.timeout(5):
            answers = [await service.search() for _ in range(6)]
        assert [(answer.role, [hit.id for hit in answer.hits]) for answer in answers] == [("live", LISTS["old"])] * 6
        await service.trials.close()
        seen = service.observations.counts("app", trial.number)
        assert (seen.live.requests, seen.trial.errors, seen.trial.dropped) == (6, 4, 2)  # four copies at once at most

    ran(work)


def test_a_shadows_hits_are_compared_with_the_live_ones(registry: Registry) -> None:
    async def work() -> None:
        trial = start(registry, "shadow", 0.5)
        service = Service(registry)
        for _ in range(40):
            await service.search()
            await asyncio.sleep(0)
        await service.trials.close()
        seen = service.observations.counts("app", trial.number)
        assert 8 <= seen.trial.compared == seen.trial.requests == service.asked["new"] == seen.live.requests <= 32
        assert seen.trial.agreement == seen.trial.compared * 0.5  # a and c of four

    ran(work)


def test_overlap_is_of_the_longer_list() -> None:
    assert overlap(hits("abcd"), hits("dcxy")) == 0.5
    assert overlap(hits("ab"), hits("abcd")) == 0.5
    assert overlap([], []) == 1.0
    assert overlap(hits("a"), []) == 0.0


def test_interleaved_hits_come_from_both_and_clicks_decide(registry: Registry) -> None:
    async def work() -> None:
        trial = start(registry, "interleave", 1.0)
        service = Service(registry)
        written: list[Release] = []
        limits = TrialPlan(errors=0.2, p95_ms=1000)
        while not written and service.users < 300:
            answer = await service.search()
            shown = [hit.id for hit in answer.hits]
            assert (answer.role, answer.release, len(shown)) == ("interleave", trial.number, 4)
            assert set(shown[:2]) in ({"a", "c"}, {"a", "e"})  # the first two are each side's best that is left
            if "e" in shown:  # what the trial alone finds
                service.observations.add_feedback(
                    Feedback(
                        request_id=f"r{service.users}",
                        application="app",
                        document_id="e",
                        kind="click",
                        user=None,
                        created=datetime.now(UTC),
                    )
                )
            written = await service.decide(limits)
        (promoted,) = written
        assert promoted.action == "promote" and "clicked queries that prefer it: 1 (" in promoted.note.reason
        seen = service.observations.counts("app", trial.number)
        assert seen.wins and not seen.losses
        await service.trials.close()

    ran(work)


def test_an_interleaved_trial_that_fails_leaves_the_live_hits(registry: Registry) -> None:
    async def work() -> None:
        trial = start(registry, "interleave", 1.0)
        service = Service(registry, new=failing)
        answer = await service.search()
        assert (answer.role, [hit.id for hit in answer.hits]) == ("live", LISTS["old"])
        service.sides = {"old": failing, "new": well}
        with pytest.raises(RuntimeError, match="no answer"):
            await service.search()
        await service.trials.close()
        assert service.observations.counts("app", trial.number).trial.errors == 1

    ran(work)


def test_latencies_of_a_side_are_its_own(registry: Registry) -> None:
    async def work() -> None:
        trial = start(registry, "interleave", 1.0)
        service = Service(registry, old=taking(0.15))
        await service.search()
        await service.trials.close()
        seen = service.observations.counts("app", trial.number)
        assert max(seen.trial.latencies) < bucket(150) <= min(seen.live.latencies)

    ran(work)
