"""A paired mean's t interval, against the textbook."""

import math

import numpy as np
import pytest

from mixstage.stats.paired import t_interval


def test_three_queries_by_hand() -> None:
    # mean 2, sd 1, t(.975, 2) = 4.302653: half width 4.302653 / sqrt(3)
    found = t_interval(np.array([1.0, 2.0, 3.0]), 0.95)
    assert (found.mean, found.queries) == (2.0, 3)
    assert (found.low, found.high) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-6)
    assert not found.excludes_zero


def test_equal_differences_leave_no_doubt() -> None:
    found = t_interval(np.array([0.5, 0.5, 0.5]), 0.95)
    assert (found.low, found.high) == (0.5, 0.5)
    assert found.excludes_zero


def test_one_query_tells_nothing_and_its_json_holds_no_infinity() -> None:
    found = t_interval(np.array([0.3]), 0.95)
    assert (found.low, found.high) == (-math.inf, math.inf) and not found.excludes_zero
    assert found.to_json() == {"mean": 0.3, "low": None, "high": None, "queries": 1}
