"""Searches for APIs that answer with whole documents and scores between 0 and 1."""

from collections.abc import Sequence
from functools import partial
from typing import Any, TypedDict

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from mixstage.serve.answering.answers import AT_ONCE, Answers
from mixstage.serve.answering.calls import fan_out
from mixstage.serve.answering.search import MAX_USER, SearchRequest
from mixstage.serve.compat.scores import relevance
from mixstage.serve.metrics import UNKNOWN
from mixstage.store.plain import JsonObject

MAX_QUERIES = 10  # searches that one request may ask for


class WholeHit(TypedDict):
    """A hit with the whole text of its document."""

    id: str
    score: float  # in [0, 1], see `relevance`
    title: str  # "" where the document has none
    text: str


class Finder:
    """Asks for an application what its native search would answer: by the live pin, or the one on trial."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    async def find(
        self, request: Request, application: str, query: str, k: int, wanted: JsonObject | None
    ) -> list[WholeHit]:
        """The hits, best first. wanted: a filter. Raises what a native search raises."""
        (hits,) = await self.find_all(request, application, [(query, k, wanted)])
        return hits

    async def find_all(
        self, request: Request, application: str, queries: Sequence[tuple[str, int, JsonObject | None]]
    ) -> list[list[WholeHit]]:
        """The hits of each (query, k, filter). Of several the n-th is request ID-n, from 0, as in a native batch."""
        known = application in await self.answers.routes.all()
        request.state.application = application if known else UNKNOWN  # for the meter
        name = str(request.state.request_id)
        user = request.headers.get("x-user", "")[:MAX_USER] or name
        names = [name] if len(queries) == 1 else [f"{name}-{number}" for number in range(len(queries))]
        searches = [_request(application=application, query=query, k=k, filter=wanted) for query, k, wanted in queries]
        calls = [partial(self._one, search, user, own) for search, own in zip(searches, names, strict=True)]
        return await fan_out(calls, at_once=AT_ONCE)

    async def _one(self, search: SearchRequest, user: str, request_id: str) -> list[WholeHit]:
        answer = await self.answers.one(search, user, request_id)
        return [
            {"id": h.id, "score": relevance(h.score, answer.composition), "title": h.title, "text": h.document}
            for h in answer.hits
        ]


def _request(**fields: Any) -> SearchRequest:
    try:
        return SearchRequest(**fields)
    except ValidationError as error:
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in error.errors()]) from None
