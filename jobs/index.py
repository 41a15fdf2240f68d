"""Phase 2: embeds and indexes every corpus once per retriever stage.

python -m jobs.index jobs/plans/sample.yaml
"""

import sys
from collections.abc import Sequence

from jobs.session import run_job
from mixstage.pipeline import Pipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    return run_job("index", "Embeds and indexes every corpus once per retriever stage.", work, arguments)


def work(pipeline: Pipeline) -> None:
    for (corpus, retriever), generation in pipeline.generations.items():
        print(f"{corpus} x {retriever}: {generation.meta['documents']} documents in {generation.path}")


if __name__ == "__main__":
    sys.exit(main())
