"""Every family of clients against a served model: a plan released on a real Serve, asked over real HTTP.

What is right is the native answer of the same composition, and what the checkpoint's own folder computes.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import pytest

from mixstage import AsyncClient, Client, Composition, Pipeline, Store, parse_plan
from mixstage.client import Answer
from mixstage.commands.release import promote
from mixstage.corpus.application import read_queries
from mixstage.corpus.documents import document_text, read_documents
from mixstage.models.checkpoint import open_encoder, open_reranker
from mixstage.progress import Progress
from mixstage.release.pins import open_registry
from mixstage.release.record import Note
from mixstage.serve.app import open_reconciler
from tests.serve.running import following, free_port

openai = pytest.importorskip("openai", reason="openai is not installed: pip install '.[dev]'")
cohere = pytest.importorskip("cohere", reason="cohere is not installed: pip install '.[dev]'")

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
RERANKED = Composition(retriever="base", depth=10, reranker="base")
TEXTS = ["The deposit of a tenant.", "Rent is due on the first day of the month."]
NEAR = 1e-4  # of vectors and scores: batches of other sizes move the last bits


@pytest.fixture(scope="module")
def served(ray_cluster: None, tiny_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """One transformer as retriever and as reranker by late interaction, evaluated, released and served."""
    plan = parse_plan(
        {
            "name": "served",
            "store": str(tmp_path_factory.mktemp("served")),
            "corpora": {"statutes": {"source": "sample://statutes"}},
            "applications": {
                "counsel": {"corpus": "statutes", "source": "sample://counsel", "queries": {"dev": 10, "test": 10}}
            },
            "retriever": {"base": str(tiny_model), "max_length": 64},
            "reranker": {"base": str(tiny_model), "max_length": 64, "architecture": "late_interaction"},
            "grid": {"depths": [10], "mix": [], "ranking_depth": 20, "bm25": False},
            "selection": {"bootstrap": 100},
            "serving": {"port": free_port()},
        }
    )
    pipeline = Pipeline(plan, Store(plan.store), Progress())
    promote(pipeline, "counsel", RERANKED, Note(), force=True)
    with following(open_reconciler(plan, pipeline.store, open_registry(plan, pipeline.store))):
        yield pipeline


@pytest.fixture(scope="module")
def url(served: Pipeline) -> str:
    return f"http://127.0.0.1:{served.plan.serving.port}"


@pytest.fixture(scope="module")
def query(served: Pipeline) -> str:
    return str(read_queries(served.prepared.applications["counsel"], "test")["text"][0])


@pytest.fixture(scope="module")
def native(url: str, query: str) -> Answer:
    """What mixstage's own client gets: the answer that all others are held against."""
    with Client(url, deadline_s=60) as client:
        return client.search("counsel", query, k=5, explain=True)


@pytest.fixture(scope="module")
def candidates(url: str, query: str) -> list[str]:
    """Ids of what the reranker reads, in the retriever's order."""
    with Client(url, deadline_s=60) as client:
        answer = client.search("counsel", query, k=10, composition="retriever:base@10 > none@10")
    return [hit.id for hit in answer.hits]


@pytest.fixture(scope="module")
def documents(served: Pipeline, candidates: list[str]) -> dict[str, str]:
    """Candidate -> its text as rerankers read it."""
    found = read_documents(served.prepared.corpora["statutes"], set(candidates))
    return {name: document_text(*found[name]) for name in candidates}


def sigmoids(logits: Any) -> Any:
    return pytest.approx(1 / (1 + np.exp(-np.asarray(logits, dtype=np.float64))), abs=NEAR)


def relevances(native: Answer) -> Any:
    """Scores of the native hits as other families have them."""
    return sigmoids([hit.score for hit in native.hits])


def post(url: str, path: str, body: dict[str, Any]) -> Any:
    answer = httpx2.post(f"{url}{path}", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_native_answer_is_what_the_checkpoints_compute(
    served: Pipeline, native: Answer, query: str, candidates: list[str], documents: dict[str, str]
) -> None:
    reranker = open_reranker(served.curriculum.rerankers["base"])
    logits = reranker.score([query] * len(candidates), [documents[name] for name in candidates])
    order = sorted(zip(logits.tolist(), candidates, strict=True), reverse=True)[:5]
    assert [hit.id for hit in native.hits] == [name for _, name in order]
    assert [hit.score for hit in native.hits] == pytest.approx([logit for logit, _ in order], abs=NEAR)
    assert [hit.ranks.retrieval for hit in native.hits if hit.ranks] == [
        candidates.index(name) + 1 for _, name in order
    ]


def test_native_clients_agree_and_are_heard(url: str, native: Answer, query: str) -> None:
    with Client(url, deadline_s=60) as client:
        many = client.search_many("counsel", [query, query], k=5)
        assert [[hit.id for hit in one.hits] for one in many if isinstance(one, Answer)] == [
            [hit.id for hit in native.hits]
        ] * 2
        assert client.applications()["counsel"].composition == str(RERANKED)
        client.feedback("counsel", native.request_id, native.hits[0].id, "relevant")

    async def ask() -> Answer:
        async with AsyncClient(url, deadline_s=60) as awaited:
            return await awaited.search("counsel", query, k=5)

    assert [hit.id for hit in asyncio.run(ask()).hits] == [hit.id for hit in native.hits]


def test_openai_embeds_as_the_checkpoint_does(served: Pipeline, url: str) -> None:
    encoder = open_encoder(served.curriculum.retrievers["base"])
    sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="any")
    assert "retriever:base" in [model.id for model in sdk.models.list()]
    for options in ({}, {"encoding_format": "float"}):  # base64 is what it asks for by itself
        rows = sdk.embeddings.create(model="retriever:base", input=TEXTS, **options).data
        np.testing.assert_allclose([row.embedding for row in rows], encoder.encode(TEXTS, "document"), atol=NEAR)
    row = sdk.embeddings.create(model="retriever:base", input=TEXTS[0], extra_body={"input_type": "query"}).data[0]
    np.testing.assert_allclose([row.embedding], encoder.encode(TEXTS[:1], "query"), atol=NEAR)


