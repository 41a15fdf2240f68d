"""Dify's external knowledge API: POST /retrieval, where a knowledge base is an application."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, Field

from mixstage.serve.answering.search import MAX_K
from mixstage.serve.compat.conditions import Condition, either, joined
from mixstage.serve.compat.family import Backend, Family, refused, sentence
from mixstage.serve.compat.texts import Query
from mixstage.serve.problems import Refusal
from mixstage.store.plain import Json

_OPERATORS = {
    "is": "eq",
    "=": "eq",
    "in": "any",
    ">": "gt",
    "≥": "gte",
    "<": "lt",
    "≤": "lte",
    "after": "gt",
    "before": "lt",
}
_NO_SUCH_KNOWLEDGE = 2001  # Dify's code
_NUMERIC = ("=", ">", "≥", "<", "≤")  # Dify's word for them; it may send the numbers as text


def _one(value: Any) -> Any:
    """Older versions of Dify send the name of a field in a list."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


class MetadataCondition(BaseModel):
    name: Annotated[str, BeforeValidator(_one, json_schema_input_type=str | list[str])]
    comparison_operator: str
    value: str | int | float | list[str] | None = None


class MetadataConditions(BaseModel):
    logical_operator: Literal["and", "or"] = "and"
    conditions: list[MetadataCondition]


class RetrievalSetting(BaseModel):
    top_k: int = Field(10, ge=1, le=MAX_K)
    score_threshold: float = 0


class RetrievalRequest(BaseModel):
    """What Dify posts."""

    knowledge_id: str
    query: Query
    retrieval_setting: RetrievalSetting = RetrievalSetting()
    metadata_condition: MetadataConditions | None = None


def router(backend: Backend) -> APIRouter:
    """POST /retrieval."""
    routes = APIRouter(tags=["Dify"])

    @routes.post("/retrieval", summary="Search an application as an external knowledge base")
    async def _retrieval(body: RetrievalRequest, request: Request) -> dict[str, Any]:
        setting = body.retrieval_setting
        wanted = _filter(body.metadata_condition) if body.metadata_condition else None
        hits = await backend.finder.find(request, body.knowledge_id, body.query, setting.top_k, wanted)
        return {
            "records": [
                {"content": hit["text"], "score": hit["score"], "title": hit["title"], "metadata": {"id": hit["id"]}}
                for hit in hits
                if hit["score"] >= setting.score_threshold
            ]
        }

    return routes


def _filter(given: MetadataConditions) -> dict[str, Json] | None:
    conditions = [_condition(condition) for condition in given.conditions]
    return joined([either(conditions)] if given.logical_operator == "or" and conditions else conditions)


def _condition(given: MetadataCondition) -> Condition:
    operator = _OPERATORS.get(given.comparison_operator)
    if operator is None:
        raise Refusal(400, f"metadata_condition: of the comparison operators there are {', '.join(_OPERATORS)}")
    if given.value is None or isinstance(given.value, list) != (operator == "any"):
        raise Refusal(400, "metadata_condition: `in` takes a list, all other operators one value")
    return Condition(given.name, operator, _number(given) if given.comparison_operator in _NUMERIC else given.value)


def _number(given: MetadataCondition) -> str | int | float | Sequence[str] | None:
    """The number that a text says; a text that says none, such as a date, stays one."""
    if isinstance(given.value, str):
        for read in (int, float):
            try:
                return read(given.value)
            except ValueError:
                continue
    return given.value


def _shape(refusal: Refusal) -> JSONResponse:
    """{"error_code", "error_msg"}: 2001 of an unknown knowledge base, else the status."""
    code = _NO_SUCH_KNOWLEDGE if refusal.status == 404 else refusal.status
    return refused(refusal, refusal.status, {"error_code": code, "error_msg": sentence(refusal)})


FAMILY = Family(router=router, shapes={"retrieval": _shape})
