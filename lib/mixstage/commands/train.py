"""Phase 1: trains every stage of both components.

python -m jobs.train jobs/plans/sample.yaml
"""

from collections.abc import Sequence

from mixstage.commands.console.session import run_job
from mixstage.pipeline import Pipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    return run_job("train", "Trains every stage of the retriever and the reranker.", work, arguments)


def work(pipeline: Pipeline) -> None:
    curriculum = pipeline.curriculum
    for component, stages in (("retriever", curriculum.retrievers), ("reranker", curriculum.rerankers)):
        for name, checkpoint in stages.items():
            print(f"{component}:{name} in {checkpoint.path}")
