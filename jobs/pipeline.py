"""All phases in order. Interrupt it anywhere; the next run goes on from what is in the store.

python -m jobs.pipeline jobs/plans/sample.yaml
"""

import sys
from collections.abc import Sequence

from jobs.outcome import print_outcome, print_seconds
from jobs.release import promote_winner
from jobs.session import run_job
from mixstage.pipeline import Pipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    return run_job("pipeline", "Prepares, trains, indexes, evaluates, selects and releases.", work, arguments)


def work(pipeline: Pipeline) -> None:
    print_outcome(pipeline)
    with pipeline.progress.phase("release"):
        promote_winner(pipeline)
    print_seconds(pipeline.progress)


if __name__ == "__main__":
    sys.exit(main())
