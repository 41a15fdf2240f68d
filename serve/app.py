"""Deploys what the registry pins: a Serve application per component checkpoint, and the gateway in front.

python -m serve.app jobs/plans/sample.yaml
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.handle import DeploymentHandle

from jobs.session import connect, guarded, plan_parser, read_plan
from mixstage.corpus.application import read_queries
from mixstage.errors import ReleaseError
from mixstage.pipeline import Pipeline
from mixstage.plan import Plan
from mixstage.progress import Progress
from mixstage.release.pins import open_registry
from mixstage.release.record import Member, Pin
from mixstage.store import Store
from serve.gateway import Components, Pins, build_api
from serve.reranker import RerankerService
from serve.retriever import RetrieverService

GATEWAY = "gateway"  # its Serve application
_PAUSES = (0.02, 0.04)  # seconds before a call is sent again


def retriever_app(member: Member) -> str:
    """Name of the Serve application that answers for a retriever and its generation."""
    return f"retriever-{member.generation[:12]}"


def reranker_app(pin: Pin) -> str:
    """Name of the Serve application that scores for a pin's reranker."""
    return f"reranker-{(pin.reranker or 'none')[:12]}"


class ServeComponents:
    """Components behind Serve handles; a handle is opened at first use, so a new pin needs no restart.

    Serve loses what a dying replica was at. Both calls only read, so they are sent again to another one.
    """

    def __init__(self) -> None:
        self.handles: dict[str, DeploymentHandle[Any]] = {}

    def _handle(self, app: str) -> DeploymentHandle[Any]:
        if app not in self.handles:
            self.handles[app] = serve.get_app_handle(app)
        return self.handles[app]

    async def retrieve(self, member: Member, query: str, depth: int) -> list[dict[str, Any]]:
        return list(await self._ask(retriever_app(member), "retrieve", query, depth))

    async def score(self, pin: Pin, query: str, documents: list[str]) -> list[float]:
        return list(await self._ask(reranker_app(pin), "score", query, documents))

    async def _ask(self, app: str, method: str, *arguments: Any) -> Any:
        """Raises RayActorError if the replica died each time."""
        for pause in _PAUSES:
            try:
                return await getattr(self._handle(app), method).remote(*arguments)
            except RayActorError:
                await asyncio.sleep(pause)
        return await getattr(self._handle(app), method).remote(*arguments)


class Gateway:
    """One gateway replica; Serve asks it for its API after construction."""

    def __init__(self, registry: str) -> None:
        self.registry = registry

    def __serve_build_asgi_app__(self) -> FastAPI:
        components: Components = ServeComponents()
        return build_api(Pins(self.registry), components)


def deploy(plan: Plan, store: Store) -> list[str]:
    """Starts the applications that live pins need and are not running yet; returns their names.

    Running ones are left alone: deploying the same application again would restart its replicas.
    """
    registry = open_registry(plan, store)
    live = registry.live()
    if not live:
        raise ReleaseError("nothing is released yet: run `jobs.pipeline` or `jobs.release promote` first")
    running = {name for name, app in serve.status().applications.items() if app.status == "RUNNING"}
    wanted: dict[str, Callable[[], serve.Application]] = {}
    for release in live.values():
        wanted |= components_of(release.pin, plan, store)
    wanted[GATEWAY] = lambda: _gateway(str(registry.engine.url))
    started = [name for name in wanted if name not in running]
    for name in started:
        serve.run(wanted[name](), name=name, route_prefix="/" if name == GATEWAY else None)
    return started


def components_of(pin: Pin, plan: Plan, store: Store) -> dict[str, Callable[[], serve.Application]]:
    """name -> builder of the Serve applications that a pin needs."""
    retriever = partial(_component, RetrieverService, plan, store.uri, pin.corpus)
    apps: dict[str, Callable[[], serve.Application]]
    apps = {retriever_app(m): partial(retriever, m.generation, m.retriever) for m in pin.members}
    if pin.reranker is not None:
        apps[reranker_app(pin)] = partial(_component, RerankerService, plan, store.uri, pin.reranker)
    return apps


def _component(service: type, plan: Plan, *arguments: str | None) -> serve.Application:
    deployment = serve.deployment(service).options(  # type: ignore[attr-defined]
        num_replicas=plan.serving.replicas, ray_actor_options={"num_cpus": 0.5}
    )
    return cast(serve.Application, deployment.bind(*arguments))


def _gateway(registry: str) -> serve.Application:
    deployment = serve.deployment(serve.ingress()(Gateway)).options(  # type: ignore[attr-defined]
        name="Gateway", ray_actor_options={"num_cpus": 0.1}
    )
    return cast(serve.Application, deployment.bind(registry))


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until interrupted."""
    options = plan_parser("serve", "Serves the released compositions.").parse_args(arguments)

    def job() -> None:
        plan = read_plan(options)
        connect()
        store = Store(plan.store)
        serve.start(http_options={"host": plan.serving.host, "port": plan.serving.port})
        progress = Progress()
        progress.say(f"Started: {', '.join(deploy(plan, store)) or 'nothing new'}")
        progress.say("Try:\n" + curl_line(plan, store, progress))
        while True:
            time.sleep(3600)

    try:
        return guarded("serve", job)
    except KeyboardInterrupt:
        serve.shutdown()  # type: ignore[no-untyped-call]
        return 0


def curl_line(plan: Plan, store: Store, progress: Progress) -> str:
    """A command that asks the first application its first test query."""
    name = next(iter(open_registry(plan, store).live()))
    query = read_queries(Pipeline(plan, store, progress).prepared.applications[name], "test")["text"][0]
    body = f'{{"application": "{name}", "query": "{query}", "k": 3}}'.replace("'", "'\\''")
    url = f"http://{plan.serving.host}:{plan.serving.port}/v1/search"
    return f"curl -s {url} -H 'content-type: application/json' -d '{body}'"


if __name__ == "__main__":
    sys.exit(main())
