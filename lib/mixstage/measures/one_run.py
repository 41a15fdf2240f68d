"""The measures of one run against one set of judgements."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Final, TypedDict

import numpy as np

from mixstage.measures.measures import ABSENT, Judged, Measure, rank_keys, ranks_of_judged

_BLOCK: Final = 256  # queries at a time: bounds the padded keys, 20 MB with lists of 10,000


class RunMeasures(TypedDict):
    """Values by query, and their means over all judged queries, under the canonical names of the measures."""

    per_query: dict[str, dict[str, float]]
    mean: dict[str, float]


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
        found = run.get(query, {})
        scores[row, : len(documents)] = [found[document] for document in documents]
        for slot, (document, grade) in enumerate(qrels[query].items()):
            columns[row, slot] = bisect_left(documents, document) if document in found else -1
            grades[row, slot] = grade
    returned = np.array([len(documents) for documents in lists], dtype=np.int32)
    ordinals = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    keys = np.where(ordinals < returned[:, None], rank_keys(scores, ordinals), np.uint64(0))
    return Judged(ranks=ranks_of_judged(keys, columns), grades=grades, returned=returned)


def _mean(per_query: Mapping[str, Mapping[str, float]], name: str) -> float:
    return math.fsum(values[name] for values in per_query.values()) / max(len(per_query), 1)
