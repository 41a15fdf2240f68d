"""The Ray edge of the reconciler: Serve's declarative API, as `serve deploy` uses it."""

import os
from pathlib import Path

import ray
from ray import serve
from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

from mixstage.connection import WORKER_ENV
from mixstage.serve.operator.apps import AppConfig, HttpOptions, RuntimeEnv
from mixstage.serve.operator.reconcile import AppState
from mixstage.store.plain import JsonObject

_LIBRARY = Path(__file__).resolve().parents[3]  # where `import mixstage` finds this copy
_CHECK_S = 30.0  # in which a component that runs answers


class ServeCluster:
    """The Serve of the Ray cluster that this process is connected to.

    dashboard: its URL.
    """

    def __init__(self, dashboard: str) -> None:
        self.client = ServeSubmissionClient(dashboard)

    def apps(self) -> dict[str, AppState]:
        return {name: _state(app) for name, app in self.client.get_serve_details()["applications"].items()}

    def deploy(self, http: HttpOptions, apps: list[AppConfig]) -> None:
        # Serve reads its HTTP options only when it starts: with this call, if it does not run yet. A line a request
        # would be most of what is logged; the gateway counts them.
        logging = {"log_level": "WARNING", "enable_access_log": False}
        self.client.deploy_applications({"http_options": http, "logging_config": logging, "applications": apps})

    def check(self, app: str) -> None:
        serve.get_app_handle(app).ready.remote().result(timeout_s=_CHECK_S)


def _state(app: JsonObject) -> AppState:
    replicas = [replica for deployment in app["deployments"].values() for replica in deployment["replicas"]]
    running = sum(replica["state"] == "RUNNING" for replica in replicas)
    return AppState(status=app["status"], message=app["message"], config=app["deployed_app_config"], running=running)


def environment() -> RuntimeEnv:
    """Serve's runtime_env for our applications: their processes import the copy of the library that this job runs."""
    own = ray.get_runtime_context().runtime_env
    shipped: RuntimeEnv = {}
    if own.get("working_dir"):
        shipped["working_dir"] = own["working_dir"]
    if own.get("py_modules"):
        shipped["py_modules"] = own["py_modules"]
    variables = dict(WORKER_ENV)  # and none of the job's: the dashboard shows them, and others restart replicas
    if "working_dir" not in shipped:
        paths = [str(_LIBRARY), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return {**shipped, "env_vars": variables}
