"""Deploys what the registry pins: a Serve application per component checkpoint, and the gateway in front.

python -m serve.app jobs/plans/sample.yaml
"""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from fastapi import FastAPI
from ray import serve

from jobs.session import connect, guarded, plan_parser, read_plan
from mixstage.corpus.application import read_queries
from mixstage.errors import ReleaseError
from mixstage.pipeline import Pipeline
from mixstage.plan import Plan, ServingPlan
from mixstage.progress import Progress
from mixstage.release.keys import Keys, refuse_unguarded
from mixstage.release.pins import open_registry
from mixstage.release.record import Pin
from mixstage.release.registry import Registry
from mixstage.store import Store
from serve.components import ServeComponents, reranker_app, retriever_app
from serve.gateway import build_api
from serve.reranker import RerankerService
from serve.retriever import RetrieverService
from serve.routing import Routes

GATEWAY = "gateway"  # its Serve application


class Gateway:
    """One gateway replica; Serve asks it for its API after construction."""

    def __init__(self, registry: str, serving: ServingPlan) -> None:
        self.registry = registry
        self.serving = serving

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_api(Routes(Registry(self.registry)), ServeComponents(), self.serving)


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
    wanted[GATEWAY] = lambda: _gateway(registry.url, plan.serving)
    started = [name for name in wanted if name not in running]
    for release in live.values():
        registry.mark_answering(release)
    for name in started:
        serve.run(wanted[name](), name=name, route_prefix="/" if name == GATEWAY else None)
    return started


def components_of(pin: Pin, plan: Plan, store: Store) -> dict[str, Callable[[], serve.Application]]:
    """name -> builder of the Serve applications that a pin needs."""
    retriever = partial(_component, RetrieverService, plan, store.uri, pin.corpus)
    apps: dict[str, Callable[[], serve.Application]]
    apps = {retriever_app(m): partial(retriever, m.generation, m.retriever) for m in pin.members}
    if pin.reranker is not None:
        apps[reranker_app(pin.reranker)] = partial(_component, RerankerService, plan, store.uri, pin.reranker)
    return apps


def _component(service: type, plan: Plan, *arguments: str | None) -> serve.Application:
    deployment = serve.deployment(service).options(  # type: ignore[attr-defined]
        num_replicas=plan.serving.retriever.min_replicas, ray_actor_options={"num_cpus": 0.5}
    )
    return cast(serve.Application, deployment.bind(*arguments))


def _gateway(registry: str, serving: ServingPlan) -> serve.Application:
    deployment = serve.deployment(serve.ingress()(Gateway)).options(  # type: ignore[attr-defined]
        name="Gateway", ray_actor_options={"num_cpus": 0.1}
    )
    return cast(serve.Application, deployment.bind(registry, serving))


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until interrupted."""
    options = plan_parser("serve", "Serves the released compositions.").parse_args(arguments)

    def job() -> None:
        plan = read_plan(options)
        connect()
        store = Store(plan.store)
        refuse_unguarded(plan.serving, Keys(open_registry(plan, store).engine).valid())
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
