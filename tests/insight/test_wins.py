"""Win and loss lists: every cause, made by hand."""

import math

import numpy as np
import pytest

from mixstage.insight.wins import Answered, extremes, win_loss

SECOND, THIRD = 1 / math.log2(3), 0.5  # nDCG of the only relevant document at rank 2 and 3
# A query each; slot 0 is the one relevant document, slot 1 a judged nonrelevant one.
CASES = {
    # query: (winner's ranks, value, ceiling), (incumbent's)
    "q-tie": (([1, 0], 1.0, 1.0), ([1, 0], 1.0, 1.0)),
    "q-found": (([1, 0], 1.0, 1.0), ([0, 3], 0.0, 0.0)),
    "q-missed": (([0, 2], 0.0, 0.0), ([2, 0], SECOND, 1.0)),
    "q-up": (([1, 2], 1.0, 1.0), ([3, 1], THIRD, 1.0)),
    "q-down": (([3, 1], THIRD, 1.0), ([1, 2], 1.0, 1.0)),
    "q-hole": (([2, 9], SECOND, 1.0), ([1, 0], 1.0, 1.0)),
}
CAUSES = {
    "q-tie": "tie",
    "q-found": "gained by retrieval",
    "q-missed": "lost by retrieval",
    "q-up": "reordered up",
    "q-down": "reordered down",
    "q-hole": "unjudged above",
}


def answered(side: int) -> Answered:
    rows = [case[side] for case in CASES.values()]
    return Answered(
        values=np.array([value for _, value, _ in rows]),
        ceilings=np.array([top for _, _, top in rows]),
        ranks=np.array([ranks for ranks, _, _ in rows], dtype=np.int32),
        grades=np.array([[1, 0]] * len(rows), dtype=np.int16),
    )


def test_every_cause() -> None:
    table = win_loss(list(CASES), answered(0), answered(1))
    assert dict(table.select("query_id", "cause").iter_rows()) == CAUSES


def test_rows_run_from_the_greatest_gain_to_the_greatest_loss() -> None:
    table = win_loss(list(CASES), answered(0), answered(1))
    assert table["query_id"].to_list() == ["q-found", "q-up", "q-tie", "q-hole", "q-down", "q-missed"]
    assert table["delta"].to_list() == pytest.approx([1.0, 0.5, 0.0, SECOND - 1, -0.5, -SECOND])
    assert table["winner_first"].to_list() == [1, 1, 1, 2, 3, None]
    assert table["incumbent_first"].to_list() == [None, 3, 1, 1, 1, 2]


def test_extremes_leave_ties_out_and_list_each_way_from_its_end() -> None:
    table = win_loss(list(CASES), answered(0), answered(1))
    assert extremes(table, 1)["query_id"].to_list() == ["q-found", "q-missed"]
    assert extremes(table, 9)["query_id"].to_list() == ["q-found", "q-up", "q-missed", "q-down", "q-hole"]


def test_half_of_the_change_decides_between_retrieval_and_order() -> None:
    def one(value: float, top: float) -> Answered:
        ranks, grades = np.array([[1]], dtype=np.int32), np.array([[1]], dtype=np.int16)
        return Answered(values=np.array([value]), ceilings=np.array([top]), ranks=ranks, grades=grades)

    assert win_loss(["q"], one(0.75, 1.0), one(0.25, 0.75))["cause"].item() == "gained by retrieval"
    assert win_loss(["q"], one(0.75, 1.0), one(0.25, 0.875))["cause"].item() == "reordered up"
    # A ceiling that moves against the value caused nothing of the gain.
    assert win_loss(["q"], one(0.75, 0.75), one(0.25, 1.0))["cause"].item() == "reordered up"
