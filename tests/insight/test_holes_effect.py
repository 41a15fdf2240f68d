"""What holes may do: condensed lists, completed judgements and the correlation over the grid, by hand."""

import math

import numpy as np
import pytest

from mixstage.composition import Composition
from mixstage.evaluation.board import Board, FinalList, final_list
from mixstage.insight.holes import condensed, filled, hole_correlation, open_columns, sensitivity
from mixstage.measures.measures import ABSENT, parse_measure

SECOND, THIRD = 1 / math.log2(3), 0.5
NDCG = parse_measure("nDCG@10")
SIDES = [Composition(retriever=name, depth=3, reranker="none") for name in ("r0", "r1")]


@pytest.fixture
def board() -> Board:
    """One query, documents a to e. r0 lists a, b, c and r1 d, c, b. Grades: c 2, e 1, d -1 (no judgement)."""
    blank = np.zeros((1, 5), dtype=np.float32)
    ranks = {"r0": [1, 2, 3, 0, 0], "r1": [0, 3, 2, 1, 0]}
    return Board(
        query_ids=["q"],
        doc_ids=list("abcde"),
        ordinals=np.arange(5, dtype=np.uint32)[None],
        ranks={name: np.array([row], dtype=np.uint32) for name, row in ranks.items()},
        retrieved={name: blank - np.array([row], dtype=np.float32) for name, row in ranks.items()},
        reranked={},
        judged=np.array([[2, 3, 4, -1]], dtype=np.int32),
        grades=np.array([[2, -1, 1, ABSENT]], dtype=np.int16),
    )


@pytest.fixture
def lists(board: Board) -> tuple[FinalList, FinalList]:
    return final_list(board, SIDES[0]), final_list(board, SIDES[1])


def test_a_condensed_list_holds_the_judged_alone(lists: tuple[FinalList, FinalList]) -> None:
    # c is the only judged document of both lists: first of 2, 1.
    for listed in lists:
        assert condensed(listed, 3, NDCG).tolist() == pytest.approx([2 / (2 + SECOND)])
        assert condensed(listed, 3, parse_measure("Judged@10")).tolist() == [1.0]


def test_the_judged_keep_their_order_in_a_condensed_list() -> None:
    board = Board(
        query_ids=["q"],
        doc_ids=list("abcd"),
        ordinals=np.arange(4, dtype=np.uint32)[None],
        ranks={"r0": np.array([[4, 3, 2, 1]], dtype=np.uint32)},
        retrieved={"r0": np.array([[1, 2, 3, 4]], dtype=np.float32)},
        reranked={},
        judged=np.array([[0, 2]], dtype=np.int32),  # a at rank 4, c at rank 2
        grades=np.array([[1, 0]], dtype=np.int16),
    )
    listed = final_list(board, Composition(retriever="r0", depth=4, reranker="none"))
    assert condensed(listed, 4, parse_measure("RR@10")).tolist() == [0.5]
    assert condensed(listed, 3, parse_measure("RR@10")).tolist() == [0.0]


def test_open_documents_are_those_at_the_top_of_either_list(board: Board, lists: tuple[FinalList, FinalList]) -> None:
    assert open_columns(board, lists, 3).tolist() == [[0, 1, 3]]  # a, b, d
    assert open_columns(board, lists, 1).tolist() == [[0, 3]]
    assert open_columns(board, lists[1:], 2).tolist() == [[3]]


def test_with_all_open_ones_good(board: Board, lists: tuple[FinalList, FinalList]) -> None:
    # a, b, d of grade 2 beside c and e: the best list is 2 2 2 2 1. r0 shows three of grade 2, and so does r1.
    best = 2 * (1 + SECOND + THIRD + 1 / math.log2(5)) + 1 / math.log2(6)
    columns = open_columns(board, lists, 3)
    for listed in lists:
        assert filled(board, listed, columns, NDCG).tolist() == pytest.approx([2 * (1 + SECOND + THIRD) / best])


def test_a_document_that_a_negative_grade_names_is_counted_once(
    board: Board, lists: tuple[FinalList, FinalList]
) -> None:
    columns = open_columns(board, lists, 3)
    assert filled(board, lists[1], columns, parse_measure("P@3")).tolist() == [1.0]
    assert filled(board, lists[1], columns, parse_measure("R@10")).tolist() == [3 / 5]


def test_nothing_open_changes_nothing(board: Board, lists: tuple[FinalList, FinalList]) -> None:
    nothing = np.full((1, 0), -1)
    assert filled(board, lists[0], nothing, NDCG).tolist() == NDCG.values(lists[0].judged).tolist()


def test_the_ways_to_count(board: Board) -> None:
    found = sensitivity(board, (SIDES[0], SIDES[1]), NDCG, 3, 0.95)
    ideal = 2 + SECOND
    assert found["nothing"].winner == pytest.approx(2 * THIRD / ideal)
    assert found["nothing"].difference.mean == pytest.approx(2 * (THIRD - SECOND) / ideal)
    assert found["highest grade"].difference.mean == 0.0
    assert "left out" not in found  # nothing is judged not relevant


def test_left_out_both_lists_are_as_long_as_the_shallower(board: Board) -> None:
    board.grades[0, 2] = 0
    found = sensitivity(board, (SIDES[0], SIDES[1].at_depth(2)), NDCG, 3, 0.95)
    assert (found["left out"].winner, found["left out"].incumbent) == (0.0, 1.0)  # c is third for the winner


def test_the_correlation_over_the_grid() -> None:
    grid = [Composition(retriever=name, depth=3, reranker="none") for name in "abc"]
    score = {one: np.array([value, value]) for one, value in zip(grid, (0.1, 0.2, 0.3), strict=True)}
    judged = {one: np.array([value, value]) for one, value in zip(grid, (0.2, 0.5, 0.5), strict=True)}
    # Scores around their mean: -.1 0 .1; holes: .2 -.1 -.1
    assert hole_correlation(score, judged) == pytest.approx(-0.03 / math.sqrt(0.02 * 0.06))
    oracle = Composition(retriever="a", depth=3, reranker="oracle")
    assert hole_correlation(score | {oracle: np.ones(2)}, judged | {oracle: np.ones(2)}) == hole_correlation(
        score, judged
    )
    assert hole_correlation(score, dict.fromkeys(grid, np.ones(2))) is None
