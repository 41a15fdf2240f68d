"""Who is let in, on every route."""

import sqlite3
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from mixstage.release.keys import Keys
from mixstage.release.record import Note
from mixstage.release.registry import Registry
from mixstage.serve.http.protection import KeyRing
from tests.serve.fakes import gateway, pin

CLOSED = [
    ("POST", "/v1/search"),
    ("POST", "/v1/search/batch"),
    ("GET", "/v1/applications"),
    ("GET", "/v1/compositions/app"),
    ("GET", "/openapi.json"),
    ("GET", "/nowhere"),
    ("GET", "/healthz/more"),
    ("GET", "/healthz/"),
]
OPEN = ["/", "/healthz", "/readyz", "/metrics", "/static/page.js"]


@pytest.fixture
def keys(registry: Registry) -> Keys:
    registry.promote("app", pin("retriever:robust@5 > reranker:refine@10"), Note())
    return Keys(registry.engine)


@pytest.fixture
def client(registry: Registry, keys: Keys) -> TestClient:
    return gateway(registry)


def status(client: TestClient, method: str, path: str, **headers: str) -> int:
    asked = {"application": "app", "query": "deposit"} if path == "/v1/search" else None
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.request(method, path, json=asked, headers=sent).status_code


def test_without_any_key_everybody_comes_in(client: TestClient) -> None:
    assert status(client, "POST", "/v1/search") == 200


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_with_a_key_every_route_needs_one(client: TestClient, keys: Keys, method: str, path: str) -> None:
    good, gone = keys.create("good"), keys.create("gone")
    keys.revoke("gone")
    for headers in (
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": f"Basic {good}"},
        {"authorization": f"Bearer {gone}"},
        {"authorization": f"Bearer {good}x"},
        {"authorization": f"Bearer {good.upper()}"},
        {"x_api_key": gone},
        {"authorization": f"Bearer {gone}", "x_api_key": good},  # whoever sends two means the first
    ):
        assert status(client, method, path, **headers) == 401, headers
    for headers in (
        {"authorization": f"Bearer {good}"},
        {"authorization": f"bearer  {good}"},
        {"authorization": good},
        {"x_api_key": good},
    ):
        assert status(client, method, path, **headers) != 401, headers


@pytest.mark.parametrize("path", OPEN)
def test_monitors_and_the_page_need_none(client: TestClient, keys: Keys, path: str) -> None:
    keys.create("good")
    assert status(client, "GET", path) != 401


def test_a_refusal_says_what_to_send_and_comes_before_the_body_is_read(client: TestClient, keys: Keys) -> None:
    key = keys.create("good")
    answer = client.post("/v1/search", content=b" " * (2 << 20), headers={"x-api-key": key[:-1]})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["detail"] == "an API key is needed: Authorization: Bearer KEY"
    assert key[:-1] not in answer.text


def test_the_keys_read_last_stay_in_force_while_the_registry_is_away(
    registry: Registry, keys: Keys, tmp_path: Path
) -> None:
    import asyncio

    good = keys.create("good")
    ring = KeyRing(keys, seconds=-1)
    assert asyncio.run(ring.admits(good))
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.execute("ALTER TABLE api_keys RENAME TO away")
    assert asyncio.run(ring.admits(good))
    assert not asyncio.run(ring.admits("other"))
    with pytest.raises(OperationalError):  # who never read any lets nobody in
        asyncio.run(KeyRing(keys).admits(good))


def test_nobody_comes_in_while_the_keys_can_not_be_read(client: TestClient, registry: Registry) -> None:
    API = "ALTER TABLE api_keys RENAME TO away"
    with registry.engine.begin() as connection:
        connection.exec_driver_sql(API)
    assert status(client, "POST", "/v1/search") == 503
