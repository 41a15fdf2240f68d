"""The reconciler against a cluster of ten lines: what is started when, what is routed to, what is marked as failed."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from mixstage.composition import Composition
from mixstage.plan.serving import ServingPlan
from mixstage.release.record import Note, Pin
from mixstage.release.registry import Registry
from mixstage.serve.operator.apps import GATEWAY, Catalogue
from mixstage.serve.operator.reconcile import AppState, Reconciler


@dataclass
class Fake:
    """A Serve whose applications run as soon as they are deployed, except those that are said to be slow or broken."""

    running: dict[str, AppState] = field(default_factory=dict)
    slow: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    mute: set[str] = field(default_factory=set)  # run, but answer nothing
    deploys: list[list[str]] = field(default_factory=list)

    def apps(self) -> dict[str, AppState]:
        return {
            name: replace(state, status=self._status(name), running=int(self._status(name) == "RUNNING"))
            for name, state in self.running.items()
        }

    def _status(self, name: str) -> str:
        return "DEPLOYING" if name in self.slow else "DEPLOY_FAILED" if name in self.broken else "RUNNING"

    def deploy(self, http: dict[str, Any], apps: list[dict[str, Any]]) -> None:
        self.deploys.append(sorted(app["name"] for app in apps))
        self.running = {app["name"]: AppState(status="", message="no such file", config=app, running=1) for app in apps}

    def check(self, app: str) -> None:
        if app in self.mute:
            raise RuntimeError("vectors are not finite")


class World:
    """A registry, a cluster, a clock, and the reconciler between them."""

    def __init__(self, folder: Path) -> None:
        self.registry = Registry(f"sqlite:///{folder}/registry.db")
        self.cluster = Fake()
        self.now = 0.0
        self.restart()

    def restart(self) -> None:
        catalogue = Catalogue(ServingPlan(start_s=60, retain_s=30), "store", self.registry.url, {})
        self.reconciler = Reconciler(self.registry, self.cluster, catalogue, clock=lambda: self.now)

    def settle(self) -> list[str]:
        """Steps until nothing happens any more."""
        told: list[str] = []
        while new := self.reconciler.step():
            told += new
            assert len(told) < 50, told
        return told

    def promote(self, pin: Pin, application: str = "counsel") -> None:
        self.registry.promote(application, pin, Note())

    def served(self, application: str = "counsel") -> Composition | None:
        served = self.registry.standings()[application].served
        return None if served is None else served.pin.composition

    @property
    def apps(self) -> list[str]:
        return sorted(self.cluster.running)


def pin(retriever: str, reranker: str) -> Pin:
    return Pin(
        composition=Composition.parse(f"retriever:{retriever}@20 > reranker:{reranker}@10"),
        corpus="c",
        generation=retriever,
        retriever=f"checkpoint-{retriever}",
        reranker=reranker,
        report="p",
    )


OLD, NEW = pin("r1", "k1"), pin("r1", "k2")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_components_come_first_and_the_gateway_when_they_answer(world: World) -> None:
    world.promote(OLD)
    world.cluster.slow = {"reranker-k1"}
    world.settle()
    assert world.apps == ["reranker-k1", "retriever-r1"]
    assert world.served() is None
    assert not world.reconciler.is_serving()
    world.cluster.slow = set()
    world.settle()
    assert world.apps == [GATEWAY, "reranker-k1", "retriever-r1"]
    assert world.served() == OLD.composition
    assert world.reconciler.is_serving()


def test_nothing_to_do_deploys_nothing(world: World) -> None:
    world.promote(OLD)
    world.settle()
    deploys = len(world.cluster.deploys)
    assert world.reconciler.step() == []
    assert len(world.cluster.deploys) == deploys


def test_the_old_pin_is_served_until_the_new_component_answers(world: World) -> None:
    world.promote(OLD)
    world.settle()
    world.promote(NEW)
    world.cluster.mute = {"reranker-k2"}
    world.settle()
    assert "reranker-k2" in world.apps
    assert world.served() == OLD.composition
    world.cluster.mute = set()
    assert world.settle() == ["counsel: release 2 answers: " + str(NEW.composition)]
    assert world.served() == NEW.composition
    assert "reranker-k1" in world.apps, "a gateway that has not heard of it still asks the old one"


def test_a_component_that_fails_to_start_fails_its_release_and_goes(world: World) -> None:
    world.promote(OLD)
    world.settle()
    world.promote(NEW)
    world.cluster.broken = {"reranker-k2"}
    told = world.settle()
    rows = world.registry.history("counsel")
    assert [row.action for row in rows] == ["promote", "promote", "failed"]
    assert rows[-1].pin == OLD
    assert (
        "release 2 (promote) did not come to answer: reranker-k2 is DEPLOY_FAILED no such file" in rows[-1].note.reason
    )
    assert rows[-1].note.author == "mixstage"
    assert any("stays" in sentence for sentence in told)
    assert world.served() == OLD.composition
    assert "reranker-k2" not in world.apps


def test_a_component_that_does_not_come_in_time_fails_its_release(world: World) -> None:
    world.promote(OLD)
    world.settle()
    world.promote(NEW)
    world.cluster.slow = {"reranker-k2"}
    world.settle()
    world.now = 60.0
    assert world.settle() == []
    world.now = 60.5
    world.settle()
    assert world.registry.live()["counsel"].action == "failed"
    assert world.registry.live()["counsel"].pin == OLD


def test_a_first_release_that_fails_is_told_and_stays_wanted(world: World) -> None:
    world.promote(OLD)
    world.cluster.broken = {"reranker-k1"}
    assert "nothing was live before it" in " ".join(world.settle())
    assert world.registry.live()["counsel"].pin == OLD
    assert GATEWAY not in world.apps


def test_a_first_release_that_serve_gave_up_is_tried_again_after_a_while(world: World) -> None:
    world.promote(OLD)
    world.cluster.broken = {"reranker-k1"}
    world.settle()
    deploys = len(world.cluster.deploys)
    world.now += 29
    world.settle()
    assert len(world.cluster.deploys) == deploys
    world.now += 1
    world.settle()
    assert world.cluster.deploys[deploys:] == [["retriever-r1"], ["reranker-k1", "retriever-r1"]], "gone, then anew"
    world.cluster.broken = set()
    world.settle()
    assert world.served() == OLD.composition


def test_a_failure_that_leads_to_another_failure_is_marked_once(world: World) -> None:
    world.promote(OLD)
    world.cluster.broken = {"retriever-r1"}
    world.settle()
    world.promote(NEW)
    world.settle()
    for _ in range(5):
        world.now += 31
        world.settle()
    assert [row.action for row in world.registry.history("counsel")] == ["promote", "promote", "failed"]


def test_an_ended_trial_whose_live_pin_is_away_rolls_nothing_back(world: World) -> None:
    for each in (OLD, NEW):
        world.promote(each)
        world.settle()
    world.registry.try_out("counsel", "canary", pin("r1", "k3"), 0.1, Note())
    world.cluster.broken = {"reranker-k2", "reranker-k3"}
    world.settle()
    world.now += 61
    world.settle()
    assert [row.action for row in world.registry.history("counsel")] == ["promote", "promote", "canary", "end"]
    assert world.registry.live()["counsel"].pin == NEW


def test_a_rollback_after_a_failure_goes_below_the_release_that_stayed(world: World) -> None:
    first = pin("r0", "k1")
    for each in (first, OLD, NEW):
        world.cluster.broken = {"reranker-k2"}
        world.promote(each)
        world.settle()
    world.registry.rollback("counsel", Note())
    assert world.registry.live()["counsel"].pin == first


def test_what_nothing_pins_is_kept_for_a_while_and_then_stopped(world: World) -> None:
    world.promote(OLD)
    world.settle()
    world.promote(NEW)
    world.settle()
    world.now = 30.0
    world.settle()
    assert "reranker-k1" in world.apps
    world.now = 61.0
    assert "stopping reranker-k1" in world.settle()
    assert world.apps == [GATEWAY, "reranker-k2", "retriever-r1"]


def test_a_rollback_within_that_time_starts_nothing(world: World) -> None:
    world.promote(OLD)
    world.settle()
    world.promote(NEW)
    world.settle()
    deploys = len(world.cluster.deploys)
    world.registry.rollback("counsel", Note())
    world.settle()
    assert world.served() == OLD.composition
    assert len(world.cluster.deploys) == deploys


def test_another_reconciler_takes_over_without_stopping_what_still_may_be_asked(world: World) -> None:
    world.promote(OLD)
    world.settle()
    world.promote(NEW)
    world.settle()
    world.restart()
    assert world.settle() == []
    assert "reranker-k1" in world.apps
    world.now = 31.0
    assert "stopping reranker-k1" in world.settle()


def test_an_application_that_someone_stopped_is_started_again(world: World) -> None:
    world.promote(OLD)
    world.settle()
    del world.cluster.running["reranker-k1"]
    world.settle()
    assert "reranker-k1" in world.apps


def test_a_component_is_shared_by_the_applications_that_pin_it(world: World) -> None:
    world.promote(OLD)
    world.promote(pin("r2", "k1"), "casework")
    world.settle()
    assert world.apps == [GATEWAY, "reranker-k1", "retriever-r1", "retriever-r2"]


def test_a_trial_is_tried_when_its_components_answer_and_ends_when_they_fail(world: World) -> None:
    world.promote(OLD)
    world.settle()
    world.registry.try_out("counsel", "canary", NEW, 0.1, Note())
    world.cluster.slow = {"reranker-k2"}
    world.settle()
    assert world.registry.standings()["counsel"].active_trial is None
    world.cluster.slow = set()
    world.settle()
    trial = world.registry.standings()["counsel"].active_trial
    assert trial is not None and trial.pin == NEW
    world.registry.try_out("counsel", "canary", pin("r1", "k3"), 0.1, Note())
    world.cluster.broken = {"reranker-k3"}
    world.settle()
    assert [row.action for row in world.registry.history("counsel")] == ["promote", "canary", "canary", "end"]
    assert world.served() == OLD.composition
    assert world.registry.standings()["counsel"].trial is None


def test_a_release_that_was_replaced_meanwhile_is_not_marked_as_failed(world: World) -> None:
    class Raced(Registry):
        def fail(self, application: str, note: Note, *, seen: int) -> None:
            world.promote(pin("r1", "k3"))
            super().fail(application, note, seen=seen)

    world.promote(OLD)
    world.settle()
    world.promote(NEW)
    world.cluster.broken = {"reranker-k2"}
    world.reconciler.registry = Raced(world.registry.url)
    world.reconciler.step()  # starts it
    world.reconciler.step()  # sees it broken, too late
    world.settle()
    assert [row.action for row in world.registry.history("counsel")] == ["promote", "promote", "promote"]
    assert world.served() == pin("r1", "k3").composition
