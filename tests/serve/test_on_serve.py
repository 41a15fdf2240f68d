"""The gateway's protection on a real Serve, whose proxy, handles and exception handlers have ways of their own."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mixstage.client import Client, ClientError
from mixstage.plan.serving import ServingPlan
from mixstage.release.record import Member, Note
from mixstage.serve.answering.components import ServeComponents, retriever_app
from mixstage.serve.problems import Refusal
from tests.serve.fakes import Answering, pin

pytestmark = pytest.mark.long
MEMBER = Member(generation="g", retriever="r")
DEADLINE_S = 3.0


@dataclass
class Served:
    """A gateway over one component that notes what it is at."""

    url: str
    notes: Path

    def count(self, what: str) -> int:
        return len(list(self.notes.glob(f"{what}-*")))

    def search(self, query: str) -> tuple[int | None, float | None]:
        """Status of the refusal and its Retry-After."""
        with pytest.raises(ClientError) as refused, Client(self.url, retries=0, deadline_s=30) as client:
            client.search("app", query)
        assert refused.value.problem is not None, refused.value
        return refused.value.status, refused.value.retry_after_s


def component(notes: Path) -> type:
    """A retriever that waits, fails or answers as the query says; local, so that workers need no tests to import."""

    class Component:
        async def retrieve(self, query: str, depth: int, filter: object = None) -> list[dict[str, Any]]:
            if query == "bad":
                raise ValueError("a secret")
            if query == "slow":
                name = time.monotonic_ns()
                (notes / f"started-{name}").touch()
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    (notes / f"cancelled-{name}").touch()
                    raise
            return [{"id": "d1", "title": "", "text": "text of d1", "score": 1.0}]

    return Component


def ingress(url: str, serving: ServingPlan) -> type:
    class Gateway:
        def __serve_build_asgi_app__(self) -> Any:
            from mixstage.release.registry import Registry
            from mixstage.serve.answering.routing import Routes
            from mixstage.serve.gateway import build_api

            return build_api(Routes(Registry(url)), ServeComponents(), serving)

    return Gateway


@pytest.fixture(scope="module")
def served(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    from ray import serve

    folder = tmp_path_factory.mktemp("on-serve")
    registry = Answering(f"sqlite:///{folder}/registry.db")
    registry.promote("app", pin("retriever:robust@5 > none@10"), Note())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    narrow = serve.deployment(component(folder)).options(  # type: ignore[attr-defined]
        max_ongoing_requests=2, max_queued_requests=1, ray_actor_options={"num_cpus": 0.1}
    )
    serve.run(narrow.bind(), name=retriever_app(MEMBER), route_prefix=None)
    gateway = serve.deployment(serve.ingress()(ingress(registry.url, ServingPlan(deadline_s=DEADLINE_S))))  # type: ignore[attr-defined]
    serve.run(gateway.options(ray_actor_options={"num_cpus": 0.1}).bind(), name="gateway")
    yield Served(f"http://127.0.0.1:{port}", folder)
    serve.shutdown()


def assert_soon(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def test_a_deadline_cancels_the_component(served: Served) -> None:
    before = served.count("cancelled")
    assert served.search("slow") == (504, None)
    assert_soon(lambda: served.count("cancelled") == before + 1)


def test_a_client_that_leaves_cancels_the_component(served: Served) -> None:
    started, before = served.count("started"), served.count("cancelled")

    async def leave() -> None:
        async with httpx2.AsyncClient(base_url=served.url) as client:
            call = client.post("/v1/search", json={"application": "app", "query": "slow"}, timeout=30)
            task = asyncio.create_task(call)
            while served.count("started") == started:
                await asyncio.sleep(0.02)
            task.cancel()

    asyncio.run(leave())
    assert_soon(lambda: served.count("cancelled") == before + 1)
    told = httpx2.get(f"{served.url}/metrics").text
    assert 'application="app",route="/v1/search",status="499"' in told


def test_a_full_queue_says_when_to_come_again(served: Served) -> None:
    refused: list[tuple[int | None, float | None]] = []
    callers = [threading.Thread(target=lambda: refused.append(served.search("slow"))) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sorted(refused) == [(503, 1.0)] * 3 + [(504, None)] * 3  # two at work, one in the queue


def test_a_component_that_fails_is_told_without_its_secrets(served: Served) -> None:
    answer = httpx2.post(f"{served.url}/v1/search", json={"application": "app", "query": "bad"}, timeout=30)
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in answer.text


def test_a_body_in_parts_is_refused_through_the_proxy(served: Served) -> None:
    parts = (b" " * 4096 for _ in range(2100))  # 8,400 KiB
    answer = httpx2.post(
        f"{served.url}/v1/search", content=parts, headers={"content-type": "application/json"}, timeout=30
    )
    assert (answer.status_code, answer.json()["detail"]) == (413, "the body is larger than 8192 KiB")


def test_a_handle_serves_an_application_that_was_removed_and_has_come_back(served: Served) -> None:
    from ray import serve

    member = Member(generation="gone", retriever="r")
    app, components = retriever_app(member), ServeComponents()
    deployed = serve.deployment(component(served.notes)).options(ray_actor_options={"num_cpus": 0.1})  # type: ignore[attr-defined]

    def ask() -> list[dict[str, Any]]:
        return asyncio.run(asyncio.wait_for(components.retrieve(member, "deposit", 5), 20))

    def answers() -> bool:
        try:
            return ask()[0]["id"] == "d1"
        except Refusal as refusal:
            assert (refusal.status, refusal.headers) == (503, {"retry-after": "1"})
            return False

    assert not answers()  # there never was such an application
    serve.run(deployed.bind(), name=app, route_prefix=None)
    assert answers()
    handle = components.handles[app]
    serve.delete(app)
    assert not answers()
    serve.run(deployed.bind(), name=app, route_prefix=None)
    assert_soon(answers)
    assert components.handles[app] is handle
    serve.delete(app)
