"""The gateway's own routes. Their errors are RFC 9457 problems: see `mixstage.serve.problems`."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel

from mixstage.release.record import Release, Standing
from mixstage.serve.answering.answers import Answers, Compositions
from mixstage.serve.answering.components import Components
from mixstage.serve.answering.routing import Routes
from mixstage.serve.answering.search import (
    MAX_USER,
    BatchRequest,
    CompositionName,
    SearchOptions,
    SearchRequest,
    SearchResponse,
    generation_of,
)
from mixstage.serve.http.readiness import Readiness
from mixstage.serve.metrics import UNKNOWN, Meter
from mixstage.serve.problems import MEDIA_TYPE, Problem
from mixstage.store.plain import JsonObject

_MEANINGS = {
    404: "No such application or composition",
    413: "The body is too large",
    422: "Malformed",
    500: "A component failed on this request",
    503: "Too many requests, or a component is being replaced: see Retry-After",
    504: "No answer before the deadline",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {  # how own routes refuse
    status: {"description": meaning, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, meaning in _MEANINGS.items()
}


class Failed(BaseModel):
    """What a batch has for a query that failed, in the place of its answer."""

    error: Problem


class BatchResponse(BaseModel):
    """The answers to a batch, in the order of its queries."""

    answers: list[SearchResponse | Failed]


class Named(BaseModel):
    """A release by its number and composition."""

    release: int
    composition: CompositionName


class OnTrial(Named):
    """What is tried beside the live composition."""

    action: str
    share: float | None


class Application(Named):
    """What an application is served with."""

    generation: str
    wanted: Named | None  # what was released and does not answer yet
    trial: OnTrial | None


def native_routes(routes: Routes, components: Components, answers: Answers, meter: Meter) -> APIRouter:
    """POST /v1/search, /v1/search/batch; GET /v1/applications, /v1/compositions/{application}, /healthz, /readyz,
    /metrics."""
    router = APIRouter()
    readiness = Readiness(routes, components)

    @router.post("/v1/search", responses=PROBLEMS, response_model_exclude_unset=True)
    async def _search(search: SearchRequest, request: Request) -> SearchResponse:
        """The application's documents for a query, by its live composition."""
        user = await _enter(request, search)
        return await answers.one(search, user, request.state.request_id)

    @router.post("/v1/search/batch", responses=PROBLEMS, response_model_exclude_unset=True)
    async def _batch(batch: BatchRequest, request: Request) -> BatchResponse:
        """Many queries of one application; one that fails takes no other with it."""
        user = await _enter(request, batch)
        answered = await answers.many(batch, user, request.state.request_id)
        return BatchResponse(answers=[Failed(error=a) if isinstance(a, Problem) else a for a in answered])

    @router.get("/v1/applications", responses=PROBLEMS)
    async def _applications() -> dict[str, Application]:
        """What each application is served with."""
        return {name: _application(standing) for name, standing in (await routes.all()).items()}

    @router.get("/v1/compositions/{application}", responses=PROBLEMS)
    async def _compositions(application: str) -> Compositions:
        """Compositions that can answer an application right now."""
        return await answers.compositions(application)

    async def _enter(request: Request, options: SearchOptions) -> str:
        """Notes for the meter who asks; returns the user by whom trials are sticky."""
        known = options.application in await routes.all()
        request.state.application = options.application if known else UNKNOWN
        return options.user or request.headers.get("x-user", "")[:MAX_USER] or str(request.state.request_id)

    @router.get("/healthz")
    async def _alive() -> dict[str, str]:
        """Whether the gateway lives."""
        return {"status": "ok"}

    @router.get("/readyz")
    async def _ready() -> JSONResponse:
        """Whether every pinned component answered within the last second: 200, or 503; each with "ok" or what is
        wrong."""
        states = await readiness.states()
        return JSONResponse(states, 200 if set(states.values()) == {"ok"} else 503)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def _metrics() -> Response:
        """Prometheus' text format, of the replica that answers."""
        return Response(meter.text(), media_type=meter.content_type)

    return router


def _application(standing: Standing) -> Application:
    live, wanted, trial = standing.served, standing.wanted, standing.trial
    assert live is not None, "routes hold served applications only"
    return Application(
        **_named(live),
        generation=generation_of(live.pin),
        wanted=None if wanted.number == live.number else Named(**_named(wanted)),
        trial=None if trial is None else OnTrial(**_named(trial), action=trial.action, share=trial.share),
    )


def _named(release: Release) -> JsonObject:
    return {"release": release.number, "composition": release.pin.composition}
