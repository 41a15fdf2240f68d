"""Deadlines, clients that leave, full queues, dead replicas, bodies that are too large."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError
from sqlalchemy.exc import OperationalError

from mixstage.errors import FilterError, OverloadError
from mixstage.release.record import Member, Note
from mixstage.release.registry import Registry
from mixstage.serve.http.protection import clean_id
from tests.serve.fakes import Fakes, gateway, pin

ASKED = {"application": "app", "query": "deposit"}


@pytest.fixture(autouse=True)
def released(registry: Registry) -> None:
    registry.promote("app", pin("retriever:robust@5 > reranker:refine@10"), Note())


class Silent(Fakes):
    """Never answers, and notes when it is cancelled."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.cancelled = 0

    async def retrieve(
        self, member: Member, query: str, depth: int, filter: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return []


class Failing(Fakes):
    """A reranker that raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def score(self, reranker: str, query: str, documents: list[str]) -> list[float]:
        raise self.error


def test_what_takes_longer_than_the_deadline_is_cancelled_and_answered_504(registry: Registry) -> None:
    silent = Silent()
    answer = gateway(registry, silent, deadline_s=0.2).post("/v1/search", json=ASKED)
    assert (answer.status_code, answer.json()["detail"]) == (504, "no answer in 0.2 s")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert silent.cancelled == 1


def test_a_batch_is_cancelled_as_a_whole(registry: Registry) -> None:
    silent = Silent()
    asked = {"application": "app", "queries": ["a", "b", "c"]}
    answer = gateway(registry, silent, deadline_s=0.5).post("/v1/search/batch", json=asked)
    assert (answer.status_code, silent.cancelled) == (504, 3)


def test_a_request_may_shorten_its_deadline_and_not_lengthen_it(registry: Registry) -> None:
    slow = gateway(registry, Silent(), deadline_s=600)
    assert slow.post("/v1/search", json=ASKED, headers={"x-timeout-ms": "50"}).json()["detail"] == "no answer in 0.05 s"
    quick = gateway(registry, Silent(), deadline_s=0.05)
    assert quick.post("/v1/search", json=ASKED, headers={"x-timeout-ms": "600000"}).status_code == 504


@pytest.mark.parametrize("sent", ["0", "-5", "1.5", "soon", "9" * 5000, "", "٣"])
def test_a_time_limit_that_is_none_is_refused(registry: Registry, sent: str) -> None:
    headers = {"x-timeout-ms": sent.encode()}
    answer = gateway(registry).post("/v1/search", json=ASKED, headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 422


def test_a_client_that_leaves_cancels_the_work(registry: Registry) -> None:
    """As Serve does it: it cancels the task in which it calls the application."""
    silent = Silent()
    api = gateway(registry, silent).app

    async def leave() -> None:
        sent = [{"type": "http.request", "body": b'{"application": "app", "query": "deposit"}'}]

        async def receive() -> dict[str, Any]:
            return sent.pop() if sent else await asyncio.Event().wait()  # type: ignore[return-value]

        async def send(message: object) -> None:
            raise AssertionError(f"nobody is there to read {message}")

        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/v1/search", "headers": headers, "query_string": b""}
        task = asyncio.create_task(api(scope, receive, send))  # type: ignore[arg-type]
        await asyncio.wait_for(silent.asked.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    assert silent.cancelled == 1
    told = TestClient(api).get("/metrics").text
    assert 'mixstage_requests_total{application="app",route="/v1/search",status="499"} 1.0' in told
    assert "mixstage_in_flight 1.0" in told  # this one


def wrapped(cause: Exception) -> Exception:
    """An error of a component as its caller's Serve handle raises it."""
    trace = f"Traceback: File /secret/path.py\n{cause!r}"
    return RayTaskError("score", trace, cause).as_instanceof_cause()  # type: ignore[no-untyped-call, no-any-return]


@pytest.mark.parametrize(
    ("error", "status", "wait"),
    [
        (BackPressureError(5, 4), 503, "1"),
        (BackPressureError(5, 4, 429, 1.5), 429, "2"),
        (wrapped(BackPressureError(5, 4, 503, 3)), 503, "3"),
        (OverloadError("a shard does not answer"), 503, "1"),
        (RayActorError(error_msg="died at /secret/path.py"), 503, "1"),
        (OperationalError("SELECT secret", {}, Exception()), 503, "1"),
        (wrapped(ValueError("a secret pair")), 500, None),
        (ValueError("a secret pair"), 500, None),
        (wrapped(FilterError("no field 'year': there are 'title', 'court'")), 422, None),
    ],
)
def test_a_component_that_fails_is_told_without_its_secrets(
    registry: Registry, error: Exception, status: int, wait: str | None
) -> None:
    answer = gateway(registry, Failing(error)).post("/v1/search", json=ASKED)
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, wait)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status and answer.json()["detail"]
    assert "secret" not in answer.text and "Traceback" not in answer.text


