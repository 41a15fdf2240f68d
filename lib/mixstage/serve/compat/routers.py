"""The families of compatible endpoints, and all of their routes as one router."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter

from mixstage.errors import PlanError
from mixstage.plugins import find
from mixstage.serve.compat import dify, langchain, openai, rerank, stores, tei
from mixstage.serve.compat.family import Backend, Family, Shape

FAMILIES: Mapping[str, Family] = {
    "openai": openai.FAMILY,
    "rerank": rerank.FAMILY,
    "text-embeddings-inference": tei.FAMILY,
    "vector-stores": stores.FAMILY,
    "dify": dify.FAMILY,
    "langchain": langchain.FAMILY,
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "Refused, in the shape of this API's own errors"},
    "5XX": {"description": "Busy or failed, likewise; 503 says when to come again"},
}


def families(endpoints: Sequence[str] = ()) -> dict[str, Family]:
    """name -> family: those of the table, then the plan's.

    endpoints: names of entry points of the group `mixstage.endpoints`, or PACKAGE.MODULE:NAME. Raises PlanError for one
    that is not there or is not a `Family`, and for two families that claim the same paths.
    """
    members = {**FAMILIES, **{name: find("endpoints", name, FAMILIES, Family) for name in endpoints}}
    owners: dict[str, str] = {}
    for name, family in members.items():
        for path in family.shapes:
            if path in owners:
                raise PlanError(f"serving.endpoints: {name!r} and {owners[path]!r} both answer /{path}: leave one out")
            owners[path] = name
    return members


def shapes_of(members: Iterable[Family]) -> dict[str, Shape]:
    """How each family writes refusals, by the beginning of a path."""
    return {path: shape for family in members for path, shape in family.shapes.items()}


def compatible_routes(members: Iterable[Family], backend: Backend) -> APIRouter:
    """Embeddings, reranking and searches in the shapes of other servers."""
    every = APIRouter(responses=_RESPONSES)
    for family in members:
        every.include_router(family.router(backend))
    return every
