"""What every job shares: its arguments, its connection to Ray, its way of failing."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from mixstage.cluster import is_joined
from mixstage.connection import connect_when_needed
from mixstage.errors import MixstageError, PlanError
from mixstage.pipeline import Pipeline
from mixstage.plan.load import load_plan
from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.store.store import Store


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
    if is_joined() and "://" not in plan.store and not Path(plan.store).is_absolute():
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
