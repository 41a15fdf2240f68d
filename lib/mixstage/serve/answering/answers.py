"""Answers to searches of an application: by its live pin, by the one on trial, or by a composition that was named."""

from dataclasses import replace
from functools import partial

from pydantic import BaseModel

from mixstage.composition import Composition
from mixstage.errors import PlanError
from mixstage.release.record import Pin, Release, Standing
from mixstage.serve.answering.calls import fan_out
from mixstage.serve.answering.components import Components
from mixstage.serve.answering.resolve import available, resolve
from mixstage.serve.answering.routing import Routes
from mixstage.serve.answering.search import (
    BatchRequest,
    CompositionName,
    SearchOptions,
    SearchRequest,
    SearchResponse,
    search,
)
from mixstage.serve.answering.trials import Trials
from mixstage.serve.metrics import Meter
from mixstage.serve.problems import Problem, Refusal, refusal_of

AT_ONCE = 8  # queries of a batch


class Compositions(BaseModel):
    """Names that a search's `composition` may have."""

    live: CompositionName
    trial: CompositionName | None
    available: list[CompositionName]


class Answers:
    """Answers for the native and the compatible routes."""

    def __init__(self, routes: Routes, components: Components, trials: Trials, meter: Meter) -> None:
        self.routes = routes
        self.components = components
        self.trials = trials
        self.meter = meter

    async def one(self, request: SearchRequest, user: str, request_id: str) -> SearchResponse:
        """Raises Refusal for an application or composition that does not run, and what components raise."""
        standing = await self.standing(request.application)
        if request.composition is None:
            answer = await self.trials.answer(
                standing,
                user,
                lambda release: search(self.components, release, request, request_id),
                query=request.query,
            )
        else:
            named = await self._named(standing, request.composition)
            answer = await search(self.components, named, request, request_id)
            answer = answer.model_copy(update={"role": "named"})
            self.trials.show(answer, user, request.query)
        self.meter.took(request.application, _phases(answer))
        return answer

    async def many(self, batch: BatchRequest, user: str, request_id: str) -> list[SearchResponse | Problem]:
        """An answer or a problem for each query, in order; the n-th is request `{request_id}-{n}`, from 0."""
        await self.standing(batch.application)
        shared = batch.model_dump(include=set(SearchOptions.model_fields))

        async def answer(number: int, query: str) -> SearchResponse | Problem:
            own = f"{request_id}-{number}"
            try:
                return await self.one(SearchRequest(query=query, **shared), user, own)
            except Exception as error:
                return refusal_of(error).problem(own)

        return await fan_out([partial(answer, *query) for query in enumerate(batch.queries)], at_once=AT_ONCE)

    async def standing(self, application: str) -> Standing:
        standings = await self.routes.all()
        if application not in standings:
            raise Refusal(404, f"no such application; released ones: {', '.join(standings) or 'none'}")
        return standings[application]

    async def compositions(self, application: str) -> Compositions:
        """What can answer an application right now. Raises Refusal for an application that does not run."""
        standing = await self.standing(application)
        trial = standing.active_trial
        return Compositions(
            live=_served(standing).pin.composition,
            trial=None if trial is None else trial.pin.composition,
            available=list(available(_served(standing).pin, await self._running(standing))),
        )

    async def _named(self, standing: Standing, name: str) -> Release:
        """The live release with the pin of a composition."""
        live, running = _served(standing), await self._running(standing)
        try:
            pin = resolve(Composition.parse(name), live.pin, running)
        except PlanError:
            raise Refusal(422, "composition: write it as /v1/compositions/{application} does") from None
        if pin is None:
            names = ", ".join(map(str, available(live.pin, running)))
            raise Refusal(404, f"the components of this composition do not run together; these do: {names}")
        return replace(live, pin=pin)

    async def _running(self, standing: Standing) -> list[Pin]:
        """Pins whose components run, the application's own first."""
        own = [] if standing.active_trial is None else [standing.active_trial.pin]
        return own + await self.routes.running_pins()


def _served(standing: Standing) -> Release:
    assert standing.served is not None, "routes hold served applications only"
    return standing.served


def _phases(answer: SearchResponse) -> dict[str, float]:
    spent = {"retrieve": answer.timings.retrieve_ms, "total": answer.timings.total_ms}
    return spent | ({"rerank": answer.timings.rerank_ms} if answer.timings.rerank_ms else {})
