"""The measures of one run against one set of judgements."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypedDict

import numpy as np

from mixstage.errors import InputError
from mixstage.measures.json_runs import open_run
from mixstage.measures.measures import ABSENT, Judged, Measure, parse_measure, rank_keys, ranks_of_judged
from mixstage.measures.trec import check_grades, read_qrels

_BLOCK: Final = 256  # queries at a time: bounds the padded keys, 20 MB with lists of 10,000

AnyRun = str | Path | Mapping[str, Mapping[str, float] | Sequence[str]]
AnyQrels = str | Path | Mapping[str, Mapping[str, int]]


class RunMeasures(TypedDict):
    """Values by query, and their means over all judged queries, under the canonical names of the measures."""

    per_query: dict[str, dict[str, float]]
    mean: dict[str, float]


def measure(
    run: AnyRun,
    qrels: AnyQrels,
    measures: str | Iterable[str],
    *,
    rel_level: int = 1,
    split: str | None = None,
    subset: str | None = None,
) -> RunMeasures:
    """What a run is worth by the judgements: values by query and their means, equal to trec_eval's.

    >>> run = {"q1": {"d7": 0.9, "d2": 0.4}, "q2": ["d1", "d3"]}
    >>> qrels = {"q1": {"d2": 1}, "q2": {"d1": 2, "d9": 1}}
    >>> measured = measure(run, qrels, ["RR@10", "R@10"])
    >>> measured["mean"]
    {'RR@10': 0.75, 'R@10': 0.75}
    >>> measured["per_query"]["q1"]["RR@10"]
    0.5

    run: a file (TREC, BEIR's or MTEB's JSON, or lines below BEIR's header), or query -> document -> score, or query ->
    documents, best first. qrels: a file (TREC or BEIR), or query -> document -> grade. measures: names such as nDCG@10,
    RR@10 (MRR@10), AP, P@5, R@100, Success@1, Rprec, Bpref, Judged@10. rel_level: lowest grade that is relevant. split,
    subset: of a file that MTEB saved. A judged query that the run lacks counts 0. Raises InputError on what can't be
    measured, and says why: where no judged query is in the run, their ids are of two collections.
    """
    named = [measures] if isinstance(measures, str) else measures
    parsed = [parse_measure(name) for name in named]
    judgements = open_qrels(qrels)
    ranked = open_run(run, split, subset) if isinstance(run, str | Path) else _scored(run)
    _refuse_strangers(ranked, judgements)
    return evaluate_run(ranked, judgements, parsed, rel_level)


def open_qrels(qrels: AnyQrels) -> Mapping[str, Mapping[str, int]]:
    """The judgements of a file, or those that are given; raises InputError if no query of them is judged."""
    if isinstance(qrels, str | Path):
        judgements: Mapping[str, Mapping[str, int]] = read_qrels(qrels)
    else:
        judgements = qrels
        check_grades(judgements)
    if not judged_queries(judgements):
        name = qrels if isinstance(qrels, str | Path) else "qrels"
        raise InputError(f"{name} has no query with a grade of 0 or more: nothing can be measured")
    return judgements


def _refuse_strangers(run: Mapping[str, object], qrels: Mapping[str, object]) -> None:
    if run and run.keys().isdisjoint(qrels):
        raise InputError(
            f"no query of the run is judged: it has {next(iter(run))!r}, the judgements {next(iter(qrels))!r}; give a "
            "run and judgements of the same queries"
        )


def _scored(run: Mapping[str, Mapping[str, float] | Sequence[str]]) -> Mapping[str, Mapping[str, float]]:
    """Scores as they are; documents of a list get scores that fall from the first to the last."""
    return {
        query: ranking if isinstance(ranking, Mapping) else _falling(query, ranking) for query, ranking in run.items()
    }


def _falling(query: str, documents: Sequence[str]) -> Mapping[str, float]:
    scores = {document: float(len(documents) - place) for place, document in enumerate(documents)}
    if len(scores) < len(documents):
        twice = next(document for place, document in enumerate(documents) if document in documents[:place])
        raise InputError(f"query {query}: document {twice} stands twice in the ranking: keep one")
    return scores


def evaluate_run(
    run: Mapping[str, Mapping[str, float]],
    qrels: Mapping[str, Mapping[str, int]],
    measures: Sequence[Measure],
    rel_level: int = 1,
) -> RunMeasures:
    """Every measure for every judged query, in the order of query ids: the values of trec_eval -c.

    A judged query without a ranking counts 0. A query of the run without judgements is ignored, and so is a
    query whose judgements are all negative. Means are exactly rounded sums over all judged queries; 0 when
    there is none. Raises InputError on a NaN score and a `rel_level` below 1.
    """
    queries = judged_queries(qrels)
    per_query: dict[str, dict[str, float]] = {}
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        judged = judge(run, qrels, block)
        columns = {repr(measure): measure.values(judged, rel_level).tolist() for measure in measures}
        for row, query in enumerate(block):
            per_query[query] = {name: column[row] for name, column in columns.items()}
    names = dict.fromkeys(map(repr, measures))
    return {"per_query": per_query, "mean": {name: _mean(per_query, name) for name in names}}


def judged_queries(qrels: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Sorted ids of the queries with a grade of 0 or more; negative grades mean "pooled but not judged"."""
    return sorted(query for query, grades in qrels.items() if any(grade >= 0 for grade in grades.values()))


def judge(
    run: Mapping[str, Mapping[str, float]], qrels: Mapping[str, Mapping[str, int]], queries: Sequence[str]
) -> Judged:
    """Ranks and grades of the judged documents of these queries, a row for each, in this order."""
    # Sorted ids make a document's column its tie-break ordinal; code points sort like UTF-8 bytes.
    lists = [sorted(run.get(query, ())) for query in queries]
    slots = max((len(qrels[query]) for query in queries), default=0)
    scores = np.zeros((len(queries), max(map(len, lists), default=0)))
    columns = np.full((len(queries), slots), -1, dtype=np.int64)
    grades = np.full((len(queries), slots), ABSENT, dtype=np.int16)
    for row, (query, documents) in enumerate(zip(queries, lists, strict=True)):
        scored = run.get(query, {})
        scores[row, : len(documents)] = [scored[document] for document in documents]
        for slot, (document, grade) in enumerate(qrels[query].items()):
            columns[row, slot] = bisect_left(documents, document) if document in scored else -1
            grades[row, slot] = grade
    returned = np.array([len(documents) for documents in lists], dtype=np.int32)
    ordinals = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    keys = np.where(ordinals < returned[:, None], rank_keys(scores, ordinals), np.uint64(0))
    return Judged(ranks=ranks_of_judged(keys, columns), grades=grades, returned=returned)


def _mean(per_query: Mapping[str, Mapping[str, float]], name: str) -> float:
    return math.fsum(values[name] for values in per_query.values()) / max(len(per_query), 1)
