"""A family of endpoints: what another server's clients call here, and how it says that there is no answer.

A family is one file with a router and its shapes of refusals, and one row in `mixstage.serve.compat.routers`; a package
outside mixstage brings its own by `serving.endpoints`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mixstage.serve.answering.components import Components
from mixstage.serve.compat.finding import Finder
from mixstage.serve.compat.models import Models
from mixstage.serve.problems import Refusal
from mixstage.store.plain import Json

_NAMED = 5  # problems of a malformed request that a sentence names
_WORTH_AGAIN = (408, 409, 429)  # below 500: what may succeed when it is sent again

Shape = Callable[[Refusal], JSONResponse]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What the routes of a family ask: which models run, the models themselves, and searches of applications."""

    models: Models
    components: Components
    finder: Finder


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Routes in the shapes of another server.

    shapes: the first part of a path, below /v1 and /v2 the first two ("retrieval", "v1/rerank") -> how a refusal is
    written there. Each path of the router has one, so that also what stands before the routes (keys, deadlines, limits)
    speaks the family's language.
    """

    router: Callable[[Backend], APIRouter]
    shapes: Mapping[str, Shape]


def shape_at(path: str, shapes: Mapping[str, Shape]) -> Shape | None:
    """The shape of the family that owns a path; None of the gateway's own."""
    first, _, rest = path.removeprefix("/").partition("/")
    return shapes.get(f"{first}/{rest.partition('/')[0]}" if first in ("v1", "v2") else first)


class Shapes:
    """Notes in a request's state how its family says that there is no answer: see `Refusal.response`."""

    def __init__(self, app: ASGIApp, shapes: Mapping[str, Shape]) -> None:
        self.app = app
        self.shapes = shapes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["state"]["shape"] = shape_at(scope["path"], self.shapes)
        await self.app(scope, receive, send)


def refused(refusal: Refusal, status: int, body: Mapping[str, Json]) -> JSONResponse:
    """The answer: on what no repetition mends with `x-should-retry: false`, which OpenAI's client obeys."""
    permanent = {} if status >= 500 or status in _WORTH_AGAIN else {"x-should-retry": "false"}
    return JSONResponse(body, status, refusal.headers | permanent)


def sentence(refusal: Refusal) -> str:
    """What went wrong, in one line: of a malformed request its fields."""
    if not refusal.problems:
        return str(refusal)
    fields = [f"{problem.field}: {problem.problem}" for problem in refusal.problems[:_NAMED]]
    return "; ".join(fields) + ("; and more" if len(refusal.problems) > _NAMED else "")
