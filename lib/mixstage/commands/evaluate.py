"""Phase 3: evaluates every combination of stages, depths and mixes; exports their rankings for other tools.

mixstage evaluate sample
mixstage evaluate sample --export DIR   # every composition that can be served
mixstage evaluate sample --export DIR --composition 'bm25@20 > none@10'

An export holds, with RUN for RETRIEVER@DEPTH+[WEIGHT+]RERANKER@K:

  DIR/APPLICATION/SPLIT/runs/RUN.trec               all candidates of a composition in its order
  DIR/APPLICATION/SPLIT/qrels.trec                  judgements: query 0 document grade
  DIR/APPLICATION/SPLIT/per_query.parquet           composition, query_id, a column a measure: the grid's values
  DIR/predictions/RUN/APPLICATION_predictions.json  dev and test, as MTEB saves the predictions of a task
  DIR/export.json                                   which composition a RUN is, every file, whether it was finished

Run again it takes the place of what it wrote before; a folder that holds files and is not an export is refused.
`mixstage measure` says of each of its runs what the grid says, to the last bit.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mixstage.commands.console.arguments import plan_parser
from mixstage.commands.console.outcome import print_pairs
from mixstage.commands.console.session import guarded, read_plan
from mixstage.composition import Composition
from mixstage.evaluation.export import Export
from mixstage.evaluation.stored_boards import StoredBoards, find_compositions
from mixstage.pipeline import Pipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    options = parse(arguments)

    def job() -> None:
        plan = read_plan(options)
        pipeline = Pipeline.of(plan)
        work(pipeline)
        if options.export:
            export(pipeline, Path(options.export), options.composition)

    return guarded("evaluate", job, verbose=options.verbose)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser()
    chosen = options.parse_args(arguments)
    if chosen.composition and not chosen.export:
        options.error("--composition says what to export: write --export DIR as well")
    return chosen


def parser() -> argparse.ArgumentParser:
    options = plan_parser("evaluate", __doc__)
    options.add_argument("--export", metavar="DIR", help="write runs, predictions, judgements and values to a folder")
    options.add_argument(
        "--composition",
        nargs="+",
        default=[],
        metavar="NAME",
        help="with --export: these only, also the oracle's [all that can be served]",
    )
    return options


def work(pipeline: Pipeline) -> None:
    grid = pipeline.grid
    pipeline.progress.say(f"{grid.compositions} compositions in {grid.path}")
    print_pairs(pipeline.progress, grid)


def export(pipeline: Pipeline, folder: Path, names: Sequence[str]) -> None:
    """Says how large it gets before it writes."""
    chosen = find_compositions(pipeline.grid, names)
    exported = Export(folder=folder, boards=boards_of(pipeline, chosen), grid=pipeline.grid)
    say = pipeline.progress.say
    say(f"export: {len(chosen)} compositions, {len(exported.files()):,} files, about {exported.size() / 1e6:,.1f} MB")
    exported.write(pipeline.progress)
    say(f"export: {folder}")


def boards_of(pipeline: Pipeline, chosen: Sequence[Composition]) -> StoredBoards:
    """What these compositions of the grid order."""
    return StoredBoards.open(pipeline.prepared, pipeline.rankings, pipeline.curriculum.rerankers, chosen)
