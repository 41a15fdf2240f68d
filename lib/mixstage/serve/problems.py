"""What a caller gets that gets no answer: RFC 9457 problems, without what it sent and without stack traces."""

import logging
import math
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import Scope

from mixstage.errors import FilterError, OverloadError
from mixstage.store.plain import JsonObject

logger = logging.getLogger("ray.serve")

MEDIA_TYPE = "application/problem+json"
_MOST = 10  # fields that a problem names
_LONGEST = 500  # characters of a detail that a component wrote
_NAME = re.compile(r"\w{1,40}", re.ASCII)


class FieldProblem(BaseModel):
    """One field of a request, and what is wrong with it."""

    field: str
    problem: str


class Problem(BaseModel):
    """Why there is no answer (RFC 9457)."""

    type: str  # about:blank: the status says it all
    title: str  # the status in words
    status: int
    detail: str
    request_id: str  # the server's log has it, too
    problems: list[FieldProblem] = []  # of a malformed request
    retry_after: int | None = None  # seconds, as in the header, which a query of a batch does not have


class Refusal(Exception):
    """A problem in the making: its sentence, and the headers that go with it.

    code: a word that some APIs have for it ("model_not_found", "empty").
    """

    def __init__(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None, *, code: str | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        self.problems: list[FieldProblem] = []

    def problem(self, request_id: str) -> Problem:
        title = HTTPStatus(self.status).phrase
        problem = Problem(type="about:blank", title=title, status=self.status, detail=str(self), request_id=request_id)
        more: dict[str, object] = {"problems": self.problems} if self.problems else {}
        if (wait := self.headers.get("retry-after", "")).isdecimal():
            more["retry_after"] = int(wait)
        return problem.model_copy(update=more)

    def response(self, scope: Scope) -> JSONResponse:
        """The answer to a request that the guard has named, in the shape of its family if it has one."""
        shape: Callable[[Refusal], JSONResponse] | None = scope["state"].get("shape")
        if shape is not None:
            return shape(self)
        body = self.problem(scope["state"]["request_id"]).model_dump(exclude_unset=True)
        return JSONResponse(body, self.status, self.headers, media_type=MEDIA_TYPE)


def refusal_of(error: Exception) -> Refusal:
    """What an error means to the caller.

    503 asks to come again: a queue is full, a replica died, the registry is away. 500 is a component's own failure on
    this request, such as a pair it can't score: it is the server's fault, so no 4xx, and sending it again would not
    help, so no 503. It is logged here with its trace.
    """
    cause = error.cause if isinstance(error, RayTaskError) else error
    match cause:
        case Refusal():
            return cause
        case RequestValidationError():
            return _malformed(cause)
        case HTTPException():
            # FastAPI answers 400 to bytes that are not text; to a caller that is one more malformed request
            return Refusal(422 if cause.status_code == 400 else cause.status_code, cause.detail, cause.headers)
        case FilterError():
            return Refusal(422, str(cause)[:_LONGEST])
    return _passing(cause) or _failure(error)


def _passing(cause: BaseException) -> Refusal | None:
    """The refusal of what may go well in a moment, else None."""
    match cause:
        case BackPressureError():
            wait = math.ceil(cause.retry_after_s or 1)
            return Refusal(cause.status_code, "too many requests wait: come again", {"retry-after": str(wait)})
        case OverloadError():
            return Refusal(503, str(cause), {"retry-after": "1"})
        case RayActorError() | RayServeException():  # no such application, deployment or replica, for now
            return Refusal(503, "a component is being replaced: come again", {"retry-after": "1"})
        case SQLAlchemyError():
            logger.error("the registry can't be read", exc_info=cause)
            return Refusal(503, "the registry can't be read: come again", {"retry-after": "1"})
    return None


def _failure(error: Exception) -> Refusal:
    logger.error("a request failed", exc_info=error)
    return Refusal(500, "a component failed on this request; the server's log says why")


def _malformed(malformed: RequestValidationError) -> Refusal:
    refusal = Refusal(422, "the request is malformed")
    refusal.problems = [
        FieldProblem(field=_field(error), problem=error["msg"].removeprefix("Value error, "))
        for error in malformed.errors()[:_MOST]
    ]
    return refusal


def _field(error: JsonObject) -> str:
    """The field's path; what can't be a field of ours is not repeated."""
    if error["type"] == "json_invalid":
        return "body"
    names = [str(part) for part in error["loc"][1:]]
    return ".".join(name if _NAME.fullmatch(name) else "?" for name in names) or "body"
