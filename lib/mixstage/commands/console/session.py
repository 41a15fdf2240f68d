"""What every command shares: how it reads its plan, where it prints, how it fails."""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

from mixstage.commands.console.quiet import quiet
from mixstage.errors import MixstageError
from mixstage.pipeline import Pipeline
from mixstage.plan.load import load_plan
from mixstage.plan.schema import Plan

INTERRUPTED = "interrupted; what is finished is kept, and the same command goes on from there"


def read_plan(options: argparse.Namespace) -> Plan:
    return load_plan(options.plan, options.set)


def run_plan(name: str, options: argparse.Namespace, work: Callable[[Pipeline], None]) -> int:
    """Opens the plan's pipeline and works on it. Exit status 0, or 2 with a message when mixstage refuses."""
    return guarded(name, lambda: work(Pipeline.of(read_plan(options))), verbose=options.verbose)


@contextmanager
def aside(wanted: bool) -> Iterator[None]:
    """What phases say goes to standard error if wanted, so that an answer in JSON stands alone."""
    if not wanted:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


def guarded(name: str, job: Callable[[], None], *, verbose: bool = False) -> int:
    """Runs a job; errors that a user can act on become one message, all others keep their traceback.

    Exit status: 0, 2 for such an error, 130 for a job that was interrupted (Ctrl-C), as shells count it.
    verbose: with everything that libraries print on standard error, the known noise and Ray's own log included.
    """
    if verbose:
        logging.getLogger("mixstage").setLevel(logging.INFO)
    try:
        with quiet(not verbose):
            job()
    except KeyboardInterrupt:
        print(f"{name}: {INTERRUPTED}", file=sys.stderr)
        return 130
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
