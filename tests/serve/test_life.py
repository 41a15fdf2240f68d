"""The whole life of a release on a real Serve, under load: not one request fails."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixstage.client import Client
from mixstage.commands import release as release_job
from mixstage.commands.release import promote
from mixstage.composition import Composition
from mixstage.connection import dashboard
from mixstage.corpus.application import read_queries
from mixstage.pipeline import Pipeline
from mixstage.plan.load import load_plan
from mixstage.plan.serving import ComponentScalePlan, ScalePlan
from mixstage.progress import Progress
from mixstage.release.pins import open_registry
from mixstage.release.record import Note, Pin
from mixstage.release.registry import Registry
from mixstage.serve.app import open_reconciler
from mixstage.serve.operator.apps import Catalogue
from mixstage.serve.operator.reconcile import Reconciler
from mixstage.store.store import Store
from tests.serve.faulty import fault_file
from tests.serve.load import Load
from tests.serve.running import following, free_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
PLAIN = Composition(retriever="base", depth=5, reranker="none")
RERANKED = Composition(retriever="base", depth=5, reranker="base")
LEXICAL = Composition(retriever="bm25", depth=5, reranker="none")


class FaultyCatalogue(Catalogue):
    """Rerankers that go wrong when the test says so."""

    def components(self, pin: Pin) -> dict[str, dict[str, Any]]:
        found = super().components(pin)
        for app in found.values():
            if app["import_path"] == "mixstage.serve.reranker:reranker":
                app["import_path"] = "tests.serve.faulty:reranker"
        return found


@dataclass
class World:
    """A plan without training that is served, and its registry."""

    plan: Path
    pipeline: Pipeline
    registry: Registry
    reconciler: Reconciler

    def load(self) -> Load:
        application = self.pipeline.prepared.applications["counsel"]
        queries = read_queries(application, "test")["text"].to_list()
        return Load(self.url, "counsel", queries)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.pipeline.plan.serving.port}"

    def start_from(self, composition: Composition) -> None:
        """A healthy world that is served with this."""
        self.fault()
        promote(self.pipeline, "counsel", composition, Note(), force=True)
        self.assert_soon(lambda: self.served() == composition)

    def fault(self, **fault: float) -> None:
        fault_file(self.pipeline.store.root).write_text(json.dumps(fault))

    def scale(self, **reranker: float) -> None:
        """Another scale of the reranker, from the next step of the reconciler on; none: as it was."""
        self.serve_with(reranker=ComponentScalePlan(**reranker))

    def serve_with(self, **scales: ScalePlan) -> None:
        self.reconciler.catalogue.serving = self.reconciler.catalogue.serving.model_copy(update=scales)

    def served(self) -> Composition | None:
        served = self.registry.standings()["counsel"].served
        return None if served is None else served.pin.composition

    def job(self, *arguments: str) -> None:
        """`jobs.release`, as a user types it."""
        action, *rest = arguments
        assert release_job.main([action, str(self.plan), "--application", "counsel", *rest]) == 0

    def assert_soon(self, condition: Callable[[], bool], seconds: float = 120.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            rows = [(row.number, row.action, row.note.reason) for row in self.registry.history("counsel")[-4:]]
            assert time.monotonic() < deadline, f"not in {seconds} s; the last rows: {rows}"
            time.sleep(0.2)


@pytest.fixture(scope="module")
def world(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("life")
    plan_file = folder / "plan.yaml"
    plan_file.write_text(
        yaml.safe_dump(
            {
                "name": "life",
                "store": str(folder / "store"),
                "corpora": {"statutes": {"source": "sample://statutes"}},
                "applications": {
                    "counsel": {"corpus": "statutes", "source": "sample://counsel", "queries": {"dev": 10, "test": 15}}
                },
                "retriever": {"base": "hashing://256"},
                "reranker": {"base": "hashing://256"},
                "grid": {"depths": [5], "ranking_depth": 20},
                "serving": {
                    "port": free_port(),
                    "start_s": 60,
                    "retain_s": 5,
                    "trial": {"errors": 0.05, "p95_ms": 1500},  # decided by a hundred requests
                },
            }
        )
    )
    plan = load_plan(plan_file)
    pipeline = Pipeline(plan, Store(plan.store), Progress())
    promote(pipeline, "counsel", PLAIN, Note(), force=True)
    registry = open_registry(plan, pipeline.store)
    reconciler = open_reconciler(plan, pipeline.store, registry)
    own = reconciler.catalogue
    reconciler.catalogue = FaultyCatalogue(own.serving, own.store, own.registry, own.environment)
    with following(reconciler):
        yield World(plan_file, pipeline, registry, reconciler)


def test_a_promotion_and_the_rollback_of_one_component(world: World) -> None:
    world.start_from(PLAIN)
    with world.load() as load:
        promote(world.pipeline, "counsel", RERANKED, Note(), force=True)
        world.assert_soon(lambda: load.composition() == str(RERANKED))
        world.job("rollback", "--component", "reranker", "--why", "a test")
        world.assert_soon(lambda: load.composition() == str(PLAIN))
        promote(world.pipeline, "counsel", LEXICAL, Note(), force=True)
        world.assert_soon(lambda: load.composition() == str(LEXICAL))
        world.job("rollback")
        world.assert_soon(lambda: load.composition() == str(PLAIN))
        world.assert_soon(lambda: not any(name.startswith("reranker") for name in world.reconciler.cluster.apps()))
    assert load.failed == []
    assert {answer.body["composition"] for answer in load.answers} == {str(PLAIN), str(RERANKED), str(LEXICAL)}


def test_a_component_that_can_not_start_leaves_users_with_the_last_good_one(world: World) -> None:
    world.start_from(PLAIN)
    with world.load() as load:
        pin = world.registry.live()["counsel"].pin
        broken = replace(pin, composition=RERANKED, reranker="0" * 24)
        promoted = world.registry.promote("counsel", broken, Note())
        world.assert_soon(lambda: world.registry.live()["counsel"].number > promoted.number)
    failed = world.registry.live()["counsel"]
    assert (failed.action, failed.pin) == ("failed", pin)
    assert f"reranker-{'0' * 12} is DEPLOY_FAILED" in failed.note.reason
    assert load.failed == []
    assert {answer.body["composition"] for answer in load.answers} == {str(PLAIN)}


def test_more_replicas_a_killed_one_and_fewer_again(world: World) -> None:
    world.start_from(RERANKED)
    gateways = replicas("gateway")
    with world.load() as load:
        world.scale(min_replicas=2, max_replicas=2)
        world.assert_soon(lambda: len(replicas("reranker")) == 2)
        victim = replicas("reranker")[0]
        os.kill(victim, signal.SIGKILL)
        world.assert_soon(lambda: victim not in replicas("reranker") and len(replicas("reranker")) == 2)
        world.scale()
        world.assert_soon(lambda: len(replicas("reranker")) == 1)
    assert load.failed == []
    assert len(load.answers) > 50
    assert replicas("gateway") == gateways, "who is scaled alone restarts nobody else"


def test_our_client_loses_nothing_to_a_gateway_that_dies(world: World) -> None:
    world.start_from(PLAIN)
    world.serve_with(gateway=ScalePlan(min_replicas=2, max_replicas=2, cpus=0.1))
    world.assert_soon(lambda: len(replicas("gateway")) == 2)
    ended, answers = threading.Event(), []

    def ask() -> None:
        with Client(world.url) as client:
            while not ended.wait(0.05):
                answers.append(client.search("counsel", "deposit").composition)

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        try:
            world.assert_soon(lambda: len(answers) > 20)
            victim = replicas("gateway")[0]
            os.kill(victim, signal.SIGKILL)
            world.assert_soon(lambda: victim not in replicas("gateway") and len(replicas("gateway")) == 2)
        finally:
            ended.set()
            world.serve_with(gateway=ScalePlan(cpus=0.1))
    for each in asking:
        each.result()  # raises what a search raised
    assert set(answers) == {str(PLAIN)}


def test_load_makes_replicas_and_quiet_takes_them_away(world: World) -> None:
    world.start_from(RERANKED)
    world.fault(delay_s=0.2)  # three callers are then two or three requests under way
    world.scale(max_replicas=2, target_ongoing=1.0, upscale_delay_s=1.0, downscale_delay_s=5.0)
    with world.load() as load:
        world.assert_soon(lambda: len(replicas("reranker")) == 2)
    world.assert_soon(lambda: len(replicas("reranker")) == 1)
    world.scale()
    assert load.failed == []


def test_a_trial_of_what_no_test_speaks_for_has_to_be_forced(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.start_from(PLAIN)
    arguments = [str(world.plan), "--application", "counsel", "--composition", str(LEXICAL)]
    assert release_job.main(["canary", *arguments]) == 2
    assert "is not proven" in capsys.readouterr().err
    assert world.registry.standings()["counsel"].trial is None


def test_a_healthy_canary_is_promoted_by_itself(world: World) -> None:
    world.start_from(PLAIN)
    with world.load() as load:
        world.job("canary", "--composition", str(LEXICAL), "--share", "0.5", "--force", "--why", "a test")
        world.assert_soon(lambda: world.registry.live()["counsel"].pin.composition == LEXICAL, 300)
        world.assert_soon(lambda: load.composition() == str(LEXICAL))
    promoted = world.registry.live()["counsel"]
    assert (promoted.action, promoted.note.author) == ("promote", "mixstage")
    assert load.failed == []
    tried = [answer for answer in load.answers if answer.body["role"] == "canary"]
    assert {answer.body["composition"] for answer in tried} == {str(LEXICAL)}
    users = {answer.user for answer in tried}
    assert 0 < len(users) < load.users, "a share of the users"
    during = [answer for answer in load.answers if tried[0].at <= answer.at <= tried[-1].at]
    assert not [a for a in during if a.user in users and a.body["role"] == "live"], "each stays on its side"


@pytest.mark.parametrize("fault", [{"error": 1.0}, {"delay_s": 2.0}], ids=["errors", "latency"])
def test_a_canary_that_goes_wrong_is_rolled_back_by_itself(world: World, fault: dict[str, float]) -> None:
    world.start_from(PLAIN)
    live = world.registry.live()["counsel"].pin
    with world.load() as load:
        world.job("canary", "--composition", str(RERANKED), "--share", "0.5", "--force", "--why", "a test")
        world.assert_soon(lambda: world.registry.standings()["counsel"].active_trial is not None)
        world.assert_soon(lambda: any(answer.body.get("role") == "canary" for answer in load.answers))
        world.fault(**fault)
        world.assert_soon(lambda: world.registry.standings()["counsel"].trial is None, 300)
        world.assert_soon(lambda: load.composition() == str(PLAIN))
    ended = world.registry.live()["counsel"]
    assert (ended.action, ended.pin, ended.note.author) == ("end", live, "mixstage")
    assert ("errors:" if "error" in fault else "slower than 1500 ms") in ended.note.reason
    assert load.failed == []


def replicas(kind: str) -> list[int]:
    """Process ids of the replicas that run of a gateway, of rerankers or of retrievers."""
    from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

    apps = ServeSubmissionClient(dashboard()).get_serve_details()["applications"]
    deployments = [d for name, app in apps.items() if name.startswith(kind) for d in app["deployments"].values()]
    return sorted(r["pid"] for each in deployments for r in each["replicas"] if r["state"] == "RUNNING")
