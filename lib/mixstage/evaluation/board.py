"""Per-query scores of every composition of one application and split, as arrays.

All candidates of a query share one row of columns; a composition is then a choice of columns and of a score. No model
and no join per composition: depths, mixes and replicates cost arithmetic only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixstage.composition import Composition
from mixstage.evaluation.bitsets import Bits, count, pack, pack_better
from mixstage.evaluation.compositions import union
from mixstage.evaluation.fusion import mix_scores
from mixstage.measures.measures import ABSENT, Judged, Measure, rank_keys, ranks_of_judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One application's candidates as dense arrays: Q queries, U columns (a query's distinct candidates), J judged."""

    query_ids: list[str]  # (Q,)
    doc_ids: list[str]  # distinct documents of all queries, in byte order
    ordinals: NDArray[np.uint32]  # (Q, U) place of the document in doc_ids
    ranks: dict[str, NDArray[np.uint32]]  # retriever -> (Q, U) rank from 1, 0 where it did not find the document
    retrieved: dict[str, NDArray[np.float32]]  # retriever -> (Q, U) its score
    reranked: dict[str, NDArray[np.float32]]  # reranker -> (Q, U) its score, NaN beyond the scored candidates
    judged: NDArray[np.int32]  # (Q, J) column of each judged document, -1 where no retriever found it
    grades: NDArray[np.int16]  # (Q, J) grade, ABSENT in unused slots


def build_board(
    rankings: Mapping[str, pl.DataFrame],
    pairs: pl.DataFrame,
    scores: Mapping[str, NDArray[np.float32]],
    judgements: pl.DataFrame,
) -> Board:
    """Arrays from tables. rankings: retriever -> query_id, doc_id, score, rank. pairs: query_id, doc_id of N scored
    candidates; scores: reranker -> (N,). judgements: query_id, doc_id, grade; its queries are the board's."""
    query_ids = sorted(judgements["query_id"].unique())
    place = pl.DataFrame({"query_id": query_ids}, schema={"query_id": pl.String}).with_row_index("q")
    cells = union(rankings, 2**31).join(place, on="query_id")
    ordinal = pl.col("doc_id").rank("dense").cast(pl.UInt32) - 1  # strings order by bytes
    column = pl.int_range(pl.len()).over("q").alias("u")
    cells = cells.sort("q", "doc_id").with_columns(ordinal.alias("ordinal"), column)
    shape = (len(query_ids), _width(cells["u"]))
    board = Board(
        query_ids=query_ids,
        doc_ids=cells["doc_id"].unique().sort().to_list(),
        ordinals=_fill(shape, 0, cells, cells["ordinal"].to_numpy(), np.uint32),
        ranks={name: _column(shape, 0, cells, ranking, "rank", np.uint32) for name, ranking in rankings.items()},
        retrieved={name: _column(shape, 0, cells, ranking, "score", np.float32) for name, ranking in rankings.items()},
        reranked={
            name: _column(shape, np.nan, cells, pairs.with_columns(pl.Series("score", values)), "score", np.float32)
            for name, values in scores.items()
        },
        **_judged(judgements, place, cells),
    )
    return board


def _width(column: pl.Series) -> int:
    """Slots that the fullest query needs."""
    return int(column.to_numpy().max(initial=-1)) + 1


def _fill(shape: tuple[int, int], empty: float, cells: pl.DataFrame, values: np.ndarray, dtype: type) -> NDArray[Any]:
    array: NDArray[Any] = np.full(shape, empty, dtype=dtype)
    array[cells["q"].to_numpy(), cells["u"].to_numpy()] = values
    return array


def _column(
    shape: tuple[int, int], empty: float, cells: pl.DataFrame, table: pl.DataFrame, value: str, dtype: type
) -> NDArray[Any]:
    rows = cells.select("q", "u", "query_id", "doc_id").join(table, on=["query_id", "doc_id"])
    return _fill(shape, empty, rows, rows[value].to_numpy(), dtype)


def _judged(judgements: pl.DataFrame, place: pl.DataFrame, cells: pl.DataFrame) -> dict[str, np.ndarray]:
    slot = pl.int_range(pl.len()).over("q").alias("j")
    rows = judgements.join(place, on="query_id").sort("q", "doc_id").with_columns(slot)
    rows = rows.join(cells.select("query_id", "doc_id", "u"), on=["query_id", "doc_id"], how="left")
    shape = (len(place), _width(rows["j"]))
    grades = np.full(shape, ABSENT, dtype=np.int16)
    judged = np.full(shape, -1, dtype=np.int32)
    at = rows["q"].to_numpy(), rows["j"].to_numpy()
    grades[at] = rows["grade"].to_numpy()
    judged[at] = rows["u"].fill_null(-1).to_numpy()
    return {"judged": judged, "grades": grades}


