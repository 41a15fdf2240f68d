"""The gateway: what applications call. It looks up their pin and asks the pinned components."""

import uuid
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException

from serve.components import Components
from serve.page import page_router
from serve.routing import Routes
from serve.search import SearchRequest, SearchResponse, search
from serve.trials import Trials


def build_api(routes: Routes, components: Components) -> FastAPI:
    """The HTTP face: POST /v1/search, GET /v1/applications, GET /health."""
    trials = Trials()
    api = FastAPI(title="mixstage", docs_url=None, redoc_url=None)
    api.include_router(page_router())

    @api.exception_handler(RequestValidationError)
    async def _refuse(_: Request, error: RequestValidationError) -> JSONResponse:
        """422 without the offending input: what was sent does not come back."""
        problems = [{"field": ".".join(map(str, e["loc"][1:])) or "body", "problem": e["msg"]} for e in error.errors()]
        return JSONResponse({"detail": problems}, status_code=422)

    @api.exception_handler(AnyHTTPException)
    async def _say(_: Request, error: AnyHTTPException) -> JSONResponse:
        """FastAPI answers 400 to bytes that are no text; to a caller that is one more malformed request."""
        status = 422 if error.status_code == 400 else error.status_code
        return JSONResponse({"detail": error.detail}, status_code=status)

    @api.post("/v1/search")
    async def _search(request: SearchRequest) -> SearchResponse:
        standings = await routes.all()
        standing = standings.get(request.application)
        if standing is None or standing.served is None:
            raise HTTPException(404, f"no such application; released ones: {', '.join(standings) or 'none'}")
        return await trials.answer(standing, uuid.uuid4().hex, lambda release: search(components, release, request))

    @api.get("/v1/applications")
    async def _applications() -> dict[str, dict[str, Any]]:
        served = {name: standing.served for name, standing in (await routes.all()).items()}
        return {name: {"release": r.number, "composition": r.pin.composition} for name, r in served.items() if r}

    @api.get("/health")
    async def _health() -> dict[str, str]:
        return {"status": "ok"}

    return api
