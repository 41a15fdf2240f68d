"""The gateway's API with ten-line components: routing, errors, and the order that the grid evaluated."""

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient

from mixstage.evaluation.fusion import fuse_rankings, mix_scores
from mixstage.index.search import rank_by_score
from mixstage.release.record import Fusion, Member, Note
from mixstage.release.registry import Registry
from mixstage.serve.answering.search import MAX_K, MAX_QUERY
from tests.serve.fakes import CANDIDATES, LISTS, SCORES, Fakes, fused, gateway, pin


@pytest.fixture
def client(registry: Registry) -> TestClient:
    return gateway(registry)


def search(client: TestClient, **body: object) -> list[str]:
    answer = client.post("/v1/search", json={"application": "app", "query": "deposit", **body})
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["hits"]]


def test_hits_are_reranked_and_ties_broken_by_id_bytes(client: TestClient, registry: Registry) -> None:
    registry.promote("app", pin("retriever:robust@5 > reranker:refine@10"), Note())
    assert search(client) == ["d2", "d9", "d10", "d3", "d1"]  # "d9" > "d10" in bytes
    assert search(client, k=2) == ["d2", "d9"]


def test_depth_limits_what_the_reranker_sees(client: TestClient, registry: Registry) -> None:
    registry.promote("app", pin("retriever:robust@2 > reranker:refine@10"), Note())
    assert search(client) == ["d2", "d1"]


def test_without_a_reranker_the_retriever_decides(client: TestClient, registry: Registry) -> None:
    registry.promote("app", pin("bm25@5 > none@10"), Note())
    assert search(client) == ["d1", "d2", "d9", "d10", "d3"]


def test_a_mix_is_the_grids_mix(client: TestClient, registry: Registry) -> None:
    registry.promote("app", pin("retriever:robust@5 > 0.25*reranker:refine@10"), Note())
    first = np.array([[s for _, s in CANDIDATES]], dtype=np.float32)
    second = np.array([[SCORES[i] for i, _ in CANDIDATES]], dtype=np.float32)
    mixed = mix_scores(first, second, 0.25, np.ones_like(first, dtype=bool))[0]
    expected = sorted(zip(mixed, (i.encode() for i, _ in CANDIDATES), strict=True), reverse=True)
    assert search(client) == [name.decode() for _, name in expected]


def test_a_fusion_orders_by_reciprocal_ranks_of_its_members(client: TestClient, registry: Registry) -> None:
    # constant 1. d1: 1/2 + 1/3, d2: 1/3 + 1/2, d9: 1/4 (first member only), d3: 1/4 (second only); ties by bytes
    registry.promote("app", fused("retriever:ensemble@3 > none@10"), Note())
    body = client.post("/v1/search", json={"application": "app", "query": "deposit"}).json()
    assert [(hit["id"], hit["title"], hit["score"]) for hit in body["hits"]] == [
        ("d2", "Title of d2", pytest.approx(5 / 6)),
        ("d1", "Title of d1", pytest.approx(5 / 6)),
        ("d9", "Title of d9", pytest.approx(1 / 4)),
    ]


def test_a_weighted_fusion_is_the_one_of_the_offline_rankings(client: TestClient, registry: Registry) -> None:
    # g1: .9, .8, .7 -> d1 1, d2 .5, d9 0. g2: 30, 20, 10 -> d2 1, d1 .5, d3 0. Weights 2 and 1.
    members = (Member(generation="g1", retriever="r1", weight=2.0), Member(generation="g2", retriever=None, weight=1.0))
    plain = fused("retriever:ensemble@3 > none@10")
    registry.promote("app", replace(plain, fusion=Fusion(members=members, constant=1, depth=3)), Note())
    body = client.post("/v1/search", json={"application": "app", "query": "deposit"}).json()
    frames = [
        rank_by_score(
            pl.DataFrame(LISTS[name][:3], schema={"doc_id": pl.String, "score": pl.Float32}, orient="row").with_columns(
                pl.lit("q").alias("query_id")
            )
        )
        for name in ("g1", "g2")
    ]
    offline = fuse_rankings(frames, 1, 3, (2.0, 1.0))
    assert [hit["id"] for hit in body["hits"]] == offline["doc_id"].to_list() == ["d1", "d2", "d9"]
    assert [hit["score"] for hit in body["hits"]] == offline["score"].to_list() == [2.5, pytest.approx(2.0), 0.0]


