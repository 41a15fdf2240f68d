"""What every job shares: its arguments, its connection to Ray, its way of failing."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import mixstage
from mixstage.cluster import join_with
from mixstage.errors import MixstageError, PlanError
from mixstage.pipeline import Pipeline
from mixstage.plan.schema import Plan
from mixstage.plan.load import load_plan
from mixstage.progress import Progress
from mixstage.store.store import Store

# Workers load models from disk, never from a hub, and one process a core leaves tokenizers no threads to win.
WORKER_ENV = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # with it, each line of progress comes twice
}

_TRACKERS = ("MLFLOW_", "WANDB_")  # where experiments are kept is the user's environment to say


def plan_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Arguments of a job that works on a plan."""
    options = argparse.ArgumentParser(prog=f"python -m jobs.{name}", description=description)
    options.add_argument("plan", help="the plan, such as jobs/plans/sample.yaml")
    options.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY.PATH=VALUE",
        help="override a field of the plan; the value is YAML; may be repeated",
    )
    return options


def read_plan(options: argparse.Namespace) -> Plan:
    return load_plan(options.plan, options.set)


def run_job(
    name: str, description: str, work: Callable[[Pipeline], None], arguments: Sequence[str] | None = None
) -> int:
    """Parses, connects, works. Exit status 0, or 2 with a message when mixstage refuses."""
    options = plan_parser(name, description).parse_args(arguments)

    def job() -> None:
        plan = read_plan(options)
        connect_when_needed()
        work(open_pipeline(plan))

    return guarded(name, job)


def open_pipeline(plan: Plan) -> Pipeline:
    """The plan's pipeline over its store; raises PlanError for a store that other nodes of a cluster would not see."""
    if os.environ.get("RAY_ADDRESS") and "://" not in plan.store and not Path(plan.store).is_absolute():
        raise PlanError(
            f"store {plan.store!r} is relative: on a cluster each node has its own; "
            "use --set store=s3://bucket/prefix, or an absolute path that all nodes share"
        )
    return Pipeline(plan, Store(plan.store, plan.resolved()), Progress())


@contextmanager
def aside(wanted: bool) -> Iterator[None]:
    """What phases say goes to standard error if wanted, so that an answer in JSON stands alone."""
    if not wanted:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


def guarded(name: str, job: Callable[[], None]) -> int:
    """Runs a job; errors that a user can act on become one message, all others keep their traceback."""
    try:
        job()
    except MixstageError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        cause = getattr(error, "cause", None)  # Ray wraps what a worker raised
        if not isinstance(cause, MixstageError):
            raise
        print(f"{name}: {cause}", file=sys.stderr)
        return 2
    return 0


def connect_when_needed() -> None:
    """Prepares `connect` for the moment in which work is spread: a run that finds everything starts no Ray."""
    os.environ.update(WORKER_ENV)
    join_with(connect)


def connect() -> None:
    """Joins the cluster that RAY_ADDRESS (or a job's environment) names, else starts Ray inside this machine.

    On a cluster the workers get this very copy of the library, whatever version is installed there.
    """
    import ray
    import ray.data

    os.environ.update(WORKER_ENV)
    if ray.is_initialized():
        return
    trackers = {key: value for key, value in os.environ.items() if key.startswith(_TRACKERS)}
    on_cluster = bool(os.environ.get("RAY_ADDRESS"))
    modules = {"py_modules": [str(Path(mixstage.__file__).parent)]} if on_cluster else {}
    ray.init(runtime_env={"env_vars": {**WORKER_ENV, **trackers}, **modules}, logging_level=logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False  # ours count documents and pairs
    for noisy in ("ray.data", "ray.train"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def dashboard() -> str:
    """URL of the dashboard, which has Serve's declarative API, of the Ray that `connect` found or started."""
    import ray

    context: Any = ray.init(ignore_reinit_error=True, logging_level=logging.WARNING)  # of the connection that there is
    return f"http://{context.address_info['webui_url']}"
