"""Holes: documents without a judgement at the top of a list. They count as not relevant, and may be."""

from dataclasses import dataclass

import polars as pl

from mixstage.insight.intervals import Floats, Interval, t_interval

TOP = 10  # documents of a list that are looked at
LIMIT = 0.05  # difference of Judged@10 above which one side is measured on fewer judgements than the other


@dataclass(frozen=True, slots=True, kw_only=True)
class Holes:
    """Judged@10 of both sides; 0.1 to 0.2 is usual where queries have one or two judgements, so only the difference
    says something."""

    winner: float
    incumbent: float
    difference: Interval  # winner minus incumbent, paired by query

    @property
    def is_uneven(self) -> bool:
        return abs(self.difference.mean) > LIMIT


def compare_holes(winner: Floats, incumbent: Floats, confidence: float) -> Holes:
    """From (Q,) Judged@10 of both."""
    return Holes(
        winner=float(winner.mean()),
        incumbent=float(incumbent.mean()),
        difference=t_interval(winner - incumbent, confidence),
    )


def labelling_queue(winner: pl.DataFrame, incumbent: pl.DataFrame, judgements: pl.DataFrame) -> pl.DataFrame:
    """query_id, doc_id, winner_rank, incumbent_rank (null: not in that top): documents that lack a judgement.

    winner, incumbent: query_id, doc_id, rank of the top documents; judgements: query_id, doc_id, grade, of which
    negative grades count as none. Those that only one side shows come first, since only they can move the difference;
    then by the better of the two ranks, query and document.
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
