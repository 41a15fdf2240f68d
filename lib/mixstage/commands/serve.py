"""Serves what the registry pins: deploys its components and the gateway, and follows it as long as it runs.

mixstage serve sample
"""

import argparse
import json
import os
import shlex
from collections.abc import Sequence
from contextlib import suppress

from mixstage.commands.console.arguments import plan_parser
from mixstage.commands.console.session import guarded, read_plan
from mixstage.connection import connect
from mixstage.corpus.application import read_queries
from mixstage.errors import ReleaseError
from mixstage.pipeline import Pipeline
from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.release.keys import Keys, refuse_unguarded
from mixstage.release.pins import open_registry
from mixstage.release.registry import Registry
from mixstage.serve.app import follow, open_reconciler
from mixstage.store.store import Store

# A proxy that died is noticed in seconds instead of half a minute. Read when Serve starts.
_SERVE_ENV = {"RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1", "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "2"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until interrupted; what runs on a cluster goes on serving without it, as it is then."""
    options = parser().parse_args(arguments)

    def job() -> None:
        plan = read_plan(options)
        store, progress = Store(plan.store), Progress()
        registry = open_registry(plan, store)
        if not registry.live():
            raise ReleaseError("nothing is released yet: run `mixstage pipeline` or `mixstage release promote` first")
        refuse_unguarded(plan.serving, Keys(registry.engine).valid())
        for key, value in _SERVE_ENV.items():
            os.environ.setdefault(key, value)
        with suppress(KeyboardInterrupt):  # the way in which serving ends
            connect()
            follow(open_reconciler(plan, store, registry), progress, lambda: greet(plan, store, registry, progress))

    return guarded("serve", job, verbose=options.verbose)


def parser() -> argparse.ArgumentParser:
    return plan_parser("serve", __doc__)


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
