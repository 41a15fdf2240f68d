"""OpenAI's embeddings and list of models."""

import base64
import struct
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mixstage.serve.compat.texts import MAX_TEXT, MAX_TEXTS
from tests.serve.compat.fakes import Fakes


def embed(client: TestClient, **body: Any) -> Any:
    return client.post("/v1/embeddings", json=body)


def test_vectors_come_in_input_order_with_the_tokens_that_were_read(client: TestClient) -> None:
    answer = embed(client, input=["one two", "three"], model="retriever:robust")
    tenth = 0.10000000149011612  # what float32 makes of 0.1
    assert answer.json() == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [7.0, -1.0, tenth]},
            {"object": "embedding", "index": 1, "embedding": [5.0, -1.0, tenth]},
        ],
        "model": "retriever:robust",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }


def test_base64_holds_float32_lowest_byte_first(client: TestClient) -> None:
    answer = embed(client, input="abc", encoding_format="base64").json()
    assert struct.unpack("<3f", base64.b64decode(answer["data"][0]["embedding"])) == pytest.approx((3, -1, 0.1))


@pytest.mark.parametrize(
    ("input_type", "kind"),
    [
        (None, "document"),
        ("document", "document"),
        ("passage", "document"),
        ("search_document", "document"),
        ("query", "query"),
        ("search_query", "query"),
    ],
)
def test_a_text_is_a_document_unless_it_is_said_to_be_a_query(
    client: TestClient, components: Fakes, input_type: str | None, kind: str
) -> None:
    assert embed(client, input="a", **({"input_type": input_type} if input_type else {})).status_code == 200
    assert components.calls == [("g" * 64, ["a"], kind)]


def test_many_long_texts_are_asked_for_in_pieces(client: TestClient, components: Fakes) -> None:
    texts = ["a" * 40_000, "b" * 24_000, "c", "d" * 70_000, "e"]
    answer = embed(client, input=texts).json()
    assert [row["embedding"][0] for row in answer["data"]] == [40_000, 24_000, 1, 70_000, 1]
    assert [[text[0] for text in piece] for _, piece, _ in components.calls] == [["a", "b"], ["c"], ["d"], ["e"]]
    assert answer["usage"]["total_tokens"] == 5


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
def test_token_ids_are_refused_with_the_setting_that_sends_text(client: TestClient, tokens: Any) -> None:
    answer = embed(client, input=tokens)
    assert answer.status_code == 400
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json() == {
        "error": {
            "message": "input: token ids of another model's vocabulary mean nothing here: send text "
            "(check_embedding_ctx_length=False)",
            "type": "invalid_request_error",
            "param": "input",
            "code": None,
        }
    }


def test_dimensions_may_be_the_models_own_only(client: TestClient) -> None:
    assert embed(client, input="a", dimensions=3).status_code == 200
    answer = embed(client, input="a", dimensions=2)
    assert answer.status_code == 400
    assert "3 dimensions" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "input: Field required"),
        ({"input": []}, "none of them empty"),
        ({"input": ""}, "none of them empty"),
        ({"input": ["a", ""]}, "none of them empty"),
        ({"input": ["a"] * (MAX_TEXTS + 1)}, "2048"),
        ({"input": "a" * (MAX_TEXT + 1)}, "122880"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": "a", "encoding_format": "int8"}, "'float' or 'base64'"),
        ({"input": "a", "input_type": "poem"}, "'query'"),
    ],
)
def test_limits_and_mistakes_are_told_with_the_limit_and_no_echo(
    client: TestClient, body: dict[str, Any], words: str
) -> None:
    answer = embed(client, **body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert len(answer.text) < 700 and "aaa" not in answer.text and "poem" not in answer.text


def test_fields_that_openai_knows_and_we_do_not_are_let_through(client: TestClient) -> None:
    assert embed(client, input="a", user="u").status_code == 200


def test_models_are_listed_under_their_stage_and_under_a_name_that_is_nobody_elses(client: TestClient) -> None:
    body = client.get("/v1/models").json()
    assert body["object"] == "list"
    names = ["retriever:robust", "retriever-gggggggggggg", "reranker:refine", "reranker-kkkkkkkkkkkk"]
    assert [model["id"] for model in body["data"]] == names
    assert {(model["object"], model["owned_by"]) for model in body["data"]} == {("model", "mixstage")}
    assert all(isinstance(model["created"], int) for model in body["data"])


def test_infinitys_clients_find_the_same_without_v1(client: TestClient) -> None:
    assert client.post("/embeddings", json={"input": "a"}).json() == embed(client, input="a").json()
    assert client.get("/models").json() == client.get("/v1/models").json()
