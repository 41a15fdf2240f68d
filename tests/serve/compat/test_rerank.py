"""The rerank object of Cohere, Jina, vLLM and infinity, and who owns POST /rerank."""

import math
import uuid
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mixstage.serve.answering.search import MAX_QUERY
from mixstage.serve.compat.texts import MAX_DOCUMENTS, MAX_TEXT
from tests.serve.compat.fakes import Fakes

DOCUMENTS = ["a -1", "b 2", "c 0.5", "d 2"]
ORDER = [1, 3, 2, 0]  # logits 2, 2, 0.5, -1: of equal ones the first comes first
SCORES = [1 / (1 + math.exp(-logit)) for logit in (2, 2, 0.5, -1)]


def rerank(client: TestClient, path: str = "/v2/rerank", **body: Any) -> dict[str, Any]:
    answer = client.post(path, json={"query": "q", "documents": DOCUMENTS, **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_results_are_sigmoids_by_logit_then_by_place(client: TestClient, path: str) -> None:
    results = rerank(client, path)["results"]
    assert [result["index"] for result in results] == ORDER
    assert [result["relevance_score"] for result in results] == pytest.approx(SCORES)
    assert {key for result in results for key in result} == {"index", "relevance_score"}


def test_the_object_holds_what_each_family_wants(client: TestClient) -> None:
    body = rerank(client, "/v2/rerank", model="reranker:refine")
    assert uuid.UUID(body["id"]) and isinstance(body["created"], int)
    assert (body["object"], body["model"]) == ("rerank", "reranker:refine")
    assert body["usage"] == {"prompt_tokens": 12, "total_tokens": 12}  # 4 times one word of a query, and 4 of two
    assert body["meta"] == {"api_version": {"version": "2"}, "warnings": []}
    assert rerank(client, "/v1/rerank")["meta"]["api_version"] == {"version": "1"}


def test_the_best_top_n_only(client: TestClient) -> None:
    assert [result["index"] for result in rerank(client, top_n=3)["results"]] == ORDER[:3]
    assert len(rerank(client, top_n=99)["results"]) == 4


def test_raw_scores_are_the_logits(client: TestClient) -> None:
    assert [result["relevance_score"] for result in rerank(client, raw_scores=True)["results"]] == [2, 2, 0.5, -1]


def test_logits_whose_sigmoids_are_equal_keep_their_order(client: TestClient) -> None:
    results = rerank(client, documents=["a 50", "b 60", "c -800"])["results"]
    assert [(result["index"], result["relevance_score"]) for result in results] == [(1, 1.0), (0, 1.0), (2, 0.0)]


def test_documents_come_back_when_asked_for_as_objects_and_to_infinity_as_text(client: TestClient) -> None:
    asked: dict[str, Any] = {"return_documents": True, "top_n": 1}
    assert rerank(client, "/v1/rerank", **asked)["results"][0]["document"] == {"text": "b 2"}
    assert rerank(client, "/v2/rerank", **asked)["results"][0]["document"] == {"text": "b 2"}
    assert rerank(client, "/rerank", **asked)["results"][0]["document"] == "b 2"


def test_documents_may_be_objects_with_a_text(client: TestClient, components: Fakes) -> None:
    rerank(client, documents=[{"text": "a 1", "title": "ignored"}, "b 2"])
    assert components.calls == [("k" * 64, "q", ["a 1", "b 2"])]


def test_a_wish_that_is_not_obeyed_is_answered_with_a_warning(client: TestClient) -> None:
    warnings = rerank(client, max_tokens_per_doc=100, relevant_spans={"mode": "enabled"})["meta"]["warnings"]
    assert warnings == [
        "max_tokens_per_doc is not obeyed: the model reads as much of a document as it was trained to",
        "relevant_spans is not obeyed: the model scores documents as a whole",
    ]


def test_many_documents_are_scored_in_pieces_and_ranked_together(client: TestClient, components: Fakes) -> None:
    documents = ["x" * 50_000 + f" {logit}" for logit in (1, 3, 2)]
    assert [result["index"] for result in rerank(client, documents=documents)["results"]] == [1, 2, 0]
    assert len(components.calls) == 3


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"documents": ["1"]}, "query: Field required"),
        ({"query": "q"}, "documents: Field required"),
        ({"query": " ", "documents": ["1"]}, "at least 1 character"),
        ({"query": "q", "documents": []}, "one document or more"),
        ({"query": "q" * (MAX_QUERY + 1), "documents": ["1"]}, "8192"),
        ({"query": "q", "documents": ["1"] * (MAX_DOCUMENTS + 1)}, "1000"),
        ({"query": "q", "documents": ["1" * (MAX_TEXT + 1)]}, "122880"),
        ({"query": "q", "documents": ["1"], "top_n": 0}, "greater than or equal to 1"),
        ({"query": "q", "documents": [{"body": "1"}]}, "documents.0"),
        ([], "body"),
        (None, "body"),
    ],
)
def test_mistakes_are_told_to_cohere_as_message_and_to_jina_as_detail(
    client: TestClient, path: str, body: Any, words: str
) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"message", "detail"}
    assert answer.json()["message"] == answer.json()["detail"]
    assert words in answer.json()["detail"]
    assert len(answer.text) < 900 and "qqq" not in answer.text and "111" not in answer.text


def test_a_body_with_texts_is_text_embeddings_inferences_and_so_are_its_errors(client: TestClient) -> None:
    answer = client.post("/rerank", json={"query": "q", "texts": DOCUMENTS})
    assert [result["index"] for result in answer.json()] == ORDER
    answer = client.post("/rerank", json={"texts": DOCUMENTS})
    assert answer.status_code == 422
    assert answer.json() == {"error": "query: Field required", "error_type": "Validation"}