def final_keys(board: Board, composition: Composition) -> NDArray[np.uint64]:
    """(Q, U) keys by which a composition orders its candidates, 0 for documents that are not among them."""
    scores, listed = final_scores(board, composition)
    return np.where(listed, rank_keys(scores, board.ordinals), np.uint64(0))


def final_scores(board: Board, composition: Composition) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(Q, U) the scores by which a composition orders its candidates, 0 elsewhere; (Q, U) which they are."""
    ranks = board.ranks[composition.retriever]
    listed = (ranks > 0) & (ranks <= composition.depth)
    scores = board.retrieved[composition.retriever]
    if composition.reranker == "oracle":
        scores = _grades_as_scores(board)
    elif composition.reranker != "none":
        reranked = board.reranked[composition.reranker]
        assert not np.isnan(reranked[listed]).any(), f"{composition}: a candidate was not scored"
        scores = mix_scores(scores, reranked, composition.mix, listed)
    return np.where(listed, scores, np.float32(0)), listed


def _grades_as_scores(board: Board) -> NDArray[np.float32]:
    """(Q, U) each document's grade. One without a judgement stands below grade 0: no order has a higher value of any
    measure, Judged@k included."""
    scores = np.full(board.ordinals.shape, ABSENT, dtype=np.float32)
    query, slot = np.nonzero(board.judged >= 0)
    scores[query, board.judged[query, slot]] = np.maximum(board.grades[query, slot], ABSENT)
    return scores


def retrieved_ranks(board: Board, retriever: str) -> NDArray[np.int32]:
    """(Q, J) rank, from 1, of each judged document in the retriever's own list; 0 where it is not in it."""
    ranks = np.zeros(board.judged.shape, dtype=np.int32)
    query, slot = np.nonzero(board.judged >= 0)
    ranks[query, slot] = board.ranks[retriever][query, board.judged[query, slot]]
    return ranks


def evaluate_board(
    board: Board, grid: Sequence[Composition], measures: Sequence[Measure]
) -> Iterator[tuple[Composition, NDArray[np.float64]]]:
    """Yields (composition, values (Q, M) float64): each measure of each query, in the board's query order."""
    ranks, judged = _Ranks(board), None
    for composition in grid:
        of, returned = ranks.of(composition), ranks.returned(composition)
        judged = Judged(ranks=of, grades=board.grades, returned=returned, like=judged)
        yield composition, np.column_stack([measure.values(judged) for measure in measures])


class _Ranks:
    """Ranks of a board's judged documents under any composition; the sets that compositions share are packed once."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.own = cache(partial(retrieved_ranks, board))
        self.top = cache(self._top)
        self.size = cache(self._size)
        self.better = cache(self._better)

    def of(self, composition: Composition) -> NDArray[np.int32]:
        """(Q, J) from 1; 0 for a document that is not among the candidates."""
        if composition.mix != 1:  # its order changes with retriever and depth: nothing to share
            return ranks_of_judged(final_keys(self.board, composition), self.board.judged)
        own: NDArray[np.int32] = self.own(composition.retriever)
        ranks = np.where(own <= composition.depth, own, 0)
        if composition.reranker == "none":
            return ranks
        better, scored = self.better(composition.reranker)
        top = self.top(composition.retriever, composition.depth)
        assert not (top & ~scored).any(), f"{composition}: a candidate was not scored"
        return np.where(ranks > 0, 1 + count(better & top[:, None]), 0)

    def returned(self, composition: Composition) -> NDArray[np.int32]:
        """(Q,) documents in each list."""
        sizes: NDArray[np.int32] = self.size(composition.retriever, composition.depth)
        return sizes

    def _top(self, retriever: str, depth: int) -> Bits:
        """(Q, W) the retriever's candidates."""
        ranks = self.board.ranks[retriever]
        return pack((ranks > 0) & (ranks <= depth))

    def _size(self, retriever: str, depth: int) -> NDArray[np.int32]:
        return count(self.top(retriever, depth))

    def _better(self, reranker: str) -> tuple[Bits, Bits]:
        """(Q, J, W) the columns above each judged document in the reranker's order, (Q, W) those that it scored."""
        board = self.board
        scores = _grades_as_scores(board) if reranker == "oracle" else board.reranked[reranker]
        scored = ~np.isnan(scores)
        keys = np.where(scored, rank_keys(np.where(scored, scores, 0), board.ordinals), np.uint64(0))
        return pack_better(keys, board.judged), pack(scored)


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
