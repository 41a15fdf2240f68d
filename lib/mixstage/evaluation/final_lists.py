"""What compositions answer, document by document: their rows of the grid's board, and the lists they return."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixstage.composition import Composition
from mixstage.evaluation.board import Board, final_keys
from mixstage.measures.measures import Judged, ranks_of_judged


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalList:
    """The lists of one composition for Q queries with U columns of candidates."""

    keys: NDArray[np.uint64]  # (Q, U) greatest first, 0 = not a candidate
    judged: Judged


def final_list(board: Board, composition: Composition) -> FinalList:
    """The list that evaluation measured."""
    keys = final_keys(board, composition)
    judged = Judged(
        ranks=ranks_of_judged(keys, board.judged),
        grades=board.grades,
        returned=(keys > 0).sum(axis=1).astype(np.int32),
    )
    return FinalList(keys=keys, judged=judged)


def top_documents(board: Board, listed: FinalList, k: int) -> pl.DataFrame:
    """query_id, doc_id, rank (1 to k): what users see."""
    order = np.argsort(listed.keys, axis=1)[:, ::-1][:, :k]  # keys of candidates are distinct
    query, place = np.nonzero(np.take_along_axis(listed.keys, order, axis=1) > 0)
    numbers = board.ordinals[query, order[query, place]]
    return pl.DataFrame(
        {
            "query_id": pl.Series([board.query_ids[q] for q in query], dtype=pl.String),
            "doc_id": pl.Series([board.doc_ids[number] for number in numbers], dtype=pl.String),
            "rank": pl.Series(place + 1, dtype=pl.Int64),
        }
    )
