"""Searches as OpenAI's vector stores, Dify and LangChain ask for them."""

import asyncio
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from mixstage.composition import Composition
from mixstage.release.record import Note
from mixstage.release.registry import Registry
from mixstage.release.tables import IMPRESSIONS
from mixstage.serve.compat.scores import relevance
from tests.serve.compat.fakes import Fakes, pin, whole
from tests.serve.fakes import gateway


@pytest.fixture
def client(registry: Registry, components: Fakes) -> TestClient:
    """Of a retriever alone: its scores are between 0 and 1 already."""
    registry.promote("app", pin("retriever:robust@5 > none@10"), Note())
    return gateway(registry, components)


def search(client: TestClient, **body: Any) -> Any:
    return client.post("/v1/vector_stores/app/search", json={"query": "deposit", **body})


def retrieve(client: TestClient, **body: Any) -> Any:
    return client.post("/retrieval", json={"knowledge_id": "app", "query": "deposit", **body})


def test_a_vector_store_is_an_application_and_its_results_are_whole_documents(client: TestClient) -> None:
    assert search(client, max_num_results=2).json() == {
        "object": "vector_store.search_results.page",
        "search_query": ["deposit"],
        "data": [
            {
                "file_id": "d1",
                "filename": "Deposits",
                "score": 0.75,
                "attributes": {},
                "content": [{"type": "text", "text": whole("d1")}],
            },
            {
                "file_id": "d2",
                "filename": "d2",  # it has no title
                "score": 0.5,
                "attributes": {},
                "content": [{"type": "text", "text": whole("d2")}],
            },
        ],
        "has_more": False,
        "next_page": None,
    }


def test_of_several_queries_a_document_has_its_best_score(client: TestClient) -> None:
    data = search(client, query=["deposit", "rent"], max_num_results=2).json()["data"]
    assert [(result["file_id"], result["score"]) for result in data] == [("d3", 0.875), ("d1", 0.75)]


def test_a_threshold_cuts(client: TestClient) -> None:
    data = search(client, ranking_options={"ranker": "auto", "score_threshold": 0.5}).json()["data"]
    assert [result["file_id"] for result in data] == ["d1", "d2"]


