"""text-embeddings-inference."""

import math
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mixstage.release.record import Note
from mixstage.release.registry import Registry
from mixstage.serve.compat.texts import MAX_DOCUMENTS, MAX_TEXTS
from tests.serve.compat.fakes import Fakes, pin

TENTH = 0.10000000149011612  # what float32 makes of 0.1


def test_embed_answers_rows_also_of_one_text(client: TestClient) -> None:
    assert client.post("/embed", json={"inputs": "ab"}).json() == [[2.0, -1.0, TENTH]]
    assert client.post("/embed", json={"inputs": ["ab", "c"]}).json() == [[2.0, -1.0, TENTH], [1.0, -1.0, TENTH]]


@pytest.mark.parametrize(("prompt", "kind"), [(None, "document"), ("document", "document"), ("query", "query")])
def test_the_prompts_name_says_what_a_text_is(
    client: TestClient, components: Fakes, prompt: str | None, kind: str
) -> None:
    assert client.post("/embed", json={"inputs": "a", "prompt_name": prompt}).status_code == 200
    assert components.calls == [("g" * 64, ["a"], kind)]


def test_what_the_gateway_knows_of_its_work_is_in_the_headers(client: TestClient) -> None:
    headers = client.post("/embed", json={"inputs": ["one two", "three"]}).headers
    assert (headers["x-compute-tokens"], headers["x-compute-characters"]) == ("3", "12")
    assert 0 <= int(headers["x-total-time"]) < 20_000
    headers = client.post("/rerank", json={"query": "why", "texts": ["a 1", "b 2"]}).headers
    assert headers["x-compute-characters"] == "9"
    assert "x-compute-tokens" not in headers and "x-queue-time" not in headers


def test_rerank_answers_all_texts_best_first(client: TestClient) -> None:
    body = {"query": "q", "texts": ["a -1", "b 2", "c 2"]}
    answer = client.post("/rerank", json=body).json()
    assert answer == [
        {"index": 1, "score": pytest.approx(1 / (1 + math.exp(-2)))},
        {"index": 2, "score": pytest.approx(1 / (1 + math.exp(-2)))},
        {"index": 0, "score": pytest.approx(1 / (1 + math.exp(1)))},
    ]
    answer = client.post("/rerank", json={**body, "raw_scores": True, "return_text": True}).json()
    assert answer == [
        {"index": 1, "score": 2, "text": "b 2"},
        {"index": 2, "score": 2, "text": "c 2"},
        {"index": 0, "score": -1, "text": "a -1"},
    ]


@pytest.mark.parametrize(
    "wish", [{"truncate": True}, {"truncate": None}, {"truncation_direction": "Right"}, {"normalize": True}]
)
def test_wishes_for_what_is_done_anyway_are_granted(client: TestClient, wish: dict[str, Any]) -> None:
    assert client.post("/embed", json={"inputs": "a", **wish}).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "kind", "words"),
    [
        ("/embed", {"inputs": []}, 400, "Empty", "inputs"),
        ("/embed", {"inputs": ""}, 400, "Empty", "inputs"),
        ("/rerank", {"query": "q", "texts": []}, 400, "Empty", "texts"),
        ("/embed", {}, 422, "Validation", "inputs: Field required"),
        ("/embed", {"inputs": [1, 2]}, 422, "Validation", "token ids"),
        ("/embed", {"inputs": ["a"] * (MAX_TEXTS + 1)}, 422, "Validation", "2048"),
        ("/embed", {"inputs": "a", "truncate": False}, 422, "Validation", "always truncated"),
        ("/embed", {"inputs": "a", "truncation_direction": "Left"}, 422, "Validation", "'right'"),
        ("/embed", {"inputs": "a", "normalize": False}, 422, "Validation", "unit length"),
        ("/embed", {"inputs": "a", "prompt_name": "clustering"}, 422, "Validation", "'query' or 'document'"),
        ("/embed", {"inputs": "a", "dimensions": 2}, 400, "Validation", "3 dimensions"),
        ("/rerank", {"query": "q", "texts": ["1"] * (MAX_DOCUMENTS + 1)}, 422, "Validation", "1000"),
        ("/rerank", {"query": "q", "texts": ["1"], "truncate": False}, 422, "Validation", "always truncated"),
        ("/tei/retriever:none/embed", {"inputs": "a"}, 404, "Validation", "there are retriever:robust"),
    ],
)
def test_refusals_have_an_error_and_its_type(
    client: TestClient, path: str, body: dict[str, Any], status: int, kind: str, words: str
) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "error_type"}
    assert answer.json()["error_type"] == kind
    assert words in answer.json()["error"]


def test_where_several_run_the_path_names_one(client: TestClient, registry: Registry, components: Fakes) -> None:
    registry.promote("other", pin("retriever:hard@5 > reranker:late@10", "s", "l", "h"), Note())
    refused = client.post("/embed", json={"inputs": "a"})
    assert refused.status_code == 400 and refused.json()["error_type"] == "Validation"
    assert client.post("/tei/retriever:hard/embed", json={"inputs": "a"}).status_code == 200
    assert client.post("/tei/reranker:late/rerank", json={"query": "q", "texts": ["1"]}).status_code == 200
    assert [call[0][0] for call in components.calls] == ["h", "l"]


def test_info_says_what_is_known(client: TestClient) -> None:
    assert client.get("/tei/reranker:refine/info").json() == {
        "model_id": "reranker:refine",
        "model_sha": "k" * 64,
        "served_model_name": "reranker-kkkkkkkkkkkk",
        "model_type": {"reranker": {"id2label": {}, "label2id": {}}},
        "max_client_batch_size": 1000,
        "auto_truncate": True,
    }
    assert client.get("/info").json() == client.get("/tei/retriever-gggggggggggg/info").json()
    assert client.get("/info").json()["model_type"] == {"embedding": {}}
