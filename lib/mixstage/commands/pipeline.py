"""All phases in order. Interrupt it anywhere; the next run goes on from what is in the store.

python -m jobs.pipeline jobs/plans/sample.yaml
"""

import shlex
from collections.abc import Sequence

from mixstage.commands.console.outcome import print_outcome, print_seconds
from mixstage.commands.console.session import plan_parser, run_job
from mixstage.commands.release import release_by_verdict
from mixstage.pipeline import Pipeline

DESCRIPTION = "Prepares, trains, indexes, evaluates, selects and releases."


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    status = run_job("pipeline", DESCRIPTION, work, arguments)
    if status == 0:
        options = plan_parser("pipeline", DESCRIPTION).parse_args(arguments)
        overrides = [part for override in options.set for part in ("--set", override)]
        command = shlex.join(["python", "-m", "serve.app", options.plan, *overrides])
        print(f"Serve it: {command}  (or `make serve`)")
    return status


def work(pipeline: Pipeline) -> None:
    print_outcome(pipeline)
    with pipeline.progress.phase("release"):
        release_by_verdict(pipeline)
    print_seconds(pipeline.progress)