def test_filters_reach_the_search_in_its_own_shape(client: TestClient, components: Fakes) -> None:
    year, court = {"type": "gte", "key": "year", "value": 2020}, {"type": "eq", "key": "court", "value": "BGH"}
    assert search(client, filters={"type": "and", "filters": [year, court]}).status_code == 200
    assert search(client).status_code == 200
    assert components.calls == [("deposit", {"year": {"gte": 2020}, "court": "BGH"}), ("deposit", None)]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"query": []}, "at least 1 item"),
        ({"query": ["a"] * 11}, "at most 10 items"),
        ({"max_num_results": 51}, "less than or equal to 50"),
        ({"rewrite_query": True}, "searched as they are"),
        ({"ranking_options": {"ranker": "none"}}, "'auto'"),
        ({"filters": {"type": "ne", "key": "year", "value": 1}}, "`ne`"),
        ({"filters": {"type": "like", "key": "year", "value": "1"}}, "'eq', 'ne'"),
    ],
)
def test_what_a_vector_store_can_not_do_is_400(client: TestClient, body: dict[str, Any], words: str) -> None:
    answer = search(client, **body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert words in answer.json()["error"]["message"] and "like" not in answer.text


def test_an_unknown_vector_store_is_404(client: TestClient) -> None:
    answer = client.post("/v1/vector_stores/nope/search", json={"query": "deposit"})
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "no such application; released ones: app"


def test_dify_gets_records(client: TestClient) -> None:
    answer = retrieve(client, retrieval_setting={"top_k": 2, "score_threshold": 0.0})
    assert answer.json() == {
        "records": [
            {"content": whole("d1"), "score": 0.75, "title": "Deposits", "metadata": {"id": "d1"}},
            {"content": whole("d2"), "score": 0.5, "title": "", "metadata": {"id": "d2"}},
        ]
    }
    answer = retrieve(client, retrieval_setting={"top_k": 9, "score_threshold": 0.6})
    assert [record["score"] for record in answer.json()["records"]] == [0.75]
    assert retrieve(client, query="nothing").json() == {"records": []}


def test_dify_may_send_a_fields_name_in_a_list_and_a_number_as_text(client: TestClient, components: Fakes) -> None:
    conditions = [
        {"name": ["year"], "comparison_operator": "≥", "value": "2020"},
        {"name": "court", "comparison_operator": "is", "value": "BGH"},
        {"name": "decided", "comparison_operator": "before", "value": "2024-01-31"},
        {"name": "panel", "comparison_operator": "in", "value": ["IV", "V"]},
        {"name": "share", "comparison_operator": "<", "value": "0.5"},
    ]
    body = {"logical_operator": "and", "conditions": conditions}
    assert retrieve(client, metadata_condition=body).status_code == 200
    wanted = {
        "year": {"gte": 2020},
        "court": "BGH",
        "decided": {"lt": "2024-01-31"},
        "panel": {"any": ["IV", "V"]},
        "share": {"lt": 0.5},
    }
    assert components.calls == [("deposit", wanted)]


def test_dify_conditions_that_no_filter_says_are_400(client: TestClient) -> None:
    for operator in ("contains", "is not", "empty"):
        condition = {"name": "court", "comparison_operator": operator, "value": "B"}
        answer = retrieve(client, metadata_condition={"conditions": [condition]})
        assert answer.status_code == answer.json()["error_code"] == 400
        assert "comparison operators" in answer.json()["error_msg"]
    condition = {"name": "court", "comparison_operator": "is"}
    assert retrieve(client, metadata_condition={"conditions": [condition]}).json()["error_code"] == 400


def test_dify_knows_an_unknown_knowledge_base_by_its_code(client: TestClient) -> None:
    answer = client.post("/retrieval", json={"knowledge_id": "nope", "query": "x"})
    assert answer.status_code == 404
    assert answer.json() == {"error_code": 2001, "error_msg": "no such application; released ones: app"}
    assert client.post("/retrieval", json={}).json()["error_code"] == 422


def test_langchains_remote_retriever_gets_documents(client: TestClient) -> None:
    answer = client.post("/langchain/app?k=1", json={"message": "deposit"})
    metadata = {"document_id": "d1", "title": "Deposits", "score": 0.75}
    assert answer.json() == {"response": [{"page_content": whole("d1"), "metadata": metadata}]}
    assert len(client.post("/langchain/app", json={"message": "deposit"}).json()["response"]) == 3
    answer = client.post("/langchain/nope", json={"message": "deposit"})
    assert (answer.status_code, answer.json()) == (404, {"detail": "no such application; released ones: app"})
    assert client.post("/langchain/app?k=0", json={"message": "deposit"}).status_code == 422


def test_a_plugin_answers_each_of_its_queries(client: TestClient, components: Fakes) -> None:
    queries = [{"query": "rent", "filter": {"year": 2020}, "top_k": 1}, {"query": "nothing"}]
    answer = client.post("/plugin/app/query", json={"queries": queries})
    result = {
        "id": "d3",
        "text": whole("d3"),
        "metadata": {"document_id": "d3", "title": "Rent", "score": 0.875},
        "score": 0.875,
    }
    assert answer.json() == {"results": [{"query": "rent", "results": [result]}, {"query": "nothing", "results": []}]}
    assert components.calls == [("rent", {"year": 2020}), ("nothing", None)]


def test_an_answer_that_was_reranked_has_sigmoids_and_keeps_its_order(client: TestClient, registry: Registry) -> None:
    registry.promote("app", pin("retriever:robust@5 > reranker:refine@10"), Note())
    records = retrieve(client, retrieval_setting={"top_k": 2, "score_threshold": 0.9}).json()["records"]
    expected = [("d3", 0.9525741268), ("d2", 0.8807970780)]  # logits 3, 2 and 1; below the threshold is all but one
    assert [(record["metadata"]["id"], record["score"]) for record in records] == [
        (name, pytest.approx(score)) for name, score in expected[:1]
    ]


def test_what_an_application_is_asked_for_is_counted_as_its_own(client: TestClient) -> None:
    assert retrieve(client).status_code == 200
    counted = client.get("/metrics").text
    assert 'mixstage_requests_total{application="app",route="/retrieval",status="200"} 1.0' in counted


@pytest.mark.parametrize(
    "asked", [{"filter": {"a": {"b": [[[[[[[[1]]]]]]]]}}}, {"filter": {"a": "\0"}}, {"filter": {"a": {"gte": 1}}}]
)
def test_a_plugins_filter_is_checked_like_a_native_one(client: TestClient, asked: dict[str, Any]) -> None:
    answer = client.post("/plugin/app/query", json={"queries": [{"query": "rent", **asked}]})
    assert answer.status_code == (200 if "gte" in str(asked) else 422)


def test_each_search_is_recorded_under_an_id_that_feedback_can_name(registry: Registry, client: TestClient) -> None:
    with client:  # what was shown is written at the end
        headers = {"x-request-id": "mine", "x-user": "ada"}
        assert (
            client.post("/langchain/app", json={"message": "rent"}, headers=headers).headers["x-request-id"] == "mine"
        )
        queries = [{"query": "deposit"}, {"query": "rent"}]
        assert client.post("/plugin/app/query", json={"queries": queries}, headers=headers).status_code == 200
    with registry.engine.connect() as connection:
        shown = connection.execute(select(IMPRESSIONS.c.request_id, IMPRESSIONS.c.query, IMPRESSIONS.c.user)).all()
    assert [(name, query) for name, query, _ in shown] == [("mine", "rent"), ("mine-0", "deposit"), ("mine-1", "rent")]
    assert len({user for _, _, user in shown}) == 1


@pytest.mark.parametrize(
    ("composition", "score", "expected"),
    [
        ("retriever:robust@5 > reranker:refine@10", 0.0, 0.5),
        ("bm25@5 > reranker:refine@10", -1000.0, 0.0),
        ("retriever:robust@5 > 0.5*reranker:refine@10", 0.25, 0.25),
        ("retriever:robust@5 > none@10", 0.8, 0.8),
        ("retriever:robust@5 > none@10", -0.1, 0.0),
        ("bm25@5 > none@10", 3.0, 0.75),
        ("bm25@5 > none@10", 0.0, 0.0),
    ],
)
def test_a_hits_relevance_is_between_0_and_1(composition: str, score: float, expected: float) -> None:
    assert relevance(score, Composition.parse(composition)) == pytest.approx(expected)


def test_queries_are_at_work_a_bounded_number_at_once_as_those_of_a_batch_are(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crowded(Fakes):
        def __init__(self) -> None:
            self.full, self.now, self.most = asyncio.Barrier(5), 0, 0

        async def retrieve(self, *asked: Any) -> list[dict[str, Any]]:
            self.now += 1
            self.most = max(self.most, self.now)
            await self.full.wait()  # with fewer at once, for ever
            self.now -= 1
            return []

    registry.promote("app", pin("retriever:robust@5 > none@10"), Note())
    monkeypatch.setattr("mixstage.serve.compat.finding.AT_ONCE", 5)
    crowded = Crowded()
    assert search(gateway(registry, crowded), query=["deposit"] * 10).status_code == 200
    assert crowded.most == 5
