"""Searches of applications in the shape of OpenAI's vector stores."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from mixstage.serve.compat.conditions import Filter, joined, of_openai
from mixstage.serve.compat.family import Backend, Family
from mixstage.serve.compat.finding import MAX_QUERIES, WholeHit
from mixstage.serve.compat.openai import shape
from mixstage.serve.compat.texts import Query
from mixstage.store.plain import Json


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _no_rewriting(value: bool) -> bool:
    if value:
        raise ValueError("queries are searched as they are: send false, or leave it out")
    return value


class Ranking(BaseModel):
    """The composition that is pinned ranks; a client can't choose another, or none."""

    ranker: Literal["auto", "default-2024-08-21", "default-2024-11-15"] = "auto"
    score_threshold: float = Field(0, ge=0, le=1)


class StoreRequest(BaseModel):
    """What `vector_stores.search` sends; of several queries, a document has its best score."""

    query: Annotated[
        list[Query],
        Field(min_length=1, max_length=MAX_QUERIES),
        BeforeValidator(_one_or_many, json_schema_input_type=str | list[str]),
    ]
    max_num_results: int = Field(10, ge=1, le=50)
    filters: Filter | None = None
    ranking_options: Ranking | None = None
    rewrite_query: Annotated[bool, AfterValidator(_no_rewriting)] = False


def router(backend: Backend) -> APIRouter:
    """POST /v1/vector_stores/{application}/search."""
    routes = APIRouter(tags=["OpenAI"])

    @routes.post("/v1/vector_stores/{application}/search", summary="Search an application as a vector store")
    async def _search(application: str, body: StoreRequest, request: Request) -> dict[str, Any]:
        wanted = joined(of_openai(body.filters)) if body.filters else None
        k = body.max_num_results
        answers = await backend.finder.find_all(request, application, [(query, k, wanted) for query in body.query])
        threshold = body.ranking_options.score_threshold if body.ranking_options else 0
        hits = [hit for hit in _best(answers)[:k] if hit["score"] >= threshold]
        return {
            "object": "vector_store.search_results.page",
            "search_query": body.query,
            "data": [_result(hit) for hit in hits],
            "has_more": False,
            "next_page": None,
        }

    return routes


def _best(answers: list[list[WholeHit]]) -> list[WholeHit]:
    """Each document once, with its best score; one answer stays in its own order."""
    if len(answers) == 1:
        return answers[0]
    best: dict[str, WholeHit] = {}
    for hit in (hit for answer in answers for hit in answer):
        if hit["id"] not in best or hit["score"] > best[hit["id"]]["score"]:
            best[hit["id"]] = hit
    return sorted(best.values(), key=lambda hit: -hit["score"])


def _result(hit: WholeHit) -> dict[str, Json]:
    return {
        "file_id": hit["id"],
        "filename": hit["title"] or hit["id"],
        "score": hit["score"],
        "attributes": {},
        "content": [{"type": "text", "text": hit["text"]}],
    }


FAMILY = Family(router=router, shapes={"v1/vector_stores": shape})
