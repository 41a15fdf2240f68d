"""The Serve applications as data: what is sent to Serve's declarative API.

An application's arguments are digests, so they never change: what runs under a name is what was verified under it, and
other weights are another application beside it. What may change while it runs (replicas, queues, delays, budgets)
stands in its deployments' fields, which Serve applies without a restart.
"""

from typing import TypedDict

from pydantic import BaseModel
from ray.serve.config import BackpressureConfig

from mixstage.plan.serving import ComponentScalePlan, ScalePlan, ServingPlan
from mixstage.release.record import Pin
from mixstage.serve.answering.components import reranker_app, retriever_app
from mixstage.serve.gateway import GatewayArguments
from mixstage.serve.reranker import RerankerArguments
from mixstage.serve.retriever import RetrieverArguments, deployment_names
from mixstage.store.plain import Json

GATEWAY = "gateway"  # its Serve application
_HEALTH_S = 10.0  # between two health checks
_SICK_S = 30.0  # in which a health check comes back
_DRAIN_S = 5.0  # beyond the deadline of a request, in which a replica that goes finishes what it has


class RuntimeEnv(TypedDict, total=False):
    """How the processes of an application start, as Ray takes it."""

    working_dir: str
    py_modules: list[str]
    env_vars: dict[str, str]


class HttpOptions(TypedDict):
    """Serve's own HTTP proxy."""

    host: str
    port: int
    request_timeout_s: float


class AppConfig(TypedDict):
    """A Serve application, as Serve's declarative API takes it."""

    name: str
    route_prefix: str | None
    import_path: str
    args: dict[str, Json]
    runtime_env: RuntimeEnv
    deployments: list[dict[str, Json]]


class Catalogue:
    """The configurations of the applications that a plan's pins need.

    environment: Serve's runtime_env of each application, so that its processes import this library.
    """

    def __init__(self, serving: ServingPlan, store: str, registry: str, environment: RuntimeEnv) -> None:
        self.serving, self.store, self.registry, self.environment = serving, store, registry, environment

    def components(self, pin: Pin) -> dict[str, AppConfig]:
        """name -> configuration of each application that a pin needs."""
        configs: dict[str, AppConfig] = {}
        for member in pin.members:
            scale = self.serving.retriever
            arguments = RetrieverArguments(
                store=self.store,
                corpus=pin.corpus,
                generation=member.generation,
                retriever=member.retriever,
                shards=scale.shards,
            )
            path, names = "mixstage.serve.retriever:retriever", deployment_names(arguments)
            name = retriever_app(member)
            configs[name] = self._app(name, path, arguments, names, scale)
        if pin.reranker is not None:
            scorer = RerankerArguments(store=self.store, reranker=pin.reranker)
            path = "mixstage.serve.reranker:reranker"
            name = reranker_app(pin.reranker)
            configs[name] = self._app(name, path, scorer, ["Reranker"], self.serving.reranker)
        return configs

    def gateway(self) -> AppConfig:
        serving = self.serving
        arguments = GatewayArguments(
            registry=self.registry,
            deadline_s=serving.deadline_s,
            max_body_kib=serving.max_body_kib,
            endpoints=serving.endpoints,
        )
        path = "mixstage.serve.gateway:gateway"
        return self._app(GATEWAY, path, arguments, ["Gateway"], self.serving.gateway, prefix="/")

    def http(self) -> HttpOptions:
        """Serve's own HTTP options: its limit is a little above ours, which answers with a proper problem."""
        limit = self.serving.deadline_s + _DRAIN_S
        return {"host": self.serving.host, "port": self.serving.port, "request_timeout_s": limit}

    def _app(
        self,
        name: str,
        path: str,
        arguments: BaseModel,
        deployments: list[str],
        scale: ScalePlan,
        prefix: str | None = None,
    ) -> AppConfig:
        """deployments: their names; the first one takes the tuning."""
        first, *others = deployments
        return {
            "name": name,
            "route_prefix": prefix,
            "import_path": path,
            "args": arguments.model_dump(mode="json"),
            "runtime_env": self.environment,
            "deployments": [
                {"name": first, **self._deployment(scale), **_tuning(scale)},
                *({"name": other, **self._deployment(scale)} for other in others),
            ],
        }

    def _deployment(self, scale: ScalePlan) -> dict[str, Json]:
        return {
            **_replicas(scale),
            "max_surge_percent": 100,  # where one has to be restarted, the new replica answers before the old one goes
            "max_ongoing_requests": scale.max_ongoing,
            "max_queued_requests": scale.max_queued,
            "backpressure_config": BackpressureConfig(status_code=503, retry_after_s=1).model_dump(mode="json"),
            "health_check_period_s": _HEALTH_S,
            "health_check_timeout_s": _SICK_S,
            "graceful_shutdown_timeout_s": self.serving.deadline_s + _DRAIN_S,
            "ray_actor_options": {"num_cpus": scale.cpus, "num_gpus": scale.gpus},
        }


def _tuning(scale: ScalePlan) -> dict[str, Json]:
    """What a component takes over while it runs."""
    return {"user_config": {"budget": scale.budget}} if isinstance(scale, ComponentScalePlan) else {}


def _replicas(scale: ScalePlan) -> dict[str, Json]:
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
