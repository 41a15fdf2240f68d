"""Which component a model's name means."""

from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from mixstage.release.record import Note
from mixstage.release.registry import Registry
from tests.serve.compat.fakes import Fakes, fused, pin


def embed(client: TestClient, model: str | None) -> tuple[int, str]:
    answer = client.post("/v1/embeddings", json={"input": "a", "model": model})
    return answer.status_code, answer.text if answer.status_code == 200 else answer.json()["error"]["message"]


def rerank(client: TestClient, model: str | None) -> tuple[int, str]:
    answer = client.post("/v1/rerank", json={"query": "q", "documents": ["1"], "model": model})
    return answer.status_code, answer.text if answer.status_code == 200 else answer.json()["message"]


@pytest.mark.parametrize("name", ["retriever:robust", "retriever-gggggggggggg", None, "", "default/not-specified"])
def test_a_retriever_by_its_stage_its_digest_or_as_the_only_one(
    client: TestClient, components: Fakes, name: str | None
) -> None:
    assert embed(client, name)[0] == 200
    assert components.calls == [("g" * 64, ["a"], "document")]


@pytest.mark.parametrize("name", ["reranker:refine", "reranker-kkkkkkkkkkkk", None])
def test_a_reranker_likewise(client: TestClient, components: Fakes, name: str | None) -> None:
    assert rerank(client, name)[0] == 200
    assert components.calls == [("k" * 64, "q", ["1"])]


@pytest.mark.parametrize("name", ["retriever:other", "reranker:refine", "text-embedding-3-small", "bm25"])
def test_an_unknown_name_gets_404_with_those_there_are(client: TestClient, name: str) -> None:
    said = "no retriever of that name: there are retriever:robust, retriever-gggggggggggg"
    assert embed(client, name) == (404, said)


def test_a_label_of_one_checkpoint_over_two_corpora_is_no_question(
    client: TestClient, registry: Registry, components: Fakes
) -> None:
    registry.promote("other", pin("retriever:robust@5 > reranker:refine@10", generation="h"), Note())
    assert embed(client, "retriever:robust")[0] == 200
    assert embed(client, None)[0] == 200
    assert embed(client, "retriever-hhhhhhhhhhhh")[0] == 200
    assert [generation[0] for generation, _, _ in components.calls] == ["g", "g", "h"]


def test_a_label_of_two_checkpoints_is_refused_and_their_own_names_are_told(
    client: TestClient, registry: Registry
) -> None:
    registry.promote("other", pin("retriever:robust@5 > reranker:refine@10", "s", "l", "h"), Note())
    said = "applications mean different checkpoints by that name: name one of "
    assert embed(client, "retriever:robust") == (400, said + "retriever-gggggggggggg, retriever-hhhhhhhhhhhh")
    assert rerank(client, "reranker:refine") == (400, said + "reranker-kkkkkkkkkkkk, reranker-llllllllllll")
    assert embed(client, "retriever-hhhhhhhhhhhh")[0] == rerank(client, "reranker-llllllllllll")[0] == 200
    listed = [model["id"] for model in client.get("/v1/models").json()["data"]]
    assert "retriever:robust" not in listed and "retriever-hhhhhhhhhhhh" in listed


def test_no_name_where_several_run_is_refused(client: TestClient, registry: Registry) -> None:
    registry.promote("other", pin("retriever:hard@5 > none@10", "s", generation="h"), Note())
    assert embed(client, None) == (
        400,
        "several retrievers run: name one of retriever:robust, retriever-gggggggggggg, retriever:hard, "
        "retriever-hhhhhhhhhhhh",
    )
    assert rerank(client, None)[0] == 200


def test_a_fusions_members_go_by_their_digests(client: TestClient, registry: Registry, components: Fakes) -> None:
    registry.promote("app", fused(), Note())
    assert embed(client, "retriever-yyyyyyyyyyyy")[0] == 200
    assert components.calls[0][0] == "y" * 64
    said = "no retriever of that name: there are retriever-yyyyyyyyyyyy"
    assert embed(client, "retriever:ensemble") == (404, said)  # and BM25 is none that embeds


def test_where_nothing_can_answer_that_is_said(client: TestClient, registry: Registry) -> None:
    registry.promote("app", pin("bm25@5 > none@10"), Note())
    assert embed(client, None) == (404, "no retriever runs that could answer")
    assert rerank(client, "reranker:refine") == (404, "no reranker runs that could answer")


def test_components_on_trial_have_names_once_they_answer(client: TestClient, registry: Registry) -> None:
    trial = replace(pin("retriever:robust@5 > reranker:late@10"), reranker="t" * 64)
    registry.try_out("app", "canary", trial, 0.1, Note())
    assert rerank(client, "reranker:late")[0] == 200
