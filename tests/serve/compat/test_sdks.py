"""The openai and cohere packages themselves, over a socket."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from ray.serve.exceptions import BackPressureError

from mixstage.release.keys import Keys
from mixstage.release.registry import Registry
from tests.listening import listening
from tests.serve.compat.fakes import Fakes, whole

openai = pytest.importorskip("openai", reason="openai is not installed: pip install '.[dev]'")
cohere = pytest.importorskip("cohere", reason="cohere is not installed: pip install '.[dev]'")
DOCUMENTS = ["a -1", "b 2", "c 0.5"]


@pytest.fixture
def url(client: TestClient) -> Iterator[str]:
    with listening(client.app) as url:
        yield url


@pytest.fixture
def sdk(url: str) -> Any:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="any")


@pytest.fixture
def reranking(url: str) -> Any:
    return cohere.ClientV2(api_key="any", base_url=url)


def test_openai_embeds_in_base64_which_it_asks_for_by_itself_and_in_floats(sdk: Any) -> None:
    for encoding in ({}, {"encoding_format": "float"}):
        answer = sdk.embeddings.create(model="retriever:robust", input=["one two", "three"], **encoding)
        assert [row.embedding for row in answer.data] == [pytest.approx([7, -1, 0.1]), pytest.approx([5, -1, 0.1])]
        assert answer.usage.total_tokens == 3


def test_openai_tells_a_query_by_an_extra_field(sdk: Any) -> None:
    body = {"input_type": "query"}
    answer = sdk.embeddings.create(model="retriever:robust", input="one", extra_body=body)
    assert answer.data[0].embedding == pytest.approx([3, 1, 0.1])


def test_openai_lists_models_and_searches_a_vector_store(sdk: Any, components: Fakes) -> None:
    assert [model.id for model in sdk.models.list()][:2] == ["retriever:robust", "retriever-gggggggggggg"]
    filters = {"type": "and", "filters": [{"type": "gte", "key": "year", "value": 2020}]}
    page = sdk.vector_stores.search("app", query="deposit", max_num_results=2, filters=filters)
    results = list(page)
    assert [(r.file_id, r.filename, r.content[0].text) for r in results] == [
        ("d3", "Rent", whole("d3")),
        ("d2", "d2", whole("d2")),
    ]
    assert results[0].score == pytest.approx(1 / (1 + math.exp(-3)))
    assert components.calls[0] == ("deposit", {"year": {"gte": 2020}})


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"model": "retriever:robust", "input": [1, 2]}, "BadRequestError", "check_embedding_ctx_length=False"),
        ({"model": "text-embedding-3-small", "input": "a"}, "NotFoundError", "retriever:robust"),
    ],
)
def test_openai_raises_its_own_errors_and_sends_no_second_request(
    sdk: Any, client: TestClient, asked: dict[str, Any], error: str, words: str
) -> None:
    with pytest.raises(getattr(openai, error), match=words):
        sdk.embeddings.create(**asked)
    counted = [line for line in client.get("/metrics").text.splitlines() if 'route="/v1/embeddings"' in line]
    assert [line.rpartition(" ")[2] for line in counted if "_total" in line] == ["1.0"]


def test_openai_comes_again_when_the_queue_is_full(sdk: Any, components: Fakes, monkeypatch: Any) -> None:
    answers: list[Exception | None] = [BackPressureError(5, 5, 503, 0.1), None]
    monkeypatch.setattr(Fakes, "fail", lambda self: _raise(answers.pop(0)))
    assert sdk.embeddings.create(model="retriever:robust", input="abc").data[0].embedding[0] == 3
    assert answers == [] and len(components.calls) == 2


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error


def test_openai_knows_a_wrong_key(sdk: Any, registry: Registry, url: str) -> None:
    key = Keys(registry.engine).create("one")
    with pytest.raises(openai.AuthenticationError, match="an API key is needed"):
        sdk.embeddings.create(model="retriever:robust", input="a")
    assert openai.OpenAI(base_url=f"{url}/v1", api_key=key).embeddings.create(model="", input="a").data


def test_cohere_reranks(reranking: Any) -> None:
    answer = reranking.rerank(model="reranker:refine", query="q", documents=DOCUMENTS, top_n=2)
    assert [(r.index, r.relevance_score) for r in answer.results] == [
        (1, pytest.approx(1 / (1 + math.exp(-2)))),
        (2, pytest.approx(1 / (1 + math.exp(-0.5)))),
    ]
    assert answer.id and answer.meta.api_version.version == "2" and answer.meta.warnings == []


def test_coheres_first_version_reranks_and_returns_documents(url: str) -> None:
    answer = cohere.Client(api_key="any", base_url=url).rerank(
        model="reranker:refine", query="q", documents=DOCUMENTS, return_documents=True
    )
    assert [r.index for r in answer.results] == [1, 2, 0]
    assert answer.results[0].document.text == "b 2"


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"model": "rerank-v4"}, "NotFoundError", "there are reranker:refine, reranker-kkkkkkkkkkkk"),
        ({"documents": []}, "BadRequestError", "one document or more"),
        ({"top_n": 0}, "UnprocessableEntityError", "top_n: Input should be greater than or equal to 1"),
    ],
)
def test_cohere_raises_its_own_errors(reranking: Any, asked: dict[str, Any], error: str, words: str) -> None:
    body = {"model": "reranker:refine", "query": "q", "documents": DOCUMENTS, **asked}
    with pytest.raises(getattr(cohere, error)) as raised:
        reranking.rerank(**body)
    assert words in raised.value.body["message"]
