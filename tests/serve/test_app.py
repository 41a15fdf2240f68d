"""Real Serve applications: the answers are those the grid evaluated, and pins move without restarts."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mixstage.commands.release import promote
from mixstage.commands.serve import curl_line
from mixstage.composition import Composition
from mixstage.corpus.application import read_queries
from mixstage.corpus.documents import document_text, read_documents
from mixstage.evaluation.rankings import rank_all, read_ranking
from mixstage.models.hashing import HashingEncoder, HashingReranker
from mixstage.pipeline import Pipeline
from mixstage.plan.load import parse_plan
from mixstage.progress import Progress
from mixstage.release.pins import open_registry
from mixstage.release.record import Note
from mixstage.serve.app import open_reconciler
from mixstage.store.store import Store
from tests.serve.running import following, free_port

pytestmark = pytest.mark.slow
RERANKED = Composition(retriever="base", depth=10, reranker="base")
LEXICAL = Composition(retriever="bm25", depth=5, reranker="none")
FUSED = Composition(retriever="ensemble", depth=20, reranker="none")
FUSED_RERANKED = Composition(retriever="ensemble", depth=10, reranker="base")


@pytest.fixture(scope="module")
def served(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A plan without training, evaluated, released and deployed on a free port."""
    port = free_port()
    plan = parse_plan(
        {
            "name": "served",
            "store": str(tmp_path_factory.mktemp("served")),
            "corpora": {"statutes": {"source": "sample://statutes"}},
            "applications": {
                name: {"corpus": "statutes", "source": f"sample://{name}", "queries": {"dev": 10, "test": 15}}
                for name in ("counsel", "drafting", "casework")
            },
            "retriever": {"base": "hashing://256"},
            "reranker": {"base": "hashing://256"},
            "grid": {
                "depths": [5, 10],
                "ranking_depth": 20,
                "fusions": {"ensemble": {"of": ["base", "bm25"]}},
            },
            "serving": {"port": port},
        }
    )
    pipeline = Pipeline(plan, Store(plan.store), Progress())
    promote(pipeline, "counsel", RERANKED, Note(), force=True)
    promote(pipeline, "drafting", LEXICAL, Note(), force=True)
    promote(pipeline, "casework", FUSED, Note(), force=True)
    reconciler = open_reconciler(plan, pipeline.store, open_registry(plan, pipeline.store))
    with following(reconciler):
        yield pipeline


def ask(pipeline: Pipeline, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{pipeline.plan.serving.port}/v1/search",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def offline(pipeline: Pipeline, application: str, composition: Composition) -> dict[str, list[str]]:
    """query text -> the ids that the grid's artifacts say a composition answers."""
    rankings = rank_all(pipeline.indexer, pipeline.retrievers)
    ranking = read_ranking(rankings[application, composition.retriever]).filter(pl.col("rank") <= composition.depth)
    texts = read_documents(pipeline.prepared.corpora["statutes"], set(ranking["doc_id"]))
    answers = {}
    for query_id, query in (
        read_queries(pipeline.prepared.applications[application], "test").select("query_id", "text").iter_rows()
    ):
        top = ranking.filter(pl.col("query_id") == query_id)
        scores = top["score"].to_list()
        if composition.reranker != "none":
            documents = [document_text(*texts[doc_id]) for doc_id in top["doc_id"]]
            scores = HashingReranker().score([query] * len(documents), documents).tolist()
        order = sorted(zip(scores, top["doc_id"], strict=True), reverse=True)
        answers[query] = [doc_id for _, doc_id in order][:10]
    return answers


@pytest.mark.parametrize(
    ("application", "composition"), [("counsel", RERANKED), ("drafting", LEXICAL), ("casework", FUSED)]
)
def test_answers_are_those_of_the_grid(served: Pipeline, application: str, composition: Composition) -> None:
    expected = offline(served, application, composition)
    assert len(expected) == 15
    for query, ids in expected.items():
        status, body = ask(served, {"application": application, "query": query})
        assert status == 200
        assert [hit["id"] for hit in body["hits"]] == ids
        assert body["composition"] == str(composition)


def test_promote_and_rollback_reach_the_gateway_without_a_restart(served: Pipeline) -> None:
    registry = open_registry(served.plan, served.store)
    promote(served, "drafting", RERANKED, Note(), force=True)  # its components run already, for counsel
    assert_soon_served(served, "drafting", str(RERANKED))
    registry.rollback("drafting", Note())
    assert_soon_served(served, "drafting", str(LEXICAL))


def assert_soon_served(pipeline: Pipeline, application: str, composition: str) -> None:
    import time

    deadline = time.monotonic() + 20
    while ask(pipeline, {"application": application, "query": "deposit"})[1]["composition"] != composition:
        assert time.monotonic() < deadline, f"{application} never came to {composition}"
        time.sleep(0.2)


def test_a_fused_and_reranked_answer_is_that_of_the_grid(served: Pipeline) -> None:
    promote(served, "casework", FUSED_RERANKED, Note(), force=True)
    assert_soon_served(served, "casework", str(FUSED_RERANKED))
    for query, ids in offline(served, "casework", FUSED_RERANKED).items():
        assert [hit["id"] for hit in ask(served, {"application": "casework", "query": query})[1]["hits"]] == ids


def test_errors_of_the_real_server(served: Pipeline) -> None:
    assert ask(served, {"application": "nope", "query": "x"})[0] == 404
    assert ask(served, {"application": "counsel", "query": "x", "k": 0})[0] == 422


def test_the_printed_curl_line_works(served: Pipeline) -> None:
    import subprocess

    line = curl_line(served.plan, served.store, open_registry(served.plan, served.store), served.progress)
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    assert len(json.loads(done.stdout)["hits"]) == 3


def test_components_load_what_is_pinned(served: Pipeline, tmp_path: Path) -> None:
    from mixstage.errors import StoreError
    from mixstage.serve.retriever import RetrieverService

    pin = open_registry(served.plan, served.store).live()["counsel"].pin
    with pytest.raises(StoreError, match="no generation/nope"):
        RetrieverService(served.store.uri, pin.corpus, "nope", pin.retriever)


def post(pipeline: Pipeline, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{pipeline.plan.serving.port}{path}",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def test_compatible_endpoints_answer_with_the_served_models_and_whole_documents(served: Pipeline) -> None:
    texts = ["The deposit of a tenant.", "Rent"]
    answer = post(served, "/v1/embeddings", {"model": "retriever:base", "input": texts})
    found = np.array([row["embedding"] for row in answer["data"]], dtype=np.float32)
    np.testing.assert_array_equal(found, HashingEncoder(256).encode(texts, "document"))
    assert answer["usage"]["total_tokens"] == 6
    logits = HashingReranker().score(["deposit"] * 2, texts).astype(float)
    answer = post(served, "/rerank", {"query": "deposit", "texts": texts})
    assert [row["index"] for row in answer] == [0, 1]
    assert [row["score"] for row in answer] == pytest.approx(list(1 / (1 + np.exp(-logits))))
    hits = ask(served, {"application": "counsel", "query": "deposit"})[1]["hits"]
    results = post(served, "/v1/vector_stores/counsel/search", {"query": "deposit"})["data"]
    documents = read_documents(served.prepared.corpora["statutes"], {hit["id"] for hit in hits})
    assert [(r["file_id"], r["content"][0]["text"]) for r in results] == [
        (h["id"], documents[h["id"]][1]) for h in hits
    ]
