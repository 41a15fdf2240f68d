"""The gateway, which applications call: it looks up their pin and asks the pinned components.

Its OpenAPI is /openapi.json, which clients and viewers read. It has no page: FastAPI's loads its scripts from
elsewhere, and a copy of them would be more code than the gateway is.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve import Application
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from mixstage.plan.serving import ServingPlan
from mixstage.release.keys import Keys
from mixstage.release.registry import Registry
from mixstage.release.trials.observed import Observations
from mixstage.serve.answering.answers import Answers
from mixstage.serve.answering.components import Components, ServeComponents
from mixstage.serve.answering.recorder import Recorder
from mixstage.serve.answering.routing import Routes
from mixstage.serve.answering.trials import Trials
from mixstage.serve.compat.family import Backend, Shapes
from mixstage.serve.compat.finding import Finder
from mixstage.serve.compat.models import Models
from mixstage.serve.compat.routers import compatible_routes, families, shapes_of
from mixstage.serve.http.feedback import feedback_router
from mixstage.serve.http.native import native_routes
from mixstage.serve.http.page import page_router
from mixstage.serve.http.protection import BodyLimit, Deadline, Guard, KeyCheck, KeyRing
from mixstage.serve.metrics import Meter
from mixstage.serve.problems import refusal_of
from mixstage.serve.workers.deployment import deployment

DEFAULTS = ServingPlan()


class GatewayArguments(BaseModel):
    """What makes the gateway's application."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    registry: str  # SQLAlchemy URL
    deadline_s: float  # see `ServingPlan`, of which these are the fields that a replica needs: other values restart it
    max_body_kib: int
    endpoints: tuple[str, ...] = ()


def gateway(arguments: GatewayArguments) -> Application:
    """The application by which Serve deploys the gateway."""
    ingress = serve.ingress()(Gateway)
    promised = ServingPlan(**arguments.model_dump(exclude={"registry"}))
    return cast(Application, deployment(ingress, "Gateway").bind(arguments.registry, promised))


class Gateway:
    """A replica of the gateway; Serve asks it for its API after construction."""

    def __init__(self, registry: str, serving: ServingPlan) -> None:
        self.registry, self.serving = registry, serving

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_api(Routes(Registry(self.registry)), ServeComponents(), self.serving)


def build_api(routes: Routes, components: Components, serving: ServingPlan = DEFAULTS) -> FastAPI:
    """The HTTP face: what protects it from outside in, then its routes. Raises PlanError for endpoints that the plan
    names and nobody provides."""
    meter, observations = Meter(), Observations(routes.registry.engine)
    trials = Trials(Recorder(observations), patience_s=serving.deadline_s / 2)
    answers = Answers(routes, components, trials, meter)
    backend = Backend(models=Models(routes), components=components, finder=Finder(answers))
    keys = KeyRing(Keys(routes.registry.engine), routes.seconds)
    compatible = families(serving.endpoints).values()
    api = FastAPI(
        title="mixstage",
        description="Search by the composition that each application is released with.",
        docs_url=None,
        redoc_url=None,
        lifespan=lambda _: _observing(trials),
        middleware=[
            Middleware(Guard, meter=meter),
            Middleware(Shapes, shapes=shapes_of(compatible)),
            Middleware(Deadline, seconds=serving.deadline_s),
            Middleware(KeyCheck, keys=keys),
            Middleware(BodyLimit, kib=serving.max_body_kib),
        ],
        exception_handlers={HTTPException: _refuse, RequestValidationError: _refuse},
    )
    api.include_router(native_routes(routes, components, answers, meter))
    api.include_router(feedback_router(routes, observations))
    api.include_router(compatible_routes(compatible, backend))
    api.include_router(page_router())
    return api


@asynccontextmanager
async def _observing(trials: Trials) -> AsyncIterator[None]:
    yield
    await trials.close()


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    """What FastAPI refuses by itself; all else reaches the guard."""
    return refusal_of(error).response(request.scope)
