"""Phase 3: evaluates every combination of stages, depths and mixes.

python -m jobs.evaluate jobs/plans/sample.yaml
"""

import sys
from collections.abc import Sequence

from jobs.outcome import print_pairs
from jobs.session import run_job
from mixstage.pipeline import Pipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    return run_job("evaluate", "Evaluates every retriever x reranker x depth x mix.", work, arguments)


def work(pipeline: Pipeline) -> None:
    grid = pipeline.grid
    pipeline.progress.say(f"{grid.meta['compositions']} compositions in {grid.path}")
    print_pairs(pipeline.progress, grid.meta["pairs"], grid.meta.get("race"))


if __name__ == "__main__":
    sys.exit(main())
