"""Whatever is sent to a compatible endpoint, it answers in its family's shape, and never with its own failure."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from mixstage.release.record import Note
from tests.serve.compat.fakes import Fakes, pin
from tests.serve.fakes import Answering, gateway

GOOD: dict[str, dict[str, Any]] = {
    "/v1/embeddings": {"input": ["a"]},
    "/embed": {"inputs": ["a"]},
    "/v2/rerank": {"query": "q", "documents": ["a"]},
    "/rerank": {"query": "q", "texts": ["a"]},
    "/v1/vector_stores/app/search": {"query": "deposit"},
    "/retrieval": {"knowledge_id": "app", "query": "deposit"},
    "/langchain/app": {"message": "deposit"},
    "/plugin/app/query": {"queries": [{"query": "deposit"}]},
}
FIELDS = sorted(
    {field for body in GOOD.values() for field in body}
    | {"model", "dimensions", "encoding_format", "input_type", "top_n", "return_documents", "raw_scores", "truncate"}
    | {"filters", "max_num_results", "ranking_options", "retrieval_setting", "metadata_condition", "prompt_name"}
)
TEXTS = st.text() | st.sampled_from(["app", "\ud800", "\0", "retriever:robust", "x" * 130_000])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


class Patient(Fakes):
    async def score(self, reranker: str, query: str, documents: list[str]) -> list[float]:
        return [float(len(document)) for document in documents]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    registry = Answering(f"sqlite:///{tmp_path_factory.mktemp('registry')}/registry.db")
    registry.promote("app", pin("retriever:robust@5 > reranker:refine@10"), Note())
    return gateway(registry, Patient())


def assert_well_answered(answer: Any) -> None:
    assert answer.status_code in (200, 400, 404, 422), answer.text
    if answer.status_code != 200:
        assert set(answer.json()) in (
            {"error"},
            {"error", "error_type"},
            {"message", "detail"},
            {"error_code", "error_msg"},
            {"detail"},
        )
        assert len(answer.content) < 3000 and "xxxx" not in answer.text


@pytest.mark.parametrize("path", GOOD)
def test_the_good_request_is_answered(client: TestClient, path: str) -> None:
    assert client.post(path, json=GOOD[path]).status_code == 200


@settings(max_examples=300)
@given(path=st.sampled_from(sorted(GOOD)), field=st.sampled_from(FIELDS), value=VALUES)
def test_a_good_request_with_one_odd_field_is_answered(client: TestClient, path: str, field: str, value: Any) -> None:
    body = json.dumps({**GOOD[path], field: value})
    assert_well_answered(client.post(path, content=body, headers={"content-type": "application/json"}))


@settings(max_examples=100)
@given(path=st.sampled_from(sorted(GOOD)), body=VALUES)
def test_any_json_is_answered(client: TestClient, path: str, body: Any) -> None:
    assert_well_answered(client.post(path, content=json.dumps(body), headers={"content-type": "application/json"}))


@settings(max_examples=60)
@given(path=st.sampled_from(sorted(GOOD)), content=st.binary(max_size=200))
def test_any_bytes_are_answered(client: TestClient, path: str, content: bytes) -> None:
    assert_well_answered(client.post(path, content=content, headers={"content-type": "application/json"}))
