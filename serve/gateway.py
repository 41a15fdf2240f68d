"""The gateway: what applications call. It looks up their pin and asks the pinned components.

Its OpenAPI is /openapi.json, which clients and viewers read. There is no page of it: FastAPI's loads its scripts from
elsewhere, and a copy of them would be more code than the gateway is.
"""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from mixstage.plan import ServingPlan
from mixstage.release.keys import Keys
from serve.answers import Answers
from serve.compat.routers import compatible_routes
from serve.compat.shapes import Shapes
from serve.components import Components
from serve.keys import KeyCheck, KeyRing
from serve.metrics import Meter
from serve.native import native_routes
from serve.problems import refusal_of
from serve.protection import BodyLimit, Deadline, Guard
from serve.routing import Routes
from serve.trials import Trials

DEFAULTS = ServingPlan()


def build_api(routes: Routes, components: Components, serving: ServingPlan = DEFAULTS) -> FastAPI:
    """The HTTP face: what protects it from outside in, then its routes."""
    meter, trials = Meter(), Trials()
    answers = Answers(routes, components, trials, meter)
    keys = KeyRing(Keys(routes.registry.engine), routes.seconds)
    api = FastAPI(
        title="mixstage",
        description="Search by the composition that each application is released with.",
        docs_url=None,
        redoc_url=None,
        middleware=[
            Middleware(Guard, meter=meter),
            Middleware(Shapes),
            Middleware(Deadline, seconds=serving.deadline_s),
            Middleware(KeyCheck, keys=keys),
            Middleware(BodyLimit, kib=serving.max_body_kib),
        ],
        exception_handlers={HTTPException: _refuse, RequestValidationError: _refuse},
    )
    api.include_router(native_routes(routes, components, answers, meter))
    api.include_router(compatible_routes(routes, components, answers))
    return api


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    """What FastAPI refuses by itself; all else reaches the guard."""
    return refusal_of(error).response(request.scope)
