"""What the two clients send, and how they read what comes back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypedDict, TypeVar, Unpack
from urllib.parse import quote

from mixstage.client.answers import (
    Answer,
    Application,
    Compositions,
    Object,
    read_answer,
    read_answers,
    read_applications,
    read_compositions,
)
from mixstage.errors import ClientError

T = TypeVar("T")

Feedback = Literal["click", "relevant", "not_relevant"]


class Options(TypedDict, total=False):
    """What a search may add to its query."""

    k: int  # hits wanted, 1 to 100
    depth: int  # candidates to rerank, instead of the composition's
    filter: Object  # {"field": value | {"gte": x, "lt": y} | {"any": [...]}}
    explain: bool  # whether hits tell ranks and scores of both phases
    user: str  # the same key is always on the same side of a trial
    composition: str  # answer with this one instead of the live one


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request of a client, and how its answer is read."""

    method: str
    path: str
    read: Callable[[Any], T]  # of the answer's JSON
    body: Object | None = None


def search(application: str, query: str, **options: Unpack[Options]) -> Call[Answer]:
    return Call("POST", "/v1/search", read_answer, {"application": application, "query": query, **options})


def search_many(
    application: str, queries: Sequence[str], **options: Unpack[Options]
) -> Call[list[Answer | ClientError]]:
    body = {"application": application, "queries": list(queries), **options}
    return Call("POST", "/v1/search/batch", read_answers, body)


def applications() -> Call[dict[str, Application]]:
    return Call("GET", "/v1/applications", read_applications)


def compositions(application: str) -> Call[Compositions]:
    return Call("GET", f"/v1/compositions/{quote(application, safe='', errors='replace')}", read_compositions)


def feedback(application: str, request_id: str, document_id: str, kind: Feedback, user: str | None) -> Call[None]:
    body = {"application": application, "request_id": request_id, "document_id": document_id, "kind": kind}
    return Call("POST", "/v1/feedback", lambda _: None, body | ({} if user is None else {"user": user}))
