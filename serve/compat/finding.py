"""Searches for those that want whole documents and scores between 0 and 1."""

from typing import Any, TypedDict

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from serve.answers import Answers
from serve.compat.scores import relevance
from serve.metrics import UNKNOWN
from serve.search import SearchRequest

MAX_QUERIES = 10  # searches that one request may ask for


class Found(TypedDict):
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
        self, request: Request, application: str, query: str, k: int, wanted: dict[str, Any] | None
    ) -> list[Found]:
        """The hits, best first. wanted: a filter. Raises what a native search raises."""
        known = application in await self.answers.routes.all()
        request.state.application = application if known else UNKNOWN  # for the meter
        name = str(request.state.request_id)
        asked = _request(application=application, query=query, k=k, filter=wanted)
        answer = await self.answers.one(asked, request.headers.get("x-user") or name, name)
        return [
            {"id": h.id, "score": relevance(h.score, answer.composition), "title": h.title, "text": h.document}
            for h in answer.hits
        ]


def _request(**fields: Any) -> SearchRequest:
    try:
        return SearchRequest(**fields)
    except ValidationError as error:
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in error.errors()]) from None
