"""What a grid's measures cost: bitsets that compositions share, against the keys of each composition by itself.

python -m benchmarks.grid            # 10 retrievers x 10 rerankers x 4 depths, 5 applications of 5,000 queries
python -m benchmarks.grid --small    # a tenth of the queries

Scores are made up: each model's are one latent relevance plus noise of its own. Both ways measure the same cells of an
application one after the other, so that other work on the machine slows both, and every value must be the same.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.machine import heading, peak_bytes, table
from mixstage.composition import Composition
from mixstage.evaluation.board import Board, evaluate_board, final_keys
from mixstage.evaluation.compositions import compositions
from mixstage.measures.measures import ABSENT, Judged, Measure, parse_measure, rank_keys, ranks_of_judged
from mixstage.plan.schema import GridPlan

_GRID = GridPlan(depths=(20, 50, 60, 100), mix=(), ranking_depth=100)
_RETRIEVERS = [f"r{i}" for i in range(10)]
_RERANKERS = [f"k{i}" for i in range(10)]
_MEASURES = [parse_measure(name) for name in ("nDCG@10", "RR@10", "AP@100", "R@20", "P@10", "Success@5")]
_APPLICATIONS = 5
_COLUMNS = 208  # distinct candidates that ten correlated top-100 lists hold
_JUDGED = 3  # documents a query, at most
Way = Callable[[Board, Sequence[Composition], Sequence[Measure]], Iterator[tuple[Composition, np.ndarray]]]


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.grid", description=__doc__.splitlines()[0])
    options.add_argument("--small", action="store_true", help="500 queries an application instead of 5,000")
    queries = 500 if options.parse_args(arguments).small else 5000
    grid = compositions(_GRID, _RETRIEVERS, _RERANKERS)
    ways: dict[str, Way] = {"keys of each composition": by_keys, "shared bitsets": evaluate_board}
    seconds = dict.fromkeys(ways, 0.0)
    print(heading(f"The grid: {len(grid)} compositions, {_APPLICATIONS} applications of {queries:,} queries"))
    for application in range(_APPLICATIONS):
        board = make_board(np.random.default_rng(application), queries)
        found = []
        for name, way in ways.items():
            start = time.process_time()
            found.append(np.stack([values for _, values in way(board, grid, _MEASURES)]))
            seconds[name] += time.process_time() - start
        assert np.array_equal(found[0], found[1]), "the two ways differ"
    cells = len(grid) * _APPLICATIONS
    first = seconds["keys of each composition"]
    rows = [(n, f"{s:.2f}", f"{1000 * s / cells:.2f}", f"{first / s:.1f}") for n, s in seconds.items()]
    print(table(("way", "CPU s", "ms a cell", "times faster"), *rows))
    values = cells * queries * len(_MEASURES)
    print(f"\n{values:,} values, all equal; peak memory {peak_bytes() / 1e9:.2f} GB")
    return 0


def by_keys(
    board: Board, grid: Sequence[Composition], measures: Sequence[Measure]
) -> Iterator[tuple[Composition, np.ndarray]]:
    """As for a mix: the keys of a composition's candidates, and the greater ones counted."""
    for composition in grid:
        keys = final_keys(board, composition)
        ranks, returned = ranks_of_judged(keys, board.judged), (keys > 0).sum(axis=1).astype(np.int32)
        judged = Judged(ranks=ranks, grades=board.grades, returned=returned)
        yield composition, np.column_stack([measure.values(judged) for measure in measures])


def make_board(generator: np.random.Generator, queries: int) -> Board:
    """An application; the documents of highest relevance are judged, one to three a query."""
    shape = (queries, _COLUMNS)
    relevance = generator.normal(size=shape)
    ordinals = np.broadcast_to(np.arange(_COLUMNS, dtype=np.uint32), shape)
    scores = {
        name: (relevance + generator.normal(size=shape)).astype(np.float32) for name in [*_RETRIEVERS, *_RERANKERS]
    }
    ranks = {}
    for name in _RETRIEVERS:
        order = np.argsort(rank_keys(scores[name], ordinals), axis=1)[:, ::-1]
        places = np.empty(shape, dtype=np.uint32)
        np.put_along_axis(places, order, np.arange(1, _COLUMNS + 1, dtype=np.uint32)[None], axis=1)
        ranks[name] = np.where(places <= _GRID.ranking_depth, places, 0)
    judged = np.argsort(-relevance, axis=1)[:, :_JUDGED].astype(np.int32)
    used = np.arange(_JUDGED) < generator.integers(1, _JUDGED + 1, (queries, 1))
    grades = generator.integers(1, 4, judged.shape)
    return Board(
        query_ids=[f"q{i}" for i in range(queries)],
        doc_ids=[],  # measures don't read them
        ordinals=ordinals,
        ranks=ranks,
        retrieved={name: scores[name] for name in _RETRIEVERS},
        reranked={name: scores[name] for name in _RERANKERS},
        judged=np.where(used, judged, -1),
        grades=np.where(used, grades, ABSENT).astype(np.int16),
    )


if __name__ == "__main__":
    sys.exit(main())