def test_what_the_user_can_mend_is_told_in_the_components_words(registry: Registry) -> None:
    failing = Failing(wrapped(FilterError("no field 'year': there are 'title', 'court'")))
    answer = gateway(registry, failing).post("/v1/search", json=ASKED)
    assert answer.json()["detail"] == "no field 'year': there are 'title', 'court'"


def test_a_score_that_is_no_number_is_no_answer(registry: Registry) -> None:
    class Broken(Fakes):
        async def score(self, reranker: str, query: str, documents: list[str]) -> list[float]:
            return [float("nan")] * len(documents)

    assert gateway(registry, Broken()).post("/v1/search", json=ASKED).status_code == 500


class Body:
    """A body that is sent in parts, and how many of them were taken."""

    def __init__(self, parts: int, size: int) -> None:
        self.left, self.size, self.taken = parts, size, 0

    def __iter__(self) -> Iterator[bytes]:
        while self.left:
            self.left, self.taken = self.left - 1, self.taken + 1
            yield b" " * self.size


def test_a_body_that_says_it_is_too_large_is_refused_unread(registry: Registry) -> None:
    headers = {"content-type": "application/json", "content-length": "2048"}
    answer = gateway(registry, max_body_kib=1).post("/v1/search", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (413, "the body is larger than 1 KiB")


def asgi(api: Callable[..., Awaitable[None]], body: Body, path: str = "/v1/search") -> int:
    """Status of a POST whose body comes in parts, of which none declares the whole."""
    status = 0
    parts = iter(body)

    async def receive() -> dict[str, Any]:
        if not body.left:
            await asyncio.Event().wait()  # a server has nothing more until the client leaves
        return {"type": "http.request", "body": next(parts), "more_body": body.left > 0}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    headers = [(b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
    asyncio.run(api(scope, receive, send))  # type: ignore[arg-type]
    return status


def test_a_body_in_parts_is_refused_when_it_passes_the_limit(registry: Registry) -> None:
    api = gateway(registry, max_body_kib=64).app
    endless = Body(parts=1_000_000, size=16 << 10)
    assert asgi(api, endless) == 413
    assert endless.taken == 5  # four parts are 64 KiB
    assert asgi(api, Body(parts=4, size=16 << 10)) == 422  # 64 KiB of blanks: no JSON, and not too large


@pytest.mark.parametrize("path", ["/rerank", "/v1/search"])
def test_a_body_that_passes_the_limit_with_its_last_part_is_refused_to_whoever_reads_again(
    registry: Registry, path: str
) -> None:
    api = gateway(registry, max_body_kib=64, deadline_s=5).app
    assert asgi(api, Body(parts=5, size=16 << 10), path) == 413  # a wait for more would end as 504


@pytest.mark.parametrize(
    ("sent", "kept"), [("abc", "abc"), ("a\r\nx: y", "axy"), ("é" * 9 + "1", "1"), ("z" * 65, "z" * 64)]
)
def test_ids_are_safe_in_headers_and_logs(sent: str, kept: str) -> None:
    assert clean_id(sent) == kept


def test_an_id_of_nothing_safe_is_replaced() -> None:
    assert len(clean_id("\n\t")) == 32
