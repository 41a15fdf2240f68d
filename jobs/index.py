"""Phase 2: embeds and indexes every corpus once per retriever stage.

python -m jobs.index jobs/plans/sample.yaml
python -m jobs.index jobs/plans/sample.yaml --verify   # reads every file, makes again what a disk spoilt
python -m jobs.index jobs/plans/sample.yaml --prune    # deletes generations that nothing needs any more
"""

import argparse
import sys
from collections.abc import Sequence

from jobs.session import connect_when_needed, guarded, open_pipeline, plan_parser, read_plan
from mixstage.pipeline import Pipeline
from mixstage.release.pins import open_registry
from mixstage.release.retention import unneeded_generations

DESCRIPTION = "Embeds and indexes every corpus once per retriever stage."


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    options = parser().parse_args(arguments)

    def job() -> None:
        plan = read_plan(options)
        connect_when_needed()
        pipeline = open_pipeline(plan)
        if options.verify:
            pipeline.indexer.repair(pipeline.retrievers)
        show(pipeline)
        if options.prune:
            prune(pipeline)

    return guarded("index", job)


def parser() -> argparse.ArgumentParser:
    options = plan_parser("index", DESCRIPTION)
    options.add_argument("--verify", action="store_true", help="read every file and make damaged shards again")
    options.add_argument(
        "--prune", action="store_true", help="delete generations beyond the last index.keep that no release pins"
    )
    return options


def show(pipeline: Pipeline) -> None:
    for (corpus, retriever), generation in pipeline.generations.items():
        print(f"{corpus} x {retriever}: {generation.meta['documents']} documents in {generation.path}")


def prune(pipeline: Pipeline) -> None:
    store, plan = pipeline.store, pipeline.plan
    unneeded = unneeded_generations(store, open_registry(plan, store).pinned(), plan.index.keep)
    for generation in unneeded:
        store.delete(generation)
        print(f"deleted {generation.path}")
    if not unneeded:
        print(f"nothing to delete: every generation is among the last {plan.index.keep} or pinned")


if __name__ == "__main__":
    sys.exit(main())
