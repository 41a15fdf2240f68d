"""The Serve applications as data: what is sent to Serve's declarative API, and the builders that its import paths name.

An application's arguments are digests, so they never change: what runs under a name is what was verified under it, and
other weights are another application beside it. What may change while it runs (replicas, queues, delays) stands in its
deployments' fields, which Serve applies without a restart.
"""

from typing import Any, cast

from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve import Application
from ray.serve.config import BackpressureConfig

from mixstage.plan import ScalePlan, ServingPlan
from mixstage.release.record import Pin
from serve.components import reranker_app, retriever_app
from serve.gateway import Gateway
from serve.reranker import RerankerService
from serve.retriever import RetrieverService

GATEWAY = "gateway"  # its Serve application
_STARTS = 3  # attempts of a replica whose constructor raises: digests do not get better by waiting
_HEALTH_S = 10.0  # between two health checks, and the time that one may take
_DRAIN_S = 5.0  # beyond the deadline of a request, in which a replica that goes finishes what it has


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RetrieverArguments(_Arguments):
    """Digests of what a retriever's application opens."""

    store: str
    corpus: str
    generation: str
    retriever: str | None  # checkpoint; None is BM25


class RerankerArguments(_Arguments):
    """The digest of the checkpoint that a reranker's application opens."""

    store: str
    reranker: str


class GatewayArguments(_Arguments):
    """Where the gateway reads what is live, and what it promises its callers."""

    registry: str
    serving: ServingPlan


def retriever(arguments: RetrieverArguments) -> Application:
    deployment = _component(RetrieverService, "Retriever")
    return cast(
        Application, deployment.bind(arguments.store, arguments.corpus, arguments.generation, arguments.retriever)
    )


def reranker(arguments: RerankerArguments) -> Application:
    return cast(Application, _component(RerankerService, "Reranker").bind(arguments.store, arguments.reranker))


def gateway(arguments: GatewayArguments) -> Application:
    deployment = serve.deployment(serve.ingress()(Gateway)).options(name="Gateway")  # type: ignore[attr-defined]
    return cast(Application, deployment.bind(arguments.registry, arguments.serving))


def _component(service: type, name: str) -> Any:
    return serve.deployment(service).options(name=name, max_constructor_retry_count=_STARTS)  # type: ignore[attr-defined]


class Catalogue:
    """The configurations of the applications that a plan's pins need.

    environment: Serve's runtime_env of each application, so that its processes import this library.
    """

    def __init__(self, serving: ServingPlan, store: str, registry: str, environment: dict[str, Any]) -> None:
        self.serving, self.store, self.registry, self.environment = serving, store, registry, environment

    def components(self, pin: Pin) -> dict[str, dict[str, Any]]:
        """name -> configuration of each application that a pin needs."""
        found = {}
        for member in pin.members:
            arguments = RetrieverArguments(
                store=self.store, corpus=pin.corpus, generation=member.generation, retriever=member.retriever
            )
            found[retriever_app(member)] = self._app("retriever", arguments, "Retriever", self.serving.retriever)
        if pin.reranker is not None:
            scorer = RerankerArguments(store=self.store, reranker=pin.reranker)
            found[reranker_app(pin.reranker)] = self._app("reranker", scorer, "Reranker", self.serving.reranker)
        return {name: {"name": name, "route_prefix": None, **config} for name, config in found.items()}

    def gateway(self) -> dict[str, Any]:
        arguments = GatewayArguments(registry=self.registry, serving=self.serving)
        config = self._app("gateway", arguments, "Gateway", self.serving.gateway)
        config["deployments"][0]["max_surge_percent"] = 100  # a new replica answers before the old one goes
        return {"name": GATEWAY, "route_prefix": "/", **config}

    def http(self) -> dict[str, Any]:
        """Serve's own HTTP options: its limit is a little above ours, which answers with a proper problem."""
        limit = self.serving.deadline_s + _DRAIN_S
        return {"host": self.serving.host, "port": self.serving.port, "request_timeout_s": limit}

    def _app(self, builder: str, arguments: BaseModel, deployment: str, scale: ScalePlan) -> dict[str, Any]:
        return {
            "import_path": f"serve.apps:{builder}",
            "args": arguments.model_dump(mode="json"),
            "runtime_env": self.environment,
            "deployments": [{"name": deployment, **self._deployment(scale)}],
        }

    def _deployment(self, scale: ScalePlan) -> dict[str, Any]:
        return {
            **_replicas(scale),
            "max_ongoing_requests": scale.max_ongoing,
            "max_queued_requests": scale.max_queued,
            "backpressure_config": BackpressureConfig(status_code=503, retry_after_s=1).model_dump(mode="json"),
            "health_check_period_s": _HEALTH_S,
            "health_check_timeout_s": _HEALTH_S,
            "graceful_shutdown_timeout_s": self.serving.deadline_s + _DRAIN_S,
            "ray_actor_options": {"num_cpus": scale.cpus, "num_gpus": scale.gpus},
        }


def _replicas(scale: ScalePlan) -> dict[str, Any]:
    if scale.min_replicas == scale.max_replicas:
        return {"num_replicas": scale.min_replicas}
    # Serve averages over look_back_period_s: decisions faster than it would swing
    return {
        "autoscaling_config": {
            "min_replicas": scale.min_replicas,
            "max_replicas": scale.max_replicas,
            "target_ongoing_requests": scale.target_ongoing,
            "upscale_delay_s": scale.upscale_delay_s,
            "downscale_delay_s": scale.downscale_delay_s,
            "look_back_period_s": max(1.0, min(30.0, scale.upscale_delay_s)),
        }
    }
