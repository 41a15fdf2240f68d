"""What goes wrong behind a route, and how each family says it."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError

from mixstage.errors import FilterError
from mixstage.release.keys import Keys
from mixstage.release.registry import Registry
from mixstage.serve.compat.family import shape_at
from mixstage.serve.compat.routers import FAMILIES, shapes_of
from tests.serve.compat.fakes import Fakes
from tests.serve.fakes import gateway

FULL = BackPressureError(5, 5, 503, 1.5)
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai": ("/v1/embeddings", {"input": "a"}),
    "cohere": ("/v2/rerank", {"query": "q", "documents": ["1"]}),
    "jina": ("/v1/rerank", {"query": "q", "documents": ["1"]}),
    "infinity": ("/rerank", {"query": "q", "documents": ["1"]}),
    "tei": ("/rerank", {"query": "q", "texts": ["1"]}),
}


def said(client: TestClient, family: str) -> tuple[int, Any, str | None, str | None]:
    path, body = REQUESTS[family]
    answer = client.post(path, json=body)
    headers = answer.headers
    return answer.status_code, answer.json(), headers.get("retry-after"), headers.get("x-should-retry")


@pytest.mark.parametrize("family", ["cohere", "jina", "infinity"])
def test_a_full_queue_is_503_with_the_time_to_wait(client: TestClient, components: Fakes, family: str) -> None:
    components.error = FULL
    told = "too many requests wait: come again"
    assert said(client, family) == (503, {"message": told, "detail": told}, "2", None)


def test_a_full_queue_is_a_server_error_to_openai_and_worth_another_try(client: TestClient, components: Fakes) -> None:
    components.error = FULL
    told = {"message": "too many requests wait: come again", "type": "server_error", "param": None, "code": None}
    assert said(client, "openai") == (503, {"error": told}, "2", None)


def test_a_full_queue_is_429_to_text_embeddings_inference(client: TestClient, components: Fakes) -> None:
    components.error = FULL
    told = {"error": "too many requests wait: come again", "error_type": "Overloaded"}
    assert said(client, "tei") == (429, told, "2", None)


@pytest.mark.parametrize(("family", "status"), [("openai", 500), ("cohere", 500), ("infinity", 500), ("tei", 424)])
def test_a_component_that_fails_is_not_quoted(client: TestClient, components: Fakes, family: str, status: int) -> None:
    components.error = ValueError("secret path /data")
    found, body, _, _ = said(client, family)
    assert found == status
    assert "secret" not in str(body)
    assert "log says why" in str(body)


@pytest.mark.parametrize("family", REQUESTS)
def test_a_component_that_died_each_time_is_worth_another_try(
    client: TestClient, components: Fakes, family: str
) -> None:
    components.error = RayActorError()
    status, _, wait, again = said(client, family)
    assert (status, wait, again) == (429 if family == "tei" else 503, "1", None)


@pytest.mark.parametrize(("path", "key", "status"), [("/v2/rerank", "documents", 504), ("/rerank", "texts", 424)])
def test_a_deadline_is_kept_and_told_in_the_familys_shape(
    client: TestClient, registry: Registry, path: str, key: str, status: int
) -> None:
    answer = gateway(registry, Fakes(), deadline_s=0.3).post(path, json={"query": "slow", key: ["1"]})
    assert answer.status_code == status
    assert set(answer.json()) == ({"message", "detail"} if key == "documents" else {"error", "error_type"})
    assert "no answer in 0.3 s" in answer.text


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"query": "\\ud800", "texts": []}'])
@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/rerank", "/v2/rerank", "/rerank", "/embed", "/retrieval"])
def test_bodies_that_no_one_can_read_are_a_callers_mistake(client: TestClient, path: str, content: bytes) -> None:
    answer = client.post(path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert len(answer.text) < 500


def test_numbers_that_are_none_do_not_reach_a_client(client: TestClient) -> None:
    answer = client.post("/v1/rerank", json={"query": "q", "documents": ["1", "nan"]})
    assert (answer.status_code, answer.json()["message"]) == (
        500,
        "the reranker's score of one of the documents is not finite",
    )
    assert client.post("/rerank", json={"query": "q", "texts": ["inf"]}).status_code == 424


def test_what_a_component_refuses_of_a_filter_is_told_without_the_trace_that_ray_adds(
    client: TestClient, components: Fakes
) -> None:
    components.error = RayTaskError("retrieve", "Traceback: line 1", FilterError("no field 'year' is declared"))
    answer = client.post("/retrieval", json={"knowledge_id": "app", "query": "deposit"})
    assert (answer.status_code, answer.json()["error_msg"]) == (422, "no field 'year' is declared")


def paths_of(client: TestClient) -> dict[str, Any]:
    native = ("/v1/search", "/v1/applications", "/v1/compositions", "/v1/feedback", "/healthz", "/readyz", "/metrics")
    paths = client.get("/openapi.json").json()["paths"]
    return {path: methods for path, methods in paths.items() if path != "/" and not path.startswith(native)}


def test_each_familys_paths_are_known_as_its_own(client: TestClient) -> None:
    paths = paths_of(client)
    assert len(paths) == 16
    shapes = shapes_of(FAMILIES.values())
    assert all(shape_at(path, shapes) is not None for path in paths)
    assert [shape_at(path, shapes) for path in ("/v1/search", "/", "/v1")] == [None] * 3


KEYS: list[tuple[str, set[str]]] = [
    ("/v1/embeddings", {"error"}),
    ("/v1/vector_stores/app/search", {"error"}),
    ("/v2/rerank", {"message", "detail"}),
    ("/rerank", {"message", "detail", "error", "error_type"}),  # whose it is, the body would tell
    ("/tei/reranker:refine/rerank", {"error", "error_type"}),
    ("/retrieval", {"error_code", "error_msg"}),
    ("/plugin/app/query", {"detail"}),
]


@pytest.mark.parametrize(("path", "keys"), KEYS)
def test_also_what_stands_before_the_routes_speaks_the_familys_language(
    client: TestClient, registry: Registry, path: str, keys: set[str]
) -> None:
    large = client.post(path, content=b"x" * (9 << 20), headers={"content-type": "application/json"})
    assert (large.status_code, set(large.json())) == (413, keys)
    Keys(registry.engine).create("one")
    locked = client.post(path, json={})
    assert (locked.status_code, set(locked.json())) == (401, keys)
    assert locked.headers["www-authenticate"] == "Bearer" and locked.headers["x-request-id"]
