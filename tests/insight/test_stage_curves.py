"""Stage curves and Kendall's tau, by hand."""

import math

import numpy as np
import pytest

from mixstage.insight.stage_curves import kendall_tau, stage_curve


def test_each_step_is_paired_with_the_stage_before() -> None:
    curve = stage_curve(
        {"base": np.array([0.0, 0.2, 0.4]), "broad": np.array([0.1, 0.3, 0.5]), "robust": np.array([0.1, 0.0, 0.2])},
        0.95,
    )
    assert [point.stage for point in curve] == ["base", "broad", "robust"]
    assert [point.mean for point in curve] == pytest.approx([0.2, 0.3, 0.1])
    first, broad, robust = (point.step for point in curve)
    assert first is None and broad is not None and robust is not None
    assert (broad.mean, broad.low, broad.high) == pytest.approx((0.1, 0.1, 0.1))  # the same gain on every query
    # robust: 0, -.3, -.3; sd .1732, t(.975, 2) = 4.302653
    assert robust.mean == pytest.approx(-0.2)
    assert robust.high == pytest.approx(-0.2 + 4.302653 * math.sqrt(0.03 / 3), abs=1e-6)


def test_kendall_by_hand() -> None:
    assert kendall_tau([1, 2, 3], [10, 20, 30]) == 1.0
    assert kendall_tau([1, 2, 3], [3, 2, 1]) == -1.0
    # pairs: 12 +, 13 +, 14 +, 23 -, 24 +, 34 +: (5 - 1) / 6
    assert kendall_tau([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(4 / 6)
    # one tie in each list, at different places: score 4 of 5 x 5 untied pairs
    assert kendall_tau([1, 1, 2, 3], [1, 2, 3, 3]) == pytest.approx(4 / 5)


def test_a_constant_list_correlates_with_nothing() -> None:
    assert kendall_tau([1, 1, 1], [1, 2, 3]) is None
    assert kendall_tau([0.5], [0.5]) is None