def test_openais_vector_store_has_the_native_hits(url: str, native: Answer, query: str) -> None:
    sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="any")
    results = list(sdk.vector_stores.search("counsel", query=query, max_num_results=5))
    assert [result.file_id for result in results] == [hit.id for hit in native.hits]
    assert [result.score for result in results] == relevances(native)


@pytest.mark.parametrize("version", ["ClientV2", "Client"])
def test_cohere_reranks_the_candidates_into_the_native_answer(
    version: str, url: str, native: Answer, query: str, documents: dict[str, str]
) -> None:
    sdk = getattr(cohere, version)(api_key="any", base_url=url)
    answer = sdk.rerank(model="reranker:base", query=query, documents=list(documents.values()), top_n=5)
    assert [list(documents)[result.index] for result in answer.results] == [hit.id for hit in native.hits]
    assert [result.relevance_score for result in answer.results] == relevances(native)


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_jina_vllm_and_infinity_rerank_the_candidates_into_the_native_answer(
    path: str, url: str, native: Answer, query: str, documents: dict[str, str]
) -> None:
    body = {"model": "reranker:base", "query": query, "documents": list(documents.values()), "top_n": 5}
    results = post(url, path, {**body, "return_documents": True})["results"]
    assert [list(documents)[result["index"]] for result in results] == [hit.id for hit in native.hits]
    assert [result["relevance_score"] for result in results] == relevances(native)
    texts = [result["document"] if path == "/rerank" else result["document"]["text"] for result in results]
    assert texts == [documents[hit.id] for hit in native.hits]


def test_text_embeddings_inference_embeds_and_reranks(
    served: Pipeline, url: str, native: Answer, query: str, documents: dict[str, str]
) -> None:
    encoder = open_encoder(served.curriculum.retrievers["base"])
    np.testing.assert_allclose(post(url, "/embed", {"inputs": TEXTS}), encoder.encode(TEXTS, "document"), atol=NEAR)
    asked = post(url, "/embed", {"inputs": TEXTS, "prompt_name": "query"})
    np.testing.assert_allclose(asked, encoder.encode(TEXTS, "query"), atol=NEAR)
    ranked = post(url, "/rerank", {"query": query, "texts": list(documents.values()), "raw_scores": True})[:5]
    assert [list(documents)[row["index"]] for row in ranked] == [hit.id for hit in native.hits]
    assert [row["score"] for row in ranked] == pytest.approx([hit.score for hit in native.hits], abs=NEAR)
    assert httpx2.get(f"{url}/info", timeout=60).json()["model_id"] == "retriever:base"


def test_dify_gets_the_native_hits_as_records(served: Pipeline, url: str, native: Answer, query: str) -> None:
    body = {"knowledge_id": "counsel", "query": query, "retrieval_setting": {"top_k": 5, "score_threshold": 0.0}}
    records = post(url, "/retrieval", body)["records"]
    assert [record["metadata"]["id"] for record in records] == [hit.id for hit in native.hits]
    assert [record["score"] for record in records] == relevances(native)
    whole = read_documents(served.prepared.corpora["statutes"], {hit.id for hit in native.hits})
    assert [(record["title"], record["content"]) for record in records] == [whole[hit.id] for hit in native.hits]


def test_langchains_shapes_have_the_native_hits(url: str, native: Answer, query: str) -> None:
    remote = post(url, "/langchain/counsel?k=5", {"message": query})["response"]
    plugin = post(url, "/plugin/counsel/query", {"queries": [{"query": query, "top_k": 5}]})["results"][0]["results"]
    assert [one["metadata"]["document_id"] for one in remote] == [hit.id for hit in native.hits]
    assert [one["id"] for one in plugin] == [hit.id for hit in native.hits]
    assert [one["metadata"]["score"] for one in remote] == [one["score"] for one in plugin] == relevances(native)
    assert [one["page_content"] for one in remote] == [one["text"] for one in plugin]
