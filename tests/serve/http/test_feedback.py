"""POST /v1/feedback over HTTP, after a search."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mixstage.release.record import Member, Note
from mixstage.release.registry import Registry
from mixstage.release.trials.observed import Observations, hash_user
from mixstage.serve.answering.routing import Routes
from mixstage.serve.gateway import build_api
from tests.handmade import BM25_PIN

PIN = BM25_PIN


class Fakes:
    """A retriever for each generation, which finds one document of the generation's name."""

    async def retrieve(self, member: Member, *_: Any) -> list[dict[str, Any]]:
        return [{"id": f"d-{member.generation}", "title": "One", "text": "text", "score": 1.0}]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    opened = Registry(f"sqlite:///{tmp_path}/registry.db")
    opened.mark_answering(opened.promote("app", PIN, Note()))
    return opened


@pytest.fixture
def client(registry: Registry) -> Iterator[TestClient]:
    with TestClient(build_api(Routes(registry, seconds=0), Fakes())) as opened:  # type: ignore[arg-type]
        yield opened


BODY = {"application": "app", "request_id": "r1", "document_id": "d1", "kind": "click"}


def test_feedback_is_stored_before_it_is_answered(client: TestClient, registry: Registry) -> None:
    answer = client.post("/v1/feedback", json={**BODY, "user": "ada"})
    assert (answer.status_code, answer.json()) == (202, {})
    ((feedback, shown),) = Observations(registry.engine).feedback("app")
    assert (feedback.request_id, feedback.document_id, feedback.kind) == ("r1", "d1", "click")
    assert feedback.user == hash_user("app", "ada") and shown is None
    assert abs(feedback.created - datetime.now(UTC)) < timedelta(minutes=5)


def test_what_a_search_shows_is_stored_at_shutdown_at_the_latest(registry: Registry) -> None:
    with TestClient(build_api(Routes(registry, seconds=0), Fakes())) as client:  # type: ignore[arg-type]
        assert client.post("/v1/search", json={"application": "app", "query": "deposit"}).status_code == 200
    with registry.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT query, documents, role, number FROM impressions").all()
    assert rows == [("deposit", '[["d-g", null]]', "live", 1)]


def test_an_answer_by_a_named_composition_can_be_judged_too(registry: Registry) -> None:
    with TestClient(build_api(Routes(registry, seconds=0), Fakes())) as client:  # type: ignore[arg-type]
        asked = {"application": "app", "query": "deposit", "composition": str(PIN.composition)}
        found = client.post("/v1/search", json=asked).json()
        told = {**BODY, "request_id": found["request_id"], "document_id": "d-g", "kind": "relevant"}
        assert client.post("/v1/feedback", json=told).status_code == 202
    ((_, shown),) = Observations(registry.engine).feedback("app")
    assert shown is not None and (shown.role, shown.query) == ("named", "deposit")


def test_a_click_on_interleaved_hits_counts_for_who_found_them(registry: Registry) -> None:
    trial = registry.try_out("app", "interleave", replace(PIN, generation="h"), 1.0, Note())
    registry.mark_answering(trial)
    with TestClient(build_api(Routes(registry, seconds=0), Fakes())) as client:  # type: ignore[arg-type]
        asked = {"application": "app", "query": "deposit"}
        found = client.post("/v1/search", json=asked).json()
        assert found["role"] == "interleave" and [hit["id"] for hit in found["hits"]] in (["d-g"], ["d-h"])
        click = {**BODY, "request_id": found["request_id"], "document_id": found["hits"][0]["id"]}
        assert client.post("/v1/feedback", json=click).status_code == 202
    team = "live" if found["hits"][0]["id"] == "d-g" else "trial"
    seen = Observations(registry.engine).counts("app", 2)
    assert (seen.wins, seen.losses) == ((1, 0) if team == "trial" else (0, 1))
    assert (seen.live.requests, seen.trial.requests) == (1, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "dislike"},
        {"request_id": ""},
        {"request_id": "a\nb"},
        {"request_id": "x" * 201},
        {"document_id": "d\t1"},
        {"document_id": "d\x001"},
        {"document_id": "\ud800"},
        {"document_id": None},
        {"user": ""},
        {"grade": 3},
    ],
)
def test_malformed_feedback_is_refused_without_an_echo(
    client: TestClient, registry: Registry, change: dict[str, Any]
) -> None:
    content = json.dumps({**BODY, **change})
    answer = client.post("/v1/feedback", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422 and "xxx" not in answer.text
    assert Observations(registry.engine).feedback("app") == []


def test_feedback_on_an_unknown_application_is_refused(client: TestClient) -> None:
    assert client.post("/v1/feedback", json={**BODY, "application": "nope"}).status_code == 404


def test_a_database_that_is_away_gets_503_and_when_to_come_back(client: TestClient, registry: Registry) -> None:
    with registry.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE feedback")
    answer = client.post("/v1/feedback", json=BODY)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
