"""LangChain's RemoteLangChainRetriever and ChatGPTPluginRetriever, each with an application in its URL."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi import Query as Parameter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from mixstage.serve.answering.search import MAX_K
from mixstage.serve.compat.family import Backend, Family, refused, sentence
from mixstage.serve.compat.finding import MAX_QUERIES, WholeHit
from mixstage.serve.compat.texts import Query
from mixstage.serve.problems import Refusal
from mixstage.store.plain import Json


class MessageRequest(BaseModel):
    """What RemoteLangChainRetriever posts; how many documents it gets, its URL says: ?k=5."""

    message: Query


class PluginQuery(BaseModel):
    """The filter is the gateway's own shape, which LangChain hands through."""

    query: Query
    filter: dict[str, Any] | None = None
    top_k: int = Field(10, ge=1, le=MAX_K)


class PluginRequest(BaseModel):
    queries: list[PluginQuery] = Field(min_length=1, max_length=MAX_QUERIES)


def router(backend: Backend) -> APIRouter:
    """POST /langchain/{application}, POST /plugin/{application}/query."""
    routes = APIRouter(tags=["LangChain"])

    @routes.post("/langchain/{application}", summary="Search: RemoteLangChainRetriever")
    async def _message(
        application: str, body: MessageRequest, request: Request, k: Annotated[int, Parameter(ge=1, le=MAX_K)] = 10
    ) -> dict[str, Any]:
        hits = await backend.finder.find(request, application, body.message, k, None)
        return {"response": [{"page_content": hit["text"], "metadata": _metadata(hit)} for hit in hits]}

    @routes.post("/plugin/{application}/query", summary="Search: ChatGPTPluginRetriever")
    async def _queries(application: str, body: PluginRequest, request: Request) -> dict[str, Any]:
        searches = [(one.query, one.top_k, one.filter) for one in body.queries]
        answers = await backend.finder.find_all(request, application, searches)
        return {
            "results": [
                {"query": one.query, "results": [_plugin_result(hit) for hit in hits]}
                for one, hits in zip(body.queries, answers, strict=True)
            ]
        }

    return routes


def _metadata(hit: WholeHit) -> dict[str, Json]:
    return {"document_id": hit["id"], "title": hit["title"], "score": hit["score"]}


def _plugin_result(hit: WholeHit) -> dict[str, Json]:
    return {"id": hit["id"], "text": hit["text"], "metadata": _metadata(hit), "score": hit["score"]}


def _shape(refusal: Refusal) -> JSONResponse:
    """{"detail"}, as FastAPI's own servers say it."""
    return refused(refusal, refusal.status, {"detail": sentence(refusal)})


FAMILY = Family(router=router, shapes={"langchain": _shape, "plugin": _shape})
