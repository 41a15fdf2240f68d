"""Holes: documents without a judgement at the top of a list. They count as not relevant, and may be relevant.

What they may do to the comparison: the gap if unjudged documents are left out, and if all at the top are good.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixstage.composition import Composition
from mixstage.evaluation.board import Board, FinalList, final_list
from mixstage.insight.attribution import Values
from mixstage.measures.measures import ABSENT, Judged, Measure, ranks_of_judged
from mixstage.stats import ROUNDING
from mixstage.stats.bootstrap import Floats
from mixstage.stats.paired import Paired, t_interval
from mixstage.store.plain import Json, plain_fields

TOP = 10  # documents of a list that are looked at
LIMIT = 0.05  # difference of Judged@10 above which one composition is measured on fewer judgements than the other
CORRELATED = 0.5  # |r| of holes and score over the grid, above which the judgements may favour some compositions


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A measure of winner and incumbent: means over queries, and the difference."""

    winner: float
    incumbent: float
    difference: Paired  # winner minus incumbent, by query

    @classmethod
    def of(cls, winner: Floats, incumbent: Floats, confidence: float) -> Self:
        """From (Q,) values of the same queries."""
        return cls(
            winner=float(winner.mean()),
            incumbent=float(incumbent.mean()),
            difference=t_interval(winner - incumbent, confidence),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Holes:
    """What unjudged documents do to one application."""

    judged: Compared  # Judged@10; .1 to .2 is usual with one or two judgements a query: only the difference tells
    counted: dict[str, Compared]  # the metric, see `sensitivity`
    correlation: float | None  # see `hole_correlation`
    only_relevant_judged: bool

    @property
    def is_uneven(self) -> bool:
        """Whether one of the two is measured on fewer judgements than the other."""
        return abs(self.judged.difference.mean) > LIMIT

    @property
    def is_correlated(self) -> bool:
        """Whether scores follow holes, and not by construction."""
        return self.correlation is not None and abs(self.correlation) > CORRELATED and not self.only_relevant_judged

    def to_json(self) -> dict[str, Json]:
        """One object, with what follows from the numbers."""
        rest = {name: value for name, value in plain_fields(self).items() if name != "judged"}
        return plain_fields(self.judged) | rest | {"uneven": self.is_uneven, "correlated": self.is_correlated}


def labelling_queue(winner: pl.DataFrame, incumbent: pl.DataFrame, judgements: pl.DataFrame) -> pl.DataFrame:
    """query_id, doc_id, winner_rank, incumbent_rank (null: not in that top): documents that lack a judgement.

    winner, incumbent: query_id, doc_id, rank of the top documents; judgements: query_id, doc_id, grade, of which
    negative grades count as none. Those that only one of the two shows come first, since only they can move the
    difference; then by the better of the two ranks, query and document.
    """
    both = winner.rename({"rank": "winner_rank"}).join(
        incumbent.rename({"rank": "incumbent_rank"}), on=["query_id", "doc_id"], how="full", coalesce=True
    )
    open_ones = both.join(judgements.filter(pl.col("grade") >= 0), on=["query_id", "doc_id"], how="anti")
    shared = pl.col("winner_rank").is_not_null() & pl.col("incumbent_rank").is_not_null()
    best = pl.min_horizontal("winner_rank", "incumbent_rank")
    return open_ones.sort(shared, best, "query_id", "doc_id").select(
        "query_id", "doc_id", "winner_rank", "incumbent_rank"
    )


def condensed(listed: FinalList, depth: int, measure: Measure) -> Floats:
    """(Q,) the measure of the list's first `depth` documents without the unjudged ones (Sakai, SIGIR 2007)."""
    ranks, grades = listed.judged.ranks, listed.judged.grades
    judged = (ranks > 0) & (ranks <= depth) & (grades >= 0)
    order = np.argsort(np.where(judged, ranks, np.iinfo(ranks.dtype).max), axis=1, kind="stable")
    places = np.zeros_like(ranks)
    np.put_along_axis(places, order, np.arange(1, ranks.shape[1] + 1, dtype=ranks.dtype)[None], axis=1)
    returned = judged.sum(axis=1).astype(np.int32)
    return measure.values(Judged(ranks=np.where(judged, places, 0), grades=grades, returned=returned))


def filled(board: Board, listed: FinalList, columns: NDArray[np.integer], measure: Measure) -> Floats:
    """(Q,) the measure if the documents of `columns`, see `open_columns`, had the highest grade of all judgements.

    As measured they count nothing: the other end of what they may be. Not a bound of a single list: a document that
    only another list shows becomes one more to find.
    """
    grades = np.where(columns >= 0, board.grades.max(initial=0), ABSENT).astype(np.int16)
    own = np.where(board.grades >= 0, listed.judged.ranks, 0)  # a negative grade judges nothing, and may be a column
    completed = Judged(
        ranks=np.concatenate([own, ranks_of_judged(listed.keys, columns)], axis=1),
        grades=np.concatenate([board.grades, grades], axis=1),
        returned=listed.judged.returned,
    )
    return measure.values(completed)


def open_columns(board: Board, lists: Sequence[FinalList], k: int) -> NDArray[np.int64]:
    """(Q, E) columns of the documents in the first k of any list that lack a judgement, -1 in unused slots."""
    rows = np.arange(len(board.judged))[:, None]
    shown = np.zeros(board.ordinals.shape, dtype=np.bool_)
    for listed in lists:
        order = np.argsort(listed.keys, axis=1)[:, ::-1][:, :k]
        shown[rows, order] |= np.take_along_axis(listed.keys, order, axis=1) > 0
    query, slot = np.nonzero((board.judged >= 0) & (board.grades >= 0))
    shown[query, board.judged[query, slot]] = False
    order = np.argsort(~shown, axis=1, kind="stable")[:, : int(shown.sum(axis=1).max(initial=0))]
    return np.where(np.take_along_axis(shown, order, axis=1), order, -1)


def sensitivity(
    board: Board, compared: Sequence[Composition], measure: Measure, k: int, confidence: float
) -> dict[str, Compared]:
    """How holes are counted -> the metric: as measured ("nothing"), "left out", or as if every document in the first k
    of either list had the "highest grade".

    Left out, both lists are as long as the shallower, or the deeper one would gain by its tail. Where all judgements
    are relevant that says nothing: what is left of a list is perfect, whatever its order.
    """
    lists = [final_list(board, composition) for composition in compared]
    columns, depth = open_columns(board, lists, k), min(composition.depth for composition in compared)
    ways = {
        "nothing": [measure.values(listed.judged) for listed in lists],
        "highest grade": [filled(board, listed, columns, measure) for listed in lists],
    }
    if (board.grades == 0).any():
        ways["left out"] = [condensed(listed, depth, measure) for listed in lists]
    return {name: Compared.of(winner, incumbent, confidence) for name, (winner, incumbent) in ways.items()}


def hole_correlation(values: Values, judged: Values) -> float | None:
    """Pearson's r of mean score and mean hole rate (1 - Judged@k) over what can be served; None if one is constant.

    Where only relevant documents are judged it is near -1 by construction: a hit is what makes a document judged.
    """
    names = [name for name in values if name.is_servable]
    score, holes = np.array([[values[name].mean(), 1 - judged[name].mean()] for name in names]).T
    if np.ptp(score) <= ROUNDING or np.ptp(holes) <= ROUNDING:
        return None
    return float(np.corrcoef(score, holes)[0, 1])
