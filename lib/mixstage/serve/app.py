"""Serves what the registry pins: deploys its components and the gateway, and follows the registry as long as it runs.

The command is `mixstage.commands.serve`.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from mixstage.connection import dashboard
from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.release.registry import Registry
from mixstage.release.trials import controller
from mixstage.release.trials.observed import Observations
from mixstage.serve.compat.routers import families
from mixstage.serve.operator.apps import Catalogue
from mixstage.serve.operator.cluster import ServeCluster, environment
from mixstage.serve.operator.reconcile import Reconciler
from mixstage.store.store import Store

_STEP_S = 1.0  # between two looks at the registry
_CLEAN_S = 3600.0  # between two deletions of what is too old to be of use


def open_reconciler(plan: Plan, store: Store, registry: Registry) -> Reconciler:
    """The reconciler of a plan's Serve applications, in the Ray that this process is connected to.

    Raises PlanError for endpoints that the plan names and nobody provides: gateways would fail at each start.
    """
    families(plan.serving.endpoints)
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

    What goes wrong in a step is logged and tried again: a registry or a Serve that is away for a while comes back.
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
