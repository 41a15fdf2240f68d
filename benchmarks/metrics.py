"""What measures cost: our evaluator against pytrec_eval on the same runs, every value equal.

python -m benchmarks.metrics            # 16 runs of 5,000 queries x 100 documents, 9 measures
python -m benchmarks.metrics --small    # a tenth of the queries

All ways measure a run before the next is made, so that other work on the machine slows each of them. The grid's runs
are arrays; a run from a file comes as dictionaries, which is what pytrec_eval takes.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytrec_eval

from benchmarks.machine import heading, peak_bytes, spread, table
from mixstage.measures.measures import Judged, parse_measure, rank_keys, ranks_of_judged
from mixstage.measures.one_run import evaluate_run

_RUNS = 16
_DEPTH = 100  # documents of a list
_JUDGED = 3  # documents of a query
_DOCUMENTS = _DEPTH + _JUDGED  # of a query: a list holds all but the last ones
_THEIRS = {
    "nDCG@10": "ndcg_cut_10",
    "RR": "recip_rank",
    "AP@100": "map_cut_100",
    "R@20": "recall_20",
    "R@100": "recall_100",
    "P@10": "P_10",
    "Success@1": "success_1",
    "Success@5": "success_5",
    "Rprec": "Rprec",
}
_MEASURES = [parse_measure(name) for name in _THEIRS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run and its judgements: arrays, and the same as dictionaries."""

    scores: np.ndarray  # (Q, _DEPTH) float32
    judged: np.ndarray  # (Q, _JUDGED) column of each judged document, -1 where the list lacks it
    grades: np.ndarray  # (Q, _JUDGED) int16
    run: dict[str, dict[str, float]]
    qrels: dict[str, dict[str, int]]


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.metrics", description=__doc__.splitlines()[0])
    options.add_argument("--small", action="store_true", help="500 queries instead of 5,000")
    queries = 500 if options.parse_args(arguments).small else 5000
    ways: dict[str, Callable[[Sample], np.ndarray]] = {
        "pytrec_eval": by_pytrec_eval,
        "ours, from dictionaries": by_dictionaries,
        "ours, from arrays": by_arrays,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    print(heading(f"Measures: {_RUNS} runs of {queries:,} queries x {_DEPTH} documents, {len(_MEASURES)} measures"))
    for number in range(_RUNS):
        sample = make_sample(number, queries)
        found = []
        for name, way in ways.items():
            start = time.process_time()
            found.append(way(sample))
            seconds[name].append(time.process_time() - start)
        assert all(np.array_equal(found[0], other) for other in found[1:]), "the ways differ"
    rows = [("", "CPU s, all runs", "a run, ms", "times faster than pytrec_eval")]
    for name, took in seconds.items():
        ratios = [theirs / mine for theirs, mine in zip(seconds["pytrec_eval"], took, strict=True)]
        rows.append((name, f"{sum(took):.2f}", spread([1000 * one for one in took], 0), spread(ratios, 1)))
    print(table(*rows))
    print(f"\n{_RUNS * queries * len(_MEASURES):,} values, all equal; peak memory {peak_bytes() / 1e9:.2f} GB")
    return 0


def make_sample(number: int, queries: int) -> Sample:
    """A run of its own; judgements and documents are those of every run."""
    common, own = np.random.default_rng(0), np.random.default_rng(number + 1)
    judged = np.argsort(common.random((queries, _DOCUMENTS)), axis=1)[:, :_JUDGED]
    grades = common.integers(0, 4, judged.shape).astype(np.int16)
    grades[:, 0] = np.maximum(grades[:, 0], 1)
    scores = own.integers(0, 1000, (queries, _DEPTH)).astype(np.float32) / np.float32(1000)  # with ties
    names = [f"d{column:03d}" for column in range(_DOCUMENTS)]
    rows = [f"q{row}" for row in range(queries)]
    return Sample(
        scores=scores,
        judged=np.where(judged < _DEPTH, judged, -1),
        grades=grades,
        run={row: dict(zip(names, values, strict=False)) for row, values in zip(rows, scores.tolist(), strict=True)},
        qrels={
            row: {names[column]: grade for column, grade in zip(columns, values, strict=True)}
            for row, columns, values in zip(rows, judged.tolist(), grades.tolist(), strict=True)
        },
    )


def by_pytrec_eval(sample: Sample) -> np.ndarray:
    """(Q, M), in the order of the judgements."""
    evaluator = pytrec_eval.RelevanceEvaluator(sample.qrels, set(_THEIRS.values()))
    found = evaluator.evaluate(sample.run)
    return np.array([[found[query][name] for name in _THEIRS.values()] for query in sample.qrels])


def by_dictionaries(sample: Sample) -> np.ndarray:
    found = evaluate_run(sample.run, sample.qrels, _MEASURES)["per_query"]
    return np.array([[found[query][name] for name in _THEIRS] for query in sample.qrels])


def by_arrays(sample: Sample) -> np.ndarray:
    ordinals = np.broadcast_to(np.arange(_DEPTH, dtype=np.uint32), sample.scores.shape)
    ranks = ranks_of_judged(rank_keys(sample.scores, ordinals), sample.judged)
    returned = np.full(len(ranks), _DEPTH, dtype=np.int32)
    judged = Judged(ranks=ranks, grades=sample.grades, returned=returned)
    return np.column_stack([measure.values(judged) for measure in _MEASURES])


if __name__ == "__main__":
    sys.exit(main())
