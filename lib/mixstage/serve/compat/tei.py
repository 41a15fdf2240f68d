"""text-embeddings-inference: /embed, /rerank and /info.

Its clients name no model. Where several run, one is addressed by its path: the base URL is http://HOST/tei/NAME.
"""

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from mixstage.serve.answering.calls import score_documents
from mixstage.serve.compat.family import Backend, Family, refused, sentence
from mixstage.serve.compat.openai import refuse_dimensions
from mixstage.serve.compat.scores import ranked
from mixstage.serve.compat.texts import MAX_DOCUMENTS, MAX_TEXTS, Inputs, Kind, Query, Text, embed_texts, refuse_empty
from mixstage.serve.problems import Refusal

_TYPES = {401: "Unauthorized", 424: "Backend", 429: "Overloaded"}  # all else is Validation


def _truncated(value: bool | None) -> bool | None:
    if value is False:
        raise ValueError("long texts are always truncated to what the model reads: send true, or leave it out")
    return value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _normalised(value: bool) -> bool:
    if not value:
        raise ValueError("vectors are always of unit length: send true, or leave it out")
    return value


class Reading(BaseModel):
    """How texts are read: there is one way, and other wishes are refused."""

    truncate: Annotated[bool | None, AfterValidator(_truncated)] = None
    truncation_direction: Annotated[Literal["right"], BeforeValidator(_lower)] = "right"


class EmbedRequest(Reading):
    """`prompt_name` says what the texts are; unset, as in `mixstage.serve.compat.openai`, they are documents."""

    inputs: Inputs
    prompt_name: Literal["query", "document"] | None = None
    normalize: Annotated[bool, AfterValidator(_normalised)] = True
    dimensions: int | None = None


class TextsRequest(Reading):
    query: Query
    texts: list[Text] = Field(max_length=MAX_DOCUMENTS)
    raw_scores: bool = False
    return_text: bool = False


def router(backend: Backend) -> APIRouter:
    """POST /embed, POST /tei/{model}/embed, POST /tei/{model}/rerank, GET /info, GET /tei/{model}/info.

    POST /rerank is in `mixstage.serve.compat.rerank`: infinity has it, too.
    """
    routes = APIRouter(tags=["text-embeddings-inference"])

    @routes.post("/embed", summary="Embed texts")
    @routes.post("/tei/{model}/embed", summary="Embed texts with one of several retrievers")
    async def _embed(request: EmbedRequest, response: Response, model: str | None = None) -> list[list[float]]:
        start = time.perf_counter()
        refuse_empty(request.inputs, "inputs")
        retriever = await backend.models.find("retriever", model)
        assert retriever.member is not None, "a retriever has one"
        kind: Kind = request.prompt_name or "document"
        embedded = await embed_texts(backend.components, retriever.member, request.inputs, kind)
        refuse_dimensions(request.dimensions, embedded.vectors.shape[1])
        response.headers["x-compute-tokens"] = str(embedded.tokens)
        _tell(response, start, request.inputs)
        rows: list[list[float]] = embedded.vectors.tolist()
        return rows

    @routes.post("/tei/{model}/rerank", summary="Rerank texts with one of several rerankers")
    async def _rerank(request: TextsRequest, response: Response, model: str) -> list[dict[str, Any]]:
        return await rerank_texts(backend, request, response, model)

    @routes.get("/info", summary="What is known of the retriever")
    @routes.get("/tei/{model}/info", summary="What is known of a model")
    async def _info(model: str | None = None) -> dict[str, Any]:
        """What is known of a model; lengths in tokens and the dtype are its component's own business."""
        running = await backend.models.any(model)
        embeds = running.component == "retriever"
        return {
            "model_id": running.label,
            "model_sha": running.checkpoint,
            "served_model_name": running.app,
            "model_type": {"embedding": {}} if embeds else {"reranker": {"id2label": {}, "label2id": {}}},
            "max_client_batch_size": MAX_TEXTS if embeds else MAX_DOCUMENTS,
            "auto_truncate": True,
        }

    return routes


async def rerank_texts(
    backend: Backend, request: TextsRequest, response: Response, model: str | None
) -> list[dict[str, Any]]:
    """[{index, score, text?}] of all texts, best first."""
    start = time.perf_counter()
    if not request.texts:
        raise Refusal(400, "texts: send one text or more", code="empty")
    reranker = await backend.models.find("reranker", model)
    logits = await score_documents(backend.components, reranker.checkpoint, request.query, request.texts)
    _tell(response, start, [request.query, *request.texts])
    return [
        {"index": index, "score": score, **({"text": request.texts[index]} if request.return_text else {})}
        for index, score in ranked(logits, raw=request.raw_scores)
    ]


def _tell(response: Response, start: float, texts: list[str]) -> None:
    """The headers that the gateway can fill: its own time in ms, with the component's queue, and characters."""
    took = str(round((time.perf_counter() - start) * 1000))
    response.headers["x-compute-time"] = response.headers["x-total-time"] = took
    response.headers["x-compute-characters"] = str(sum(map(len, texts)))


def shape(refusal: Refusal) -> JSONResponse:
    """{"error", "error_type"}: 429 of a full queue, where others say 503; 424 of a model that failed or was late."""
    status = {500: 424, 503: 429, 504: 424}.get(refusal.status, refusal.status)
    return refused(refusal, status, error_body(refusal, status))


def error_body(refusal: Refusal, status: int) -> dict[str, str]:
    kind = "Empty" if refusal.code == "empty" else _TYPES.get(status, "Validation")
    return {"error": sentence(refusal), "error_type": kind}


FAMILY = Family(router=router, shapes={"embed": shape, "info": shape, "tei": shape})
