"""The gateway's own routes: shapes, batches, named compositions."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from ray.serve.exceptions import BackPressureError

from mixstage.errors import OverloadError
from mixstage.release.record import Member, Note
from mixstage.release.registry import Registry
from mixstage.serve.answering.answers import AT_ONCE
from tests.serve.fakes import Fakes, fused, gateway, pin

LIVE = "retriever:robust@5 > 0.5*reranker:refine@10"
OTHER = replace(
    pin("retriever:base@3 > reranker:broad@10"), generation="g2", retriever="r2", reranker="k2", report="p2"
)


@pytest.fixture
def client(registry: Registry) -> TestClient:
    """Of a gateway with one application."""
    registry.promote("app", pin(LIVE), Note())
    return gateway(registry)


def ask(client: TestClient, **body: object) -> dict[str, Any]:
    answer = client.post("/v1/search", json={"application": "app", "query": "deposit", **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def assert_refused(client: TestClient, status: int, path: str = "/v1/search", **body: object) -> dict[str, Any]:
    answer = client.post(path, json={"application": "app", "query": "deposit", **body})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    told = dict(answer.json())
    assert (told["type"], told["status"]) == ("about:blank", status)
    assert told["request_id"] == answer.headers["x-request-id"]
    return told


def test_an_answer_says_what_made_it(client: TestClient) -> None:
    told = ask(client, k=1)
    assert told.pop("hits") == [
        {"id": "d2", "title": "Title of d2", "text": "text of d2", "score": pytest.approx(0.9375)}
    ]  # 0.5 * (0.8-0.1)/(0.9-0.1) + 0.5 * 1
    timings = told.pop("timings")
    assert set(timings) == {"retrieve_ms", "rerank_ms", "total_ms"}
    assert timings["total_ms"] >= timings["retrieve_ms"] >= 0
    assert len(told.pop("request_id")) == 32
    assert told == {
        "application": "app",
        "composition": LIVE,
        "release": 1,
        "generation": "g",
        "role": "live",
    }


def test_explain_tells_ranks_and_scores_of_both_phases(client: TestClient) -> None:
    first = ask(client, explain=True)["hits"][0]
    assert first["ranks"] == {"retrieval": 2, "reranking": 1}
    assert first["scores"] == {"retrieval": pytest.approx(0.8), "reranking": 3.0}


def test_without_a_reranker_there_is_no_rank_of_it(registry: Registry) -> None:
    registry.promote("app", replace(pin("bm25@5 > none@10"), reranker=None), Note())
    told = ask(gateway(registry), explain=True)
    assert told["hits"][0]["ranks"] == {"retrieval": 1, "reranking": None}
    assert told["hits"][0]["scores"] == {"retrieval": pytest.approx(0.9), "reranking": None}
    assert told["timings"]["rerank_ms"] == 0


def test_a_request_may_ask_for_another_depth(client: TestClient) -> None:
    told = ask(client, depth=1)
    assert [hit["id"] for hit in told["hits"]] == ["d1"]
    assert told["composition"] == "retriever:robust@1 > 0.5*reranker:refine@10"
    assert assert_refused(client, 422, depth=1001)["problems"] == [
        {"field": "depth", "problem": "Input should be less than or equal to 1000"}
    ]


def test_no_deeper_than_a_fusion_ranks(registry: Registry) -> None:
    registry.promote("app", fused("retriever:ensemble@2 > none@10", depth=3), Note())
    client = gateway(registry)
    assert len(ask(client, depth=3)["hits"]) == 3
    assert assert_refused(client, 422, depth=4)["detail"] == "depth: at most 3, which the fusion ensemble ranks"
    assert ask(client)["generation"] == "g1+g2"


def test_a_filter_reaches_the_retriever_as_it_was_sent(registry: Registry) -> None:
    class Filtering(Fakes):
        async def retrieve(
            self, member: Member, query: str, depth: int, filter: dict[str, Any] | None = None
        ) -> list[dict[str, Any]]:
            assert filter == {"year": {"gte": 2020}, "kind": {"any": ["law", 7]}}
            return await super().retrieve(member, query, 1)

    registry.promote("app", pin(LIVE), Note())
    asked = {"year": {"gte": 2020}, "kind": {"any": ["law", 7]}}
    assert len(ask(gateway(registry, Filtering()), filter=asked)["hits"]) == 1


def test_a_named_composition_answers_and_says_so(client: TestClient, registry: Registry) -> None:
    registry.promote("other", OTHER, Note())
    told = ask(client, composition="retriever:base@2 > none@10")
    assert (told["role"], told["composition"], told["generation"]) == ("named", "retriever:base@2 > none@10", "g2")
    assert [hit["id"] for hit in told["hits"]] == ["d2", "d1"]  # 30, 20: the list of g2


@pytest.mark.parametrize(
    ("name", "status"), [("retriever:gone@5 > none@10", 404), ("x" * 400, 422), ("bm25@0 > none@10", 422)]
)
def test_compositions_that_do_not_run_are_refused(client: TestClient, name: str, status: int) -> None:
    told = assert_refused(client, status, composition=name)
    assert name not in told["detail"]


def test_compositions_that_can_answer_are_listed(client: TestClient, registry: Registry) -> None:
    registry.promote("other", OTHER, Note())
    registry.try_out("app", "canary", replace(OTHER, composition=OTHER.composition.at_depth(5)), 0.1, Note())
    told = client.get("/v1/compositions/app").json()
    assert (told["live"], told["trial"]) == (LIVE, "retriever:base@5 > reranker:broad@10")
    assert set(told["available"]) == {
        LIVE,
        "retriever:robust@5 > 0.5*reranker:broad@10",
        "retriever:robust@5 > none@10",
        "retriever:base@5 > 0.5*reranker:refine@10",
        "retriever:base@5 > 0.5*reranker:broad@10",
        "retriever:base@5 > none@10",
    }
    for name in told["available"]:
        assert ask(client, composition=name)["composition"] == name
    assert client.get("/v1/compositions/nobody").status_code == 404


def test_applications_tell_what_is_wanted_and_tried(client: TestClient, registry: Registry) -> None:
    assert client.get("/v1/applications").json() == {
        "app": {"release": 1, "composition": LIVE, "generation": "g", "wanted": None, "trial": None}
    }
    silent = Registry(registry.url)  # what it writes does not answer yet
    served = {"release": 1, "composition": LIVE, "generation": "g"}
    silent.try_out("app", "canary", pin("bm25@5 > none@10"), 0.25, Note())
    trial = {"release": 2, "composition": "bm25@5 > none@10", "action": "canary", "share": 0.25}
    assert client.get("/v1/applications").json() == {"app": {**served, "wanted": None, "trial": trial}}
    silent.promote("app", OTHER, Note())
    wanted = {"release": 3, "composition": str(OTHER.composition)}
    assert client.get("/v1/applications").json() == {"app": {**served, "wanted": wanted, "trial": None}}


def batch(client: TestClient, queries: list[str], **body: object) -> list[dict[str, Any]]:
    answer = client.post("/v1/search/batch", json={"application": "app", "queries": queries, **body})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["answers"])


class Picky(Fakes):
    """Fails on one query."""

    async def retrieve(
        self, member: Member, query: str, depth: int, filter: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        if query == "bad":
            raise ValueError("a secret")
        return [{"id": query, "title": "", "text": "text of d1", "score": 1.0}]


def test_a_batch_answers_in_order_and_one_failure_takes_no_other_with_it(registry: Registry) -> None:
    registry.promote("app", pin(LIVE), Note())
    client = gateway(registry, Picky())
    first, failed, last = batch(client, ["q0", "bad", "q2"], k=1)
    assert (first["hits"][0]["id"], last["hits"][0]["id"]) == ("q0", "q2")
    assert (failed["error"]["status"], failed["error"]["title"]) == (500, "Internal Server Error")
    assert "secret" not in str(failed)
    assert last["request_id"] == first["request_id"].removesuffix("-0") + "-2"
    assert failed["error"]["request_id"] == first["request_id"].removesuffix("-0") + "-1"


def test_a_batch_works_at_a_bounded_number_of_queries_at_once(registry: Registry) -> None:
    class Crowded(Picky):
        def __init__(self) -> None:
            self.full, self.now, self.most = asyncio.Barrier(AT_ONCE), 0, 0

        async def retrieve(
            self, member: Member, query: str, depth: int, filter: dict[str, Any] | None = None
        ) -> list[dict[str, Any]]:
            self.now += 1
            self.most = max(self.most, self.now)
            await self.full.wait()  # with fewer at once, for ever
            self.now -= 1
            return await super().retrieve(member, query, depth)

    registry.promote("app", pin(LIVE), Note())
    crowded = Crowded()
    assert len(batch(gateway(registry, crowded), [f"q{n}" for n in range(3 * AT_ONCE)])) == 3 * AT_ONCE
    assert crowded.most == AT_ONCE


def test_batches_have_limits(client: TestClient) -> None:
    for queries in ([], ["x"] * 101, [""], "text"):
        answer = client.post("/v1/search/batch", json={"application": "app", "queries": queries})
        assert answer.status_code == 422, queries
    assert assert_refused(client, 422, "/v1/search/batch")["problems"][0] == {
        "field": "queries",
        "problem": "Field required",
    }
    answer = client.post("/v1/search/batch", json={"application": "nobody", "queries": ["x"]})
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("sent", "returned"),
    [("abc-1.2_Z", "abc-1.2_Z"), ("a b\tc{}<script>", "abcscript"), ("x" * 100, "x" * 64)],
)
def test_a_request_id_is_cleaned_and_returned(client: TestClient, sent: str, returned: str) -> None:
    answer = client.post("/v1/search", json={"application": "app", "query": "deposit"}, headers={"x-request-id": sent})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == returned


def test_two_requests_without_an_id_get_different_ones(client: TestClient) -> None:
    assert client.get("/healthz").headers["x-request-id"] != client.get("/healthz").headers["x-request-id"]


def test_openapi_tells_requests_answers_and_problems(client: TestClient) -> None:
    told = client.get("/openapi.json").json()
    search = told["paths"]["/v1/search"]["post"]
    assert search["responses"]["422"]["content"] == {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
    }
    assert {"Problem", "SearchRequest", "SearchResponse", "Application"} <= set(told["components"]["schemas"])
    assert "HTTPValidationError" not in str(told["paths"]["/v1/search"])
    assert client.get("/docs").status_code == 404


def test_a_member_of_a_fusion_that_fails_stops_the_others(registry: Registry) -> None:
    class Half(Fakes):
        cancelled = 0

        async def retrieve(
            self, member: Member, query: str, depth: int, filter: dict[str, Any] | None = None
        ) -> list[dict[str, Any]]:
            if member.generation == "g2":
                raise OverloadError("come again")
            try:
                return await asyncio.Event().wait()  # type: ignore[return-value]
            except asyncio.CancelledError:
                self.cancelled += 1
                raise

    registry.promote("app", fused("retriever:ensemble@2 > none@10", depth=3), Note())
    half = Half()
    with gateway(registry, half, deadline_s=20) as client:  # one event loop, whose end would cancel all
        assert assert_refused(client, 503)["detail"] == "come again"
        assert half.cancelled == 1


def test_candidates_are_reranked_in_pieces_of_what_a_model_reads_at_once(registry: Registry) -> None:
    class Long(Fakes):
        def __init__(self) -> None:
            self.read: list[int] = []

        async def retrieve(
            self, member: Member, query: str, depth: int, filter: dict[str, Any] | None = None
        ) -> list[dict[str, Any]]:
            return [{"id": f"d{n}", "title": "", "text": f"{'x' * 10_000} {n}", "score": 1.0} for n in range(9)]

        async def score(self, reranker: str, query: str, documents: list[str]) -> list[float]:
            self.read.append(len(documents))
            return [float(text.rpartition(" ")[2]) for text in documents]

    registry.promote("app", pin("retriever:robust@9 > reranker:refine@10"), Note())
    long = Long()
    client = gateway(registry, long)
    assert [hit["id"] for hit in ask(client)["hits"]] == [f"d{n}" for n in range(8, -1, -1)]
    assert long.read == [6, 3]  # six pairs of 10,009 characters are below 64,000
    ask(client, query="q" * 8000)
    assert long.read[2:] == [3, 3, 3]  # of 18,002


def test_a_full_queue_behind_a_query_of_a_batch_says_when_to_come_again(registry: Registry) -> None:
    class Full(Picky):
        async def score(self, reranker: str, query: str, documents: list[str]) -> list[float]:
            raise BackPressureError(5, 4, 503, 2.5)

    registry.promote("app", pin(LIVE), Note())
    (failed,) = batch(gateway(registry, Full()), ["q0"])
    assert (failed["error"]["status"], failed["error"]["retry_after"]) == (503, 3)
