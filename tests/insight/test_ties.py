"""Detectable differences and ties, by hand."""

import math

import numpy as np
import polars as pl
import pytest

from mixstage.composition import Composition
from mixstage.evaluation.board import Board, build_board, final_list
from mixstage.index.search import rank_by_score
from mixstage.insight.ties import tie_effect, tie_rate
from mixstage.measures.measures import parse_measure
from mixstage.stats.power import detectable, queries_needed

Z = 1.644854 + 0.841621


def test_detectable_by_hand() -> None:
    # sd of 0, .2, .4 is .2
    assert detectable(np.array([0.0, 0.2, 0.4])) == pytest.approx(Z * 0.2 / math.sqrt(3), abs=1e-6)
    assert detectable(np.array([0.1])) is None


def test_the_number_needed_is_where_the_margin_becomes_detectable() -> None:
    differences = np.array([0.0, 0.2, 0.4])
    needed = queries_needed(differences, 0.05)
    assert needed == math.ceil((Z * 0.2 / 0.05) ** 2) == 99
    assert queries_needed(np.array([0.1, 0.1]), 0.05) == 1
    assert queries_needed(np.array([0.1]), 0.05) is None


@pytest.fixture
def board() -> Board:
    rows = [
        ("q1", "a", 0.5),  # a and b tie for the first place: b, the greater id, stands first
        ("q1", "b", 0.5),
        ("q2", "a", 0.9),
        ("q2", "b", 0.8),
        ("q2", "c", 0.8),  # the tie is at ranks 2 and 3
    ]
    schema = {"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32}
    ranking = rank_by_score(pl.DataFrame(rows, schema=schema, orient="row"))
    judgements = pl.DataFrame(
        {"query_id": ["q1", "q2"], "doc_id": ["b", "a"], "grade": [1, 1]}, schema_overrides={"grade": pl.Int16}
    )
    nothing = pl.DataFrame(schema={"query_id": pl.String, "doc_id": pl.String})
    return build_board({"base": ranking}, nothing, {}, judgements)


def test_ties_count_down_to_the_first_place_outside(board: Board) -> None:
    listed = final_list(board, Composition(retriever="base", depth=9, reranker="none"))
    assert [tie_rate(listed, k) for k in (1, 2, 3)] == [0.5, 1.0, 1.0]


def test_unused_columns_are_no_ties(board: Board) -> None:
    listed = final_list(board, Composition(retriever="base", depth=1, reranker="none"))
    assert tie_rate(listed, 10) == 0.0


def test_what_hangs_on_names(board: Board) -> None:
    everything = Composition(retriever="base", depth=9, reranker="none")
    # q1's relevant b drops from 1 to 2 when ties are turned round; q2's a stays.
    assert tie_effect(board, everything, parse_measure("RR@10")) == pytest.approx((1 - 0.5) / 2)
    assert tie_effect(board, everything, parse_measure("R@10")) == 0.0
