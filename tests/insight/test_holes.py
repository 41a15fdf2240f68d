"""Holes and the labelling queue, by hand; final lists against the ranks that the grid measures."""

import numpy as np
import polars as pl
import pytest

from mixstage.composition import Composition
from mixstage.evaluation.board import Board, build_board, final_list, retrieved_ranks, top_documents
from mixstage.index.search import rank_by_score
from mixstage.insight.holes import Compared, Holes, labelling_queue

RANKED = {"query_id": pl.String, "doc_id": pl.String, "rank": pl.Int64}


def ranked(*rows: tuple[str, str, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=RANKED, orient="row")


def test_the_queue_starts_with_what_only_one_side_shows() -> None:
    winner = ranked(("q1", "a", 1), ("q1", "b", 2), ("q1", "c", 3), ("q2", "a", 1))
    incumbent = ranked(("q1", "b", 1), ("q1", "d", 2), ("q2", "a", 4), ("q2", "e", 2))
    judgements = pl.DataFrame(
        {"query_id": ["q1", "q1", "q2"], "doc_id": ["a", "c", "e"], "grade": [1, -1, 0]}
    )  # c's -1 is no judgement
    assert labelling_queue(winner, incumbent, judgements).rows() == [
        ("q1", "d", None, 2),
        ("q1", "c", 3, None),
        ("q1", "b", 2, 1),
        ("q2", "a", 1, 4),
    ]


def test_an_uneven_share_of_judgements_is_more_than_five_points() -> None:
    def holes(winner: list[float], incumbent: list[float]) -> Holes:
        judged = Compared.of(np.array(winner), np.array(incumbent), 0.95)
        return Holes(judged=judged, counted={}, correlation=None, only_relevant_judged=False)

    even = holes([0.5, 0.6], [0.5, 0.5]).judged
    assert (even.winner, even.incumbent, even.difference.mean) == pytest.approx((0.55, 0.5, 0.05))
    assert not holes([0.5, 0.58], [0.5, 0.5]).is_uneven
    assert holes([0.4, 0.4], [0.5, 0.42]).is_uneven


@pytest.fixture
def tables() -> tuple[dict[str, pl.DataFrame], pl.DataFrame, pl.DataFrame]:
    scores = {"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32}
    found = [("q1", "a", 0.9), ("q1", "é", 0.8), ("q1", "b", 0.7), ("q2", "b", 0.4)]
    rankings = {"base": rank_by_score(pl.DataFrame(found, schema=scores, orient="row"))}
    pairs = pl.DataFrame({"query_id": ["q1", "q1", "q2"], "doc_id": ["a", "é", "b"]})
    judgements = pl.DataFrame(
        {"query_id": ["q1", "q1", "q2"], "doc_id": ["é", "x", "b"], "grade": [1, 1, 0]},
        schema_overrides={"grade": pl.Int16},
    )
    return rankings, pairs, judgements


@pytest.fixture
def board(tables: tuple[dict[str, pl.DataFrame], pl.DataFrame, pl.DataFrame]) -> Board:
    rankings, pairs, judgements = tables
    return build_board(rankings, pairs, {"refine": np.array([1.0, 2.0, 3.0], dtype=np.float32)}, judgements)


def test_the_list_that_users_see(board: Board) -> None:
    bare = Composition(retriever="base", depth=3, reranker="none")
    reranked = Composition(retriever="base", depth=2, reranker="refine")
    lists = {one: top_documents(board, final_list(board, one), 2) for one in (bare, reranked)}
    assert lists[bare].rows() == [("q1", "a", 1), ("q1", "é", 2), ("q2", "b", 1)]
    assert lists[reranked].rows() == [("q1", "é", 1), ("q1", "a", 2), ("q2", "b", 1)]


def test_ranks_of_judged_documents_before_and_after_the_reranker(board: Board) -> None:
    # Judged documents in byte order: q1 x, é (x is found by nobody); q2 b.
    assert retrieved_ranks(board, "base").tolist() == [[0, 2], [1, 0]]
    final = final_list(board, Composition(retriever="base", depth=2, reranker="refine")).judged
    assert final.ranks.tolist() == [[0, 1], [1, 0]]
    assert final.returned.tolist() == [2, 1]
