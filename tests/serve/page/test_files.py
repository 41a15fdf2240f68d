"""The search page's files: types, policy, caching, and that nothing they name is missing or elsewhere."""

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from mixstage.release.registry import Registry
from mixstage.serve.answering.components import ServeComponents
from mixstage.serve.answering.routing import Routes
from mixstage.serve.gateway import build_api
from mixstage.serve.http.page import _FOLDER, page_router


@pytest.fixture
def client() -> TestClient:
    api = FastAPI()
    api.include_router(page_router())
    return TestClient(api)


def test_files_come_with_their_types_and_a_strict_policy(client: TestClient) -> None:
    for path, kind in {
        "/": "text/html",
        "/static/search.js": "text/javascript",
        "/static/search.css": "text/css",
    }.items():
        answer = client.get(path)
        assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
        policy = answer.headers["content-security-policy"].split("; ")
        assert "default-src 'self'" in policy and "require-trusted-types-for 'script'" in policy
        assert not any("unsafe" in rule or "http" in rule for rule in policy)
        assert (
            answer.headers["x-content-type-options"] == "nosniff" and answer.headers["referrer-policy"] == "no-referrer"
        )
    assert client.get("/static/icon.svg").headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize("path", ["/", "/static/search.js"])
def test_a_file_that_is_known_is_not_sent_again(client: TestClient, path: str) -> None:
    first = client.get(path)
    assert first.headers["cache-control"] == "no-cache"
    for known in (first.headers["etag"], f'"other", W/{first.headers["etag"]}'):
        again = client.get(path, headers={"if-none-match": known})
        assert again.status_code == 304 and again.content == b"" and again.headers["etag"] == first.headers["etag"]
    assert client.get(path, headers={"if-none-match": '"other"'}).content == first.content
    head = client.head(path)
    assert head.status_code == 200 and head.content == b"" and head.headers["content-length"] == str(len(first.content))


def test_the_gateway_has_the_page(tmp_path: Path) -> None:
    api = build_api(Routes(Registry(f"sqlite:///{tmp_path}/registry.db")), ServeComponents())
    assert TestClient(api).get("/").headers["content-type"] == "text/html; charset=utf-8"


def test_nothing_but_the_pages_files_is_served(client: TestClient) -> None:
    for name in ("nothing.js", "..%2Fpage.py", "%2e%2e/page.py", ""):
        assert client.get(f"/static/{name}").status_code == 404
    assert client.get("/openapi.json").json()["paths"] == {}


def test_what_the_files_name_is_there_and_nothing_is_elsewhere(client: TestClient) -> None:
    named = {"index.html"}
    for path in _FOLDER.iterdir():
        source = path.read_text(encoding="utf-8")
        named |= {
            f.rpartition("/")[2] for f in re.findall(r'(?:href|src)="([^"]+)"|from "([^"]+)"', source) for f in f if f
        }
        assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", source) == [], path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\bstyle=|\son\w+=", source), (
            path.name
        )
    assert named == {path.name for path in _FOLDER.iterdir()}
    assert all(client.get(f"/static/{name}").status_code == 200 for name in named)
