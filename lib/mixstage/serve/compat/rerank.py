"""Rerank endpoints: the object that Cohere, Jina, vLLM and infinity answer, and the dispatch of POST /rerank."""

import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from mixstage.serve.answering.calls import score_documents
from mixstage.serve.compat.family import Backend, Family, refused, sentence
from mixstage.serve.compat.scores import ranked
from mixstage.serve.compat.tei import TextsRequest, error_body, rerank_texts
from mixstage.serve.compat.tei import shape as tei_shape
from mixstage.serve.compat.texts import Documents, Query, words
from mixstage.serve.problems import Refusal
from mixstage.store.plain import Json

_NOT_OBEYED = {  # wishes for which an answer has a warning
    "max_tokens_per_doc": "the model reads as much of a document as it was trained to",
    "relevant_spans": "the model scores documents as a whole",
}


class DocumentsRequest(BaseModel):
    """What clients of Cohere (v1, v2), Jina, vLLM and infinity send; a document is a text or {"text": ...}."""

    query: Query
    documents: Documents
    model: str | None = None
    top_n: int | None = Field(None, ge=1)
    return_documents: bool = False
    raw_scores: bool = False
    max_tokens_per_doc: Any = None
    relevant_spans: Any = None


def router(backend: Backend) -> APIRouter:
    """POST /v2/rerank, /v1/rerank and /rerank.

    /rerank belongs to two families: a body with `texts` is text-embeddings-inference's, any other infinity's.
    """
    routes = APIRouter(tags=["rerank"])

    @routes.post("/v2/rerank", summary="Rerank documents: Cohere, vLLM")
    async def _v2(request: DocumentsRequest) -> dict[str, Any]:
        return {**await _rerank(backend, request), "meta": _meta(request, "2")}

    @routes.post("/v1/rerank", summary="Rerank documents: Jina, Cohere, vLLM")
    async def _v1(request: DocumentsRequest) -> dict[str, Any]:
        return {**await _rerank(backend, request), "meta": _meta(request, "1")}

    async def _texts(request: TextsRequest, response: Response) -> list[dict[str, Any]]:
        return await rerank_texts(backend, request, response, None)

    async def _documents(request: DocumentsRequest) -> dict[str, Any]:
        answer = await _rerank(backend, request)
        for result in answer["results"]:
            if request.return_documents:
                result["document"] = result["document"]["text"]  # infinity's client wants the plain text
        return answer

    answer_texts = APIRoute("/rerank", _texts, methods=["POST"]).get_route_handler()
    answer_documents = APIRoute("/rerank", _documents, methods=["POST"]).get_route_handler()

    class Either(APIRoute):
        """Reads the body before it knows whose request it is."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            async def dispatch(request: Request) -> Response:
                is_tei = await _has_texts(request)
                request.state.shape = tei_shape if is_tei else _shape
                return await (answer_texts if is_tei else answer_documents)(request)

            return dispatch

    either = APIRouter(route_class=Either, tags=["rerank"])
    either.post("/rerank", summary="Rerank documents: infinity; with `texts`, text-embeddings-inference")(_documents)
    routes.include_router(either)
    return routes


async def _has_texts(request: Request) -> bool:
    try:
        body = await request.json()
    except Exception:  # unreadable, too large or cut off: the route that reads it again says so
        return False
    return isinstance(body, dict) and "texts" in body


async def _rerank(backend: Backend, request: DocumentsRequest) -> dict[str, Any]:
    """The object that Cohere, Jina, vLLM and infinity answer, `results` best first.

    usage counts words between spaces: rerankers don't say what they read in tokens.
    """
    if not request.documents:
        raise Refusal(400, "documents: send one document or more", code="empty")
    model = await backend.models.find("reranker", request.model)
    logits = await score_documents(backend.components, model.checkpoint, request.query, request.documents)
    order = ranked(logits, raw=request.raw_scores)[: request.top_n]
    read = len(logits) * words([request.query]) + words(request.documents)
    return {
        "id": str(uuid.uuid4()),
        "object": "rerank",
        "model": request.model or model.label,
        "created": int(time.time()),
        "results": [_result(request, index, score) for index, score in order],
        "usage": {"prompt_tokens": read, "total_tokens": read},
    }


def _result(request: DocumentsRequest, index: int, score: float) -> dict[str, Json]:
    document = {"document": {"text": request.documents[index]}} if request.return_documents else {}
    return {"index": index, "relevance_score": score, **document}


def _meta(request: DocumentsRequest, version: str) -> dict[str, Json]:
    ignored = request.model_dump(include=set(_NOT_OBEYED), exclude_none=True)
    warnings = [f"{name} is not obeyed: {_NOT_OBEYED[name]}" for name in ignored]
    return {"api_version": {"version": version}, "warnings": warnings}


def _shape(refusal: Refusal) -> JSONResponse:
    """{"message", "detail"}: of a rerank object Cohere's clients read the first, Jina's the second."""
    return refused(refusal, refusal.status, {"message": sentence(refusal), "detail": sentence(refusal)})


def _either_shape(refusal: Refusal) -> JSONResponse:
    """A refusal of /rerank before its body is read, which alone tells whose it is: both families find their keys."""
    body = {"message": sentence(refusal), "detail": sentence(refusal), **error_body(refusal, refusal.status)}
    return refused(refusal, refusal.status, body)


FAMILY = Family(router=router, shapes={"v1/rerank": _shape, "v2/rerank": _shape, "rerank": _either_shape})
