"""Whether components answer: asked by real calls, once for all who want to know."""

import asyncio

import pytest
from fastapi.testclient import TestClient

from mixstage.release.record import Note
from mixstage.release.registry import Registry
from mixstage.serve.answering.components import component_apps
from mixstage.serve.answering.routing import Routes
from mixstage.serve.http.readiness import Readiness
from mixstage.serve.problems import Refusal
from tests.serve.fakes import Fakes, gateway, pin

LIVE = "retriever:robust@5 > 0.5*reranker:refine@10"


@pytest.fixture
def client(registry: Registry) -> TestClient:
    """Of a gateway with one application, which has two components."""
    registry.promote("app", pin(LIVE), Note())
    return gateway(registry)


def test_it_is_ready_when_every_pinned_component_answers(client: TestClient, registry: Registry) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    retriever, reranker = component_apps(pin(LIVE))
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {reranker: "ok", retriever: "ok"})

    class Dead(Fakes):
        async def check(self, app: str) -> None:
            if app == reranker:
                raise ValueError("a secret path")

            raise Refusal(503, "too many requests wait")

    unready = gateway(registry, Dead()).get("/readyz")
    assert unready.status_code == 503
    assert unready.json() == {reranker: "ValueError", retriever: "too many requests wait"}


def test_readiness_has_a_time_limit(client: TestClient, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Fakes):
        async def check(self, app: str) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr("mixstage.serve.http.readiness._ANSWER_S", 0.01)
    unready = gateway(registry, Silent()).get("/readyz")
    assert (unready.status_code, set(unready.json().values())) == (503, {"no answer in 0.01 s"})


def test_a_gateway_with_nothing_to_serve_is_not_ready(registry: Registry) -> None:
    assert gateway(registry).get("/readyz").status_code == 503


def test_those_who_ask_for_readiness_together_or_within_a_second_share_one_call(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counting(Fakes):
        checked = 0

        async def check(self, app: str) -> None:
            self.checked += 1
            await asyncio.sleep(0)

    registry.promote("app", pin(LIVE), Note())  # of two components
    counting = Counting()
    readiness = Readiness(Routes(registry, seconds=-1), counting)  # type: ignore[arg-type]

    async def crowd() -> None:
        told = await asyncio.gather(*(readiness.states() for _ in range(32)), readiness.states())
        assert counting.checked == 2
        assert all(set(said.values()) == {"ok"} and len(said) == 2 for said in told)
        await readiness.states()
        assert counting.checked == 2
        monkeypatch.setattr("mixstage.serve.http.readiness._FRESH_S", 0)
        readiness._fresh_until = 0
        await readiness.states()
        assert counting.checked == 4

    asyncio.run(crowd())


def test_one_who_leaves_takes_the_answer_from_nobody_else(registry: Registry) -> None:
    registry.promote("app", pin(LIVE), Note())
    readiness = Readiness(Routes(registry, seconds=-1), Fakes())  # type: ignore[arg-type]

    async def leave() -> None:
        gone, stays = (asyncio.create_task(readiness.states()) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        assert set((await stays).values()) == {"ok"}

    asyncio.run(leave())


@pytest.mark.usefixtures("client")
def test_the_route_holds_an_answer_for_a_while(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(Fakes):
        checked = 0

        async def check(self, app: str) -> None:
            self.checked += 1

    monkeypatch.setattr("mixstage.serve.http.readiness._FRESH_S", 60)
    counting = Counting()
    with gateway(registry, counting) as crowded:
        assert [crowded.get("/readyz").status_code for _ in range(3)] == [200] * 3
    assert counting.checked == 2