def test_members_answer_to_the_fusions_depth_and_the_reranker_sees_the_compositions(
    client: TestClient, registry: Registry
) -> None:
    registry.promote("app", fused("retriever:ensemble@1 > none@10"), Note())
    assert search(client) == ["d2"]  # at depth 1 of each member, d1 and d2 would tie at 1/2: d2; d1 is 5/6, too
    registry.promote("app", fused("retriever:ensemble@3 > reranker:refine@10"), Note())
    assert search(client) == ["d2", "d9", "d1"]  # 3.0, 1.0, -2.0; d3 was cut before the reranker
    registry.promote("app", fused("retriever:ensemble@1 > none@10", depth=1), Note())
    assert search(client) == ["d2"]


def test_members_are_asked_at_the_same_time(registry: Registry) -> None:
    class Together(Fakes):
        def __init__(self) -> None:
            self.waiting = 0

        async def retrieve(self, member: Member, *asked: Any) -> list[dict[str, Any]]:
            self.waiting += 1
            while self.waiting < 2:  # one after the other would wait for ever
                await asyncio.sleep(0.001)
            return await super().retrieve(member, *asked)

    registry.promote("app", fused("retriever:ensemble@3 > none@10"), Note())
    client = gateway(registry, Together())
    assert search(client, k=1) == ["d2"]


def test_the_answer_names_composition_and_release(client: TestClient, registry: Registry) -> None:
    registry.promote("app", pin("bm25@5 > none@10"), Note())
    body = client.post("/v1/search", json={"application": "app", "query": "x", "k": 1}).json()
    assert (body["composition"], body["release"]) == ("bm25@5 > none@10", 1)
    assert body["hits"] == [{"id": "d1", "title": "Title of d1", "score": pytest.approx(0.9), "text": "text of d1"}]


def test_a_rollback_is_served_without_a_restart(client: TestClient, registry: Registry) -> None:
    registry.promote("app", pin("bm25@5 > none@10"), Note())
    registry.promote("app", pin("retriever:robust@5 > reranker:refine@10"), Note())
    assert search(client, k=1) == ["d2"]
    registry.rollback("app", Note())
    assert search(client, k=1) == ["d1"]


def test_unknown_applications_get_404_with_the_known_ones(client: TestClient, registry: Registry) -> None:
    registry.promote("app", pin("bm25@5 > none@10"), Note())
    answer = client.post("/v1/search", json={"application": "nope", "query": "x"})
    assert answer.status_code == 404
    assert "app" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"application": "app"},
        {"application": "app", "query": ""},
        {"application": "app", "query": "   "},
        {"application": "app", "query": "x" * (MAX_QUERY + 1)},
        {"application": "app", "query": "x", "k": 0},
        {"application": "app", "query": "x", "k": MAX_K + 1},
        {"application": "app", "query": "x", "k": "many"},
        {"application": "app", "query": 5},
        {"application": "app", "query": "x", "kk": 3},
        [],
        "text",
        None,
    ],
)
def test_malformed_requests_get_422_and_no_echo(client: TestClient, body: object) -> None:
    answer = client.post("/v1/search", json=body)
    assert answer.status_code == 422
    assert '"input"' not in answer.text and "xxx" not in answer.text and len(answer.text) < 2000


@pytest.mark.parametrize("content", [b"", b"{", b'{"application": "app", "query": "\xff"}', b"[" * 5000])
def test_unreadable_bodies_get_422(client: TestClient, content: bytes) -> None:
    answer = client.post("/v1/search", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422
