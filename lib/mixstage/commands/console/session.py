"""What every job shares: its arguments, its connection to Ray, its way of failing."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

from mixstage.errors import MixstageError
from mixstage.pipeline import Pipeline
from mixstage.plan.load import load_plan
from mixstage.plan.schema import Plan


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
        work(Pipeline.of(plan))

    return guarded(name, job)


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
