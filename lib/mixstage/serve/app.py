"""Serves what the registry pins: deploys its components and the gateway, and follows it as long as it runs.

python -m serve.app jobs/plans/sample.yaml
"""

import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from mixstage.commands.console.session import (connect, dashboard, guarded, plan_parser, read_plan)
from mixstage.corpus.application import read_queries
from mixstage.errors import ReleaseError
from mixstage.pipeline import Pipeline
from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.release.trials import controller
from mixstage.release.keys import Keys, refuse_unguarded
from mixstage.release.trials.observed import Observations
from mixstage.release.pins import open_registry
from mixstage.release.registry import Registry
from mixstage.store.store import Store
from mixstage.serve.operator.apps import Catalogue
from mixstage.serve.operator.cluster import (ServeCluster, environment)
from mixstage.serve.operator.reconcile import Reconciler

_STEP_S = 1.0  # between two looks at the registry
_CLEAN_S = 3600.0  # between two deletions of what is too old to be of use
# A proxy that died is noticed in seconds instead of half a minute. Read when Serve starts.
_SERVE_ENV = {"RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1", "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "2"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until interrupted; what runs on a cluster goes on serving without it, as it is then."""
    options = plan_parser("serve", "Serves what is released, and follows the registry.").parse_args(arguments)

    def job() -> None:
        plan = read_plan(options)
        store, progress = Store(plan.store), Progress()
        registry = open_registry(plan, store)
        if not registry.live():
            raise ReleaseError("nothing is released yet: run `jobs.pipeline` or `jobs.release promote` first")
        refuse_unguarded(plan.serving, Keys(registry.engine).valid())
        for key, value in _SERVE_ENV.items():
            os.environ.setdefault(key, value)
        connect()
        follow(open_reconciler(plan, store, registry), progress, lambda: greet(plan, store, registry, progress))

    try:
        return guarded("serve", job)
    except KeyboardInterrupt:
        return 0


def open_reconciler(plan: Plan, store: Store, registry: Registry) -> Reconciler:
    """For the Serve of the Ray that this process is connected to."""
    return Reconciler(
        registry, ServeCluster(dashboard()), Catalogue(plan.serving, store.uri, registry.url, environment())
    )


def step(reconciler: Reconciler) -> list[str]:
    """Decides on trials, then brings the cluster to what the registry says; what happened, in sentences."""
    registry, limits = reconciler.registry, reconciler.catalogue.serving.trial
    rows = controller.step(registry, Observations(registry.engine), limits, datetime.now(UTC))
    return [f"{row.application}: {row.action} of {row.note.reason}" for row in rows] + reconciler.step()


def follow(reconciler: Reconciler, progress: Progress, greeting: Callable[[], None]) -> None:
    """Steps until interrupted; the greeting is said once, when all that is released is served.

    What goes wrong in a step is told and tried again: a registry or a Serve that is away for a while comes back.
    """
    greeted, trouble, cleaned = False, "", -_CLEAN_S
    while True:
        try:
            for sentence in step(reconciler):
                progress.say(sentence)
            if time.monotonic() - cleaned > _CLEAN_S:
                forget_searches(reconciler)
                cleaned = time.monotonic()
            if not greeted and reconciler.is_serving():
                greeting()
                greeted = True
            trouble = ""
        except Exception as error:
            if trouble != str(error):
                trouble = str(error)
                logging.getLogger("ray.serve").exception("a step failed, and is tried again")
        time.sleep(_STEP_S)


def forget_searches(reconciler: Reconciler) -> None:
    """Deletes the notes of searches that had no feedback for so long that none will come."""
    oldest = datetime.now(UTC) - timedelta(days=reconciler.catalogue.serving.remember_days)
    Observations(reconciler.registry.engine).forget(oldest)


def greet(plan: Plan, store: Store, registry: Registry, progress: Progress) -> None:
    """Says where the applications are served, and a command that asks one of them."""
    progress.say(f"Serving {', '.join(registry.live())} at {address(plan)}")
    progress.say("Try:\n" + curl_line(plan, store, registry, progress))


def address(plan: Plan) -> str:
    host = "127.0.0.1" if plan.serving.host == "0.0.0.0" else plan.serving.host
    return f"http://{host}:{plan.serving.port}"


def curl_line(plan: Plan, store: Store, registry: Registry, progress: Progress) -> str:
    """A command that asks the first application its first test query."""
    name = next(iter(registry.live()))
    query = read_queries(Pipeline(plan, store, progress).prepared.applications[name], "test")["text"][0]
    body = shlex.quote(json.dumps({"application": name, "query": query, "k": 3}))
    key = ' -H "authorization: Bearer $KEY"' if Keys(registry.engine).valid() else ""  # whose value is in no database
    return f"curl -s {address(plan)}/v1/search -H 'content-type: application/json'{key} -d {body}"


if __name__ == "__main__":
    sys.exit(main())
