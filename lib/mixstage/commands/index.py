"""Phase 2: embeds and indexes every corpus once per retriever stage.

mixstage index sample
mixstage index sample --verify   # reads every file, makes again what a disk spoilt
mixstage index sample --prune    # deletes generations that nothing needs any more
mixstage index sample --dry-run --deadline 2h   # embeds nothing, says what it would take
"""

import argparse
from collections.abc import Sequence

from mixstage.commands.console.arguments import plan_parser
from mixstage.commands.console.forecast import print_forecast
from mixstage.commands.console.session import guarded, read_plan
from mixstage.index.forecast import parse_deadline
from mixstage.index.pointers import unneeded_generations
from mixstage.pipeline import Pipeline
from mixstage.release.pins import open_registry


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    options = parse(arguments)

    def job() -> None:
        plan = read_plan(options)
        if options.deadline:
            parse_deadline(options.deadline)  # a wrong one is refused before Ray starts
        pipeline = Pipeline.of(plan)
        if options.dry_run:
            print_forecast(pipeline, options.deadline)
            return
        if options.verify:
            pipeline.indexer.repair(pipeline.retrievers)
        show(pipeline)
        if options.prune:
            prune(pipeline)

    return guarded("index", job, verbose=options.verbose)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser()
    chosen = options.parse_args(arguments)
    if chosen.deadline and not chosen.dry_run:
        options.error("--deadline asks how many workers it takes: write --dry-run as well")
    if chosen.dry_run and (chosen.verify or chosen.prune):
        options.error("--dry-run changes nothing: leave --verify and --prune out")
    return chosen


def parser() -> argparse.ArgumentParser:
    options = plan_parser("index", __doc__)
    options.add_argument("--verify", action="store_true", help="read every file and make damaged shards again")
    options.add_argument(
        "--prune", action="store_true", help="delete generations beyond the last index.keep that no release pins"
    )
    options.add_argument("--dry-run", action="store_true", help="measure on a sample and say what indexing will take")
    options.add_argument(
        "--deadline", metavar="TIME", help="with --dry-run: how many workers are ready in 90s, 15m, 2h"
    )
    return options


def show(pipeline: Pipeline) -> None:
    for (corpus, retriever), generation in pipeline.generations.items():
        print(f"{corpus} x {retriever}: {generation.documents} documents in {generation.path}")


def prune(pipeline: Pipeline) -> None:
    store, plan = pipeline.store, pipeline.plan
    unneeded = unneeded_generations(store, open_registry(plan, store).pinned(), plan.index.keep)
    for generation in unneeded:
        store.delete(generation)
        print(f"deleted {generation.path}")
    if not unneeded:
        print(f"nothing to delete: every generation is among the last {plan.index.keep} or pinned")
