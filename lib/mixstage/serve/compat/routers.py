"""All compatible endpoints as one router."""

from typing import Any

from fastapi import APIRouter

from mixstage.serve.answering.answers import Answers
from mixstage.serve.answering.components import Components
from mixstage.serve.answering.routing import Routes
from mixstage.serve.compat import dify, langchain, openai, rerank, stores, tei
from mixstage.serve.compat.finding import Finder
from mixstage.serve.compat.models import Models

_SAID: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "Refused, in the shape of this API's own errors"},
    "5XX": {"description": "Busy or failed, likewise; 503 says when to come again"},
}


def compatible_routes(routes: Routes, components: Components, answers: Answers) -> APIRouter:
    """Embeddings, reranking and searches in the shapes of other servers; `serve.compat.shapes` has their errors."""
    models, finder = Models(routes), Finder(answers)
    every = APIRouter(responses=_SAID)
    for components_of in (openai, rerank, tei):
        every.include_router(components_of.router(models, components))
    for searches_of in (stores, dify, langchain):
        every.include_router(searches_of.router(finder))
    return every
