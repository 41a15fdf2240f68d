"""Win and loss lists: the queries that the winner answers better or worse than the incumbent, and what caused it."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixstage.insight.intervals import Floats
from mixstage.measures import UNRANKED, Grades

_ROUNDING = 1e-12  # as in the loss split: less is a tie


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What one composition answers to Q queries with up to J judged documents each."""

    values: Floats  # (Q,) the application's metric
    ceilings: Floats  # (Q,) its highest value for any order of the candidates
    ranks: NDArray[np.int32]  # (Q, J) final rank, from 1, of each judged document; 0 = not a candidate
    grades: Grades  # (Q, J) negative = not judged or an unused slot


def win_loss(query_ids: list[str], winner: Answered, incumbent: Answered) -> pl.DataFrame:
    """A row a query, greatest gain first, then by id.

    query_id; winner, incumbent: values; delta; winner_first, incumbent_first: final rank of the first relevant
    document, null if there is none among the candidates; cause, one of
    - tie;
    - gained or lost by retrieval: the change of the ceiling is at least half of delta;
    - reordered up, reordered down: the order of the candidates changed more than their ceiling;
    - unjudged above: reordered down, but every document above the winner's first relevant one lacks a judgement, so
      that the loss may be a hole in the judgements.
    """
    delta = winner.values - incumbent.values
    first = {"winner": _first_relevant(winner), "incumbent": _first_relevant(incumbent)}
    table = pl.DataFrame(
        {
            "query_id": query_ids,
            "winner": winner.values,
            "incumbent": incumbent.values,
            "delta": delta,
            **{
                f"{name}_first": pl.Series(ranks, dtype=pl.Int64).replace(UNRANKED, None)
                for name, ranks in first.items()
            },
            "cause": _causes(delta, winner, incumbent, first["winner"]).tolist(),
        }
    )
    return table.sort("delta", "query_id", descending=[True, False])


def extremes(table: pl.DataFrame, count: int) -> pl.DataFrame:
    """Up to `count` greatest wins, then up to `count` greatest losses, each greatest first; no ties."""
    moved = table.filter(pl.col("cause") != "tie")
    wins = moved.filter(pl.col("delta") > 0).sort("delta", "query_id", descending=[True, False])
    losses = moved.filter(pl.col("delta") < 0).sort("delta", "query_id")
    return pl.concat([wins.head(count), losses.head(count)])


def _first_relevant(answered: Answered) -> NDArray[np.int64]:
    """(Q,) rank of the first document of grade 1 or more, UNRANKED if none is a candidate."""
    relevant = (answered.ranks > 0) & (answered.grades >= 1)
    return np.asarray(np.where(relevant, answered.ranks, UNRANKED).min(axis=1, initial=UNRANKED), dtype=np.int64)


def _causes(delta: Floats, winner: Answered, incumbent: Answered, first: NDArray[np.int64]) -> NDArray[np.str_]:
    retrieval = winner.ceilings - incumbent.ceilings
    by_retrieval = retrieval * np.sign(delta) >= np.abs(delta) / 2
    judged_above = ((winner.ranks > 0) & (winner.ranks < first[:, None]) & (winner.grades >= 0)).any(axis=1)
    unjudged_above = (first > 1) & (first < UNRANKED) & ~judged_above
    return np.select(
        [
            np.abs(delta) <= _ROUNDING,
            by_retrieval & (delta > 0),
            by_retrieval,
            delta > 0,
            unjudged_above,
        ],
        ["tie", "gained by retrieval", "lost by retrieval", "reordered up", "unjudged above"],
        default="reordered down",
    )
