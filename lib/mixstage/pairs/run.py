"""The scoring of pairs that the store does not know: calls that actors take from a queue, each stored as it comes."""

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mixstage.cluster import run_actors
from mixstage.errors import ModelError
from mixstage.models.checkpoint import Checkpoint, open_reranker
from mixstage.models.reranker import Reranker
from mixstage.pairs.scores import Lookup, Pairs, append_scores, call_size, cut, look_up
from mixstage.plan.stages import Workers
from mixstage.progress import Progress
from mixstage.store.store import Store

_SHOWN = 80  # characters of a text in a message


class PairScorer:
    """Scores calls; keeps the reranker that it used last, so a model loads once per actor and reranker."""

    def __init__(self) -> None:
        self.opened = ""
        self.reranker: Reranker | None = None

    def __call__(
        self, checkpoint: Checkpoint, queries: list[str], documents: list[str]
    ) -> tuple[NDArray[np.float32], float]:
        """(N,) texts each -> (N,) raw logits, and the seconds that they took."""
        if self.reranker is None or self.opened != checkpoint.digest:
            self.reranker, self.opened = open_reranker(checkpoint), checkpoint.digest
        start = time.perf_counter()
        return self.reranker.score(queries, documents), time.perf_counter() - start


def score_pairs(
    store: Store, checkpoint: Checkpoint, pairs: Pairs, *, label: str, workers: Workers, progress: Progress
) -> NDArray[np.float32]:
    """(N,) scores of all pairs under one reranker, in their order; only those not in the store are computed."""
    name = checkpoint.stage
    lookup = look_up(store, {name: checkpoint}, pairs)
    return score_missing(store, lookup, label=label, workers=workers, progress=progress)[name]


def score_missing(
    store: Store, lookup: Lookup, *, label: str, workers: Workers, progress: Progress
) -> dict[str, NDArray[np.float32]]:
    """reranker -> (N,) scores in the pairs' order, NaN where none was requested and the store knows none.

    Each call's scores are stored as they come; the tallies get their seconds. Raises what `open_reranker` raises, and
    ModelError for a score that is not a finite number.
    """
    names = list(lookup.checkpoints)
    columns = {name: column.copy() for name, column in lookup.columns.items()}
    parts = cut([lookup.costs[name] for name in names], workers.workers, call_size(workers.gpus))
    calls = [(names[column], lookup.missing[names[column]][entries]) for column, entries in parts]
    for number, (values, seconds) in _run(lookup, calls, label, workers, progress):
        name, numbers = calls[number]
        refuse_no_number(lookup, name, numbers, values)
        columns[name][numbers] = values
        lookup.tallies[name].seconds += seconds
        append_scores(store, lookup.checkpoints[name], lookup.keys[numbers], values)
    return {name: column[lookup.first] for name, column in columns.items()}


def _run(
    lookup: Lookup, calls: list[tuple[str, NDArray[np.int64]]], label: str, workers: Workers, progress: Progress
) -> Iterator[tuple[int, tuple[NDArray[np.float32], float]]]:
    if not calls:
        return
    pairs = lookup.pairs
    texts = [
        (
            lookup.checkpoints[name],
            [pairs.queries[i] for i in pairs.query[numbers]],
            [pairs.documents[i] for i in pairs.document[numbers]],
        )
        for name, numbers in calls
    ]
    results = run_actors(PairScorer, texts, workers=workers)
    sized = ((result, len(result[1][0])) for result in results)
    total = sum(len(numbers) for _, numbers in calls)
    yield from progress.track_sized(sized, label, total=total, unit="pairs")


def refuse_no_number(lookup: Lookup, name: str, numbers: NDArray[np.int64], values: NDArray[np.float32]) -> None:
    """Raises ModelError for the first score that is not finite. values: (M,) of the pairs `numbers` (M,)."""
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        at, pairs = numbers[bad[0]], lookup.pairs
        query, document = pairs.queries[pairs.query[at]], pairs.documents[pairs.document[at]]
        raise ModelError(
            f"reranker {name!r} ({lookup.checkpoints[name].path}) scores {values[bad[0]]} for query {query[:_SHOWN]!r} "
            f"and document {document[:_SHOWN]!r}, and so has no order: train the stage again with a lower "
            "learning_rate, or leave it out of the plan"
        )
