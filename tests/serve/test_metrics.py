"""What /metrics tells, and that callers can't make it grow."""

import pytest
from fastapi.testclient import TestClient

from mixstage.release.record import Note
from mixstage.release.registry import Registry
from tests.serve.fakes import gateway, pin


@pytest.fixture
def client(registry: Registry) -> TestClient:
    registry.promote("app", pin("retriever:robust@5 > reranker:refine@10"), Note())
    return gateway(registry)


def lines(client: TestClient) -> dict[str, float]:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    told = [line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in told if "_created" not in name}


def search(client: TestClient, application: str = "app") -> int:
    return client.post("/v1/search", json={"application": application, "query": "deposit"}).status_code


def test_requests_and_phases_are_counted(client: TestClient) -> None:
    assert [search(client), search(client), search(client, "nobody")] == [200, 200, 404]
    told = lines(client)
    assert told['mixstage_requests_total{application="app",route="/v1/search",status="200"}'] == 2
    assert told['mixstage_requests_total{application="unknown",route="/v1/search",status="404"}'] == 1
    for phase in ("retrieve", "rerank", "total"):
        assert told[f'mixstage_search_seconds_count{{application="app",phase="{phase}"}}'] == 2
    assert told["mixstage_in_flight"] == 1  # this one


def test_names_and_paths_that_callers_make_up_are_no_series(client: TestClient) -> None:
    for number in range(5):
        search(client, f"made-up-{number}")
        client.get(f"/made/up/{number}")
        client.get(f"/v1/compositions/made-up-{number}")
    before = set(lines(client))
    for number in range(5, 20):
        search(client, f"made-up-{number}")
        client.get(f"/made/up/{number}")
        client.get(f"/v1/compositions/made-up-{number}")
    after = lines(client)
    assert set(after) - before == {'mixstage_requests_total{application="",route="/metrics",status="200"}'}
    assert after['mixstage_requests_total{application="",route="unknown",status="404"}'] == 20
