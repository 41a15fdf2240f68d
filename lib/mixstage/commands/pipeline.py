"""All phases in order. Interrupt it anywhere; the next run goes on from what is in the store.

mixstage pipeline sample
"""

import argparse
import shlex
from collections.abc import Sequence

from mixstage.commands.console.arguments import called, plan_parser
from mixstage.commands.console.outcome import print_outcome, print_seconds
from mixstage.commands.console.session import run_plan
from mixstage.commands.release import release_by_verdict
from mixstage.pipeline import Pipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    options = parser().parse_args(arguments)
    status = run_plan("pipeline", options, work)
    if status == 0:
        overrides = [part for override in options.set for part in ("--set", override)]
        way = ["mixstage", "serve"] if called("pipeline").startswith("mixstage") else ["python", "-m", "serve.app"]
        print(f"Serve it: {shlex.join([*way, options.plan, *overrides])}")
    return status


def parser() -> argparse.ArgumentParser:
    return plan_parser("pipeline", __doc__)


def work(pipeline: Pipeline) -> None:
    print_outcome(pipeline)
    with pipeline.progress.phase("release"):
        release_by_verdict(pipeline)
    print_seconds(pipeline.progress)
