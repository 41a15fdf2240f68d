"""Whatever is sent, the gateway answers, and never with its own failure."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from mixstage.release.record import Note
from tests.serve.fakes import Answering, gateway, pin

ROUTES = ("/v1/search", "/v1/search/batch")
JSON = {"content-type": "application/json"}
FIELDS = ("application", "query", "queries", "k", "depth", "filter", "explain", "user", "composition", "other")
TEXTS = st.text() | st.sampled_from(["app", "\ud800", "\0", "retriever:robust@5 > none@10", "x" * 9000])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
BODIES = st.dictionaries(st.sampled_from(FIELDS), VALUES) | VALUES


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    folder: Path = tmp_path_factory.mktemp("registry")
    registry = Answering(f"sqlite:///{folder}/registry.db")
    registry.promote("app", pin("retriever:robust@5 > reranker:refine@10"), Note())
    return gateway(registry)


def assert_well_answered(answer: Any) -> None:
    assert answer.status_code in (200, 401, 404, 405, 413, 422), answer.text
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(answer.content) < 3000
        assert answer.json()["status"] == answer.status_code


@settings(max_examples=150)
@given(route=st.sampled_from(ROUTES), body=BODIES)
def test_any_json_is_answered(client: TestClient, route: str, body: Any) -> None:
    assert_well_answered(client.post(route, content=json.dumps(body), headers=JSON))


@settings(max_examples=60)
@given(route=st.sampled_from(ROUTES), field=st.sampled_from(FIELDS), value=VALUES)
def test_a_good_request_with_one_odd_field_is_answered(client: TestClient, route: str, field: str, value: Any) -> None:
    good = {"application": "app"} | ({"queries": ["deposit"]} if route.endswith("batch") else {"query": "deposit"})
    assert_well_answered(client.post(route, content=json.dumps({**good, field: value}), headers=JSON))


@settings(max_examples=60)
@given(route=st.sampled_from(ROUTES), content=st.binary(max_size=200))
def test_any_bytes_are_answered(client: TestClient, route: str, content: bytes) -> None:
    assert_well_answered(client.post(route, content=content, headers=JSON))
    assert_well_answered(client.post(route, content=content, headers={"content-type": "text/plain"}))


@settings(max_examples=40)
@given(path=st.text(st.characters(codec="utf-8", exclude_characters="?#\\", exclude_categories=("Cc",)), max_size=40))
def test_any_path_is_answered(client: TestClient, path: str) -> None:
    from urllib.parse import quote

    assert_well_answered(client.get(f"/v1/compositions/{quote(path, safe='')}"))
    assert_well_answered(client.get(f"/{quote(path)}" if path.strip("/.") else "/nowhere"))


SEARCH = b'{"application": "app", "query": "x", '


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        SEARCH + b'"filter": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}",
        SEARCH + b'"filter": {"a": NaN}}',
        SEARCH + b'"filter": {"a": 1e999}}',
        SEARCH + b'"filter": {"a": {"gte": -Infinity}}}',
        SEARCH + b'"k": NaN}',
        SEARCH + b'"k": ' + b"9" * 10_000 + b"}",
        SEARCH + b'"user": "\\ud800"}',
        SEARCH + b'"user": "\\u0000"}',
        SEARCH + b'"\\ud800": 1}',
        SEARCH + b'"' + b"y" * 100_000 + b'": 1}',
        SEARCH + b'"user": "\xff\xfe"}',
        SEARCH + b",".join(b'"f%d": 1' % n for n in range(5000)) + b"}",
        b"",
        b"null",
        b"\x00",
    ],
    ids=lambda content: repr(content[:50] + content[-20:]),
)
def test_known_tricks_are_malformed(client: TestClient, content: bytes) -> None:
    answer = client.post("/v1/search", content=content, headers=JSON)
    assert answer.status_code == 422
    assert_well_answered(answer)
    assert "yyy" not in answer.text


def test_a_misspelt_field_is_named(client: TestClient) -> None:
    answer = client.post("/v1/search", content=SEARCH + b'"kk": 3}', headers=JSON)
    assert answer.json()["problems"] == [{"field": "kk", "problem": "Extra inputs are not permitted"}]


def test_the_key_given_last_counts(client: TestClient) -> None:
    answer = client.post("/v1/search", content=SEARCH + b'"k": 5, "k": 1}', headers=JSON)
    assert len(answer.json()["hits"]) == 1
