"""The union bound: by hand for one query, as invariants on a random board, and against the grid's own cells."""

import math

import numpy as np
import pytest

from mixstage.composition import Composition
from mixstage.evaluation.board import Board, evaluate_board
from mixstage.insight.other_candidates import pool, union_bound
from mixstage.measures.measures import ABSENT, parse_measure

NDCG = parse_measure("nDCG@10")
WINNER = Composition(retriever="r0", depth=8, reranker="k")


def one_query(scores: list[float]) -> Board:
    """Documents a, b, c; r0 lists a, b; r1 lists c, a. c alone is relevant."""
    blank = np.zeros((1, 3), dtype=np.float32)
    return Board(
        query_ids=["q"],
        doc_ids=["a", "b", "c"],
        ordinals=np.arange(3, dtype=np.uint32)[None],
        ranks={"r0": np.array([[1, 2, 0]], dtype=np.uint32), "r1": np.array([[2, 0, 1]], dtype=np.uint32)},
        retrieved={"r0": blank, "r1": blank},
        reranked={"k": np.array([scores], dtype=np.float32)},
        judged=np.array([[2]], dtype=np.int32),
        grades=np.array([[1]], dtype=np.int16),
    )


def test_one_query_by_hand() -> None:
    # The union is a, b, c: its best order puts c first; the reranker puts it second, below b.
    found = union_bound(one_query([0.1, 0.9, 0.5]), WINNER, NDCG, 0.95)
    assert found is not None
    assert (found.candidates, found.ceiling, found.achieved) == (2, 0, 0)
    other, everything = found.additions
    assert (other.added, everything.added) == ("r1", "all")
    assert (everything.candidates, everything.ceiling, everything.could.mean) == (3, 1, 1)
    assert everything.achieved == everything.does.mean == pytest.approx(1 / math.log2(3))
    assert everything.could.low == -math.inf  # a single query tells nothing


def test_candidates_that_were_not_scored_leave_no_bound() -> None:
    board = one_query([0.1, 0.9, math.nan])
    assert union_bound(board, WINNER, NDCG, 0.95) is None
    assert pool(board, ["r0"], WINNER, NDCG) is not None


def test_a_winner_that_reranks_nothing_has_no_bound() -> None:
    bare = Composition(retriever="r0", depth=8, reranker="none")
    assert union_bound(one_query([0, 0, 0]), bare, NDCG, 0.95) is None


@pytest.fixture
def board() -> Board:
    generator, shape = np.random.default_rng(4), (50, 30)
    ranks = {}
    for name in ("r0", "r1", "r2"):
        places = np.argsort(generator.random(shape), axis=1).astype(np.uint32) + 1
        ranks[name] = np.where(places <= 12, places, 0).astype(np.uint32)
    judged = np.argsort(generator.random(shape), axis=1)[:, :6].astype(np.int32)
    grades = generator.integers(-1, 4, judged.shape).astype(np.int16)
    return Board(
        query_ids=[f"q{i:02d}" for i in range(50)],
        doc_ids=[],
        ordinals=np.broadcast_to(np.arange(30, dtype=np.uint32), shape),
        ranks=ranks,
        retrieved={name: -row.astype(np.float32) for name, row in ranks.items()},
        reranked={"k": generator.integers(0, 9, shape).astype(np.float32)},  # many ties
        judged=np.where(grades == ABSENT, -1, judged),
        grades=grades,
    )


@pytest.mark.parametrize("name", ["nDCG@10", "RR@10", "R@10", "AP"])
def test_more_candidates_never_lower_the_ceiling_and_no_order_beats_it(board: Board, name: str) -> None:
    measure = parse_measure(name)
    sets = (["r0"], ["r0", "r1"], ["r0", "r1", "r2"])
    own, two, three = (pool(board, names, WINNER, measure) for names in sets)
    assert own is not None and two is not None and three is not None
    assert own.candidates < two.candidates < three.candidates
    for smaller, larger in ((own, two), (two, three)):
        assert (larger.ceilings >= smaller.ceilings).all() and (larger.ceilings > smaller.ceilings).any()
        assert (larger.ceilings >= larger.achieved - 1e-12).all()
    assert (three.achieved < own.achieved).any()  # distracted, by some query's further candidates


def test_one_retriever_alone_is_the_grids_own_cell(board: Board) -> None:
    own = pool(board, ["r0"], WINNER, NDCG)
    oracle = Composition(retriever="r0", depth=8, reranker="oracle")
    cells = dict(evaluate_board(board, [WINNER, oracle], [NDCG]))
    assert own is not None
    assert own.achieved.tolist() == cells[WINNER][:, 0].tolist()
    assert own.ceilings.tolist() == cells[oracle][:, 0].tolist()


def test_a_retriever_that_finds_the_same_adds_nothing(board: Board) -> None:
    board.ranks["r1"] = board.ranks["r2"] = board.ranks["r0"]
    found = union_bound(board, WINNER, NDCG, 0.95)
    assert found is not None
    assert [(one.candidates, one.could.mean, one.does.mean) for one in found.additions] == [(8, 0, 0)] * 3
