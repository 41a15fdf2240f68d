"""Phase 4: chooses on dev, confirms on test, writes the report.

python -m jobs.select jobs/plans/sample.yaml
"""

from collections.abc import Sequence

from mixstage.commands.console.outcome import print_outcome
from mixstage.commands.console.session import run_job
from mixstage.pipeline import Pipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    return run_job("select", "Chooses the winner on dev, confirms on test, writes the report.", work, arguments)


def work(pipeline: Pipeline) -> None:
    print_outcome(pipeline)
