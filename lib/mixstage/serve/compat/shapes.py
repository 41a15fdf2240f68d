"""How each family of APIs says that there is no answer; which family a path belongs to."""

from collections.abc import Callable
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mixstage.serve.problems import Refusal

_TOLD = 5  # problems of a malformed request
_WORTH_AGAIN = (408, 409, 429)  # below 500: what may succeed when it is sent again
_TEI_TYPES = {401: "Unauthorized", 424: "Backend", 429: "Overloaded"}  # all else is Validation
_NO_SUCH_KNOWLEDGE = 2001  # Dify's code

Shape = Callable[[Refusal], JSONResponse]


class Coded(Refusal):
    """A refusal that some families have a word of their own for."""

    def __init__(self, status: int, detail: str, code: str) -> None:
        super().__init__(status, detail)
        self.code = code


def openai_shape(refusal: Refusal) -> JSONResponse:
    """{"error": {message, type, param, code}}; OpenAI says 400 where FastAPI says 422."""
    status = 400 if refusal.status == 422 else refusal.status
    kind = "invalid_request_error" if status < 500 else "server_error"
    told = {"message": _sentence(refusal), "type": kind, "param": _field(refusal), "code": _code(refusal)}
    return _response(refusal, status, {"error": told})


def object_shape(refusal: Refusal) -> JSONResponse:
    """{"message", "detail"}: of a rerank object Cohere's clients read the first, Jina's the second."""
    return _response(refusal, refusal.status, {"message": _sentence(refusal), "detail": _sentence(refusal)})


def tei_shape(refusal: Refusal) -> JSONResponse:
    """{"error", "error_type"}: 429 of a full queue, where others say 503; 424 of a model that failed or was late."""
    status = {500: 424, 503: 429, 504: 424}.get(refusal.status, refusal.status)
    return _response(refusal, status, _tei_body(refusal, status))


def dify_shape(refusal: Refusal) -> JSONResponse:
    """{"error_code", "error_msg"}: 2001 of an unknown knowledge base, else the status."""
    code = _NO_SUCH_KNOWLEDGE if refusal.status == 404 else refusal.status
    return _response(refusal, refusal.status, {"error_code": code, "error_msg": _sentence(refusal)})


def detail_shape(refusal: Refusal) -> JSONResponse:
    """{"detail"}, as FastAPI's own servers say it."""
    return _response(refusal, refusal.status, {"detail": _sentence(refusal)})


def either_shape(refusal: Refusal) -> JSONResponse:
    """Of /rerank before its body is read, which alone tells whose it is: both families find their keys."""
    body = {"message": _sentence(refusal), "detail": _sentence(refusal), **_tei_body(refusal, refusal.status)}
    return _response(refusal, refusal.status, body)


_SHAPES: dict[str, Shape] = {
    "embeddings": openai_shape,
    "models": openai_shape,
    "v1/embeddings": openai_shape,
    "v1/models": openai_shape,
    "v1/vector_stores": openai_shape,
    "v1/rerank": object_shape,
    "v2/rerank": object_shape,
    "rerank": either_shape,
    "embed": tei_shape,
    "info": tei_shape,
    "tei": tei_shape,
    "retrieval": dify_shape,
    "langchain": detail_shape,
    "plugin": detail_shape,
}


def shape_at(path: str) -> Shape | None:
    """The shape of the family that owns a path; None of the gateway's own."""
    first, _, rest = path.removeprefix("/").partition("/")
    return _SHAPES.get(f"{first}/{rest.partition('/')[0]}" if first in ("v1", "v2") else first)


class Shapes:
    """Notes in a request's state how its family says that there is no answer: see `Refusal.response`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["state"]["shape"] = shape_at(scope["path"])
        await self.app(scope, receive, send)


def _response(refusal: Refusal, status: int, body: dict[str, Any]) -> JSONResponse:
    """With `x-should-retry: false`, which OpenAI's client obeys, on what no repetition mends."""
    permanent = {} if status >= 500 or status in _WORTH_AGAIN else {"x-should-retry": "false"}
    return JSONResponse(body, status, refusal.headers | permanent)


def _sentence(refusal: Refusal) -> str:
    if not refusal.problems:
        return str(refusal)
    told = [f"{problem.field}: {problem.problem}" for problem in refusal.problems[:_TOLD]]
    return "; ".join(told) + ("; and more" if len(refusal.problems) > _TOLD else "")


def _field(refusal: Refusal) -> str | None:
    return refusal.problems[0].field.partition(".")[0] if refusal.problems else None


def _code(refusal: Refusal) -> str | None:
    return refusal.code if isinstance(refusal, Coded) else None


def _tei_body(refusal: Refusal, status: int) -> dict[str, str]:
    kind = "Empty" if _code(refusal) == "empty" else _TEI_TYPES.get(status, "Validation")
    return {"error": _sentence(refusal), "error_type": kind}
