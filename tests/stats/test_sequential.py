"""Evidence that may be looked at after each observation: its value, its promise, its power."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import xlog1py, xlogy

from mixstage.stats.sequential import log_evidence_above, log_evidence_below


def integrated(total: float, number: int, limit: float) -> float:
    """The definition by numerical integration, scaled by the likelihood's largest value."""

    def log_ratio(p: float) -> float:
        at = xlogy(total, p) + xlog1py(number - total, -p)
        return float(at - xlogy(total, limit) - xlog1py(number - total, -limit))

    peak = min(max(total / number, limit), 1.0)
    top = log_ratio(peak)
    width = 10 * math.sqrt(max(peak * (1 - peak), 1 / number) / number)
    edges = sorted({limit, max(limit, peak - width), min(1.0, peak + width), 1.0})
    parts = [
        quad(lambda p: math.exp(log_ratio(p) - top), a, b, epsabs=0, epsrel=1e-10, limit=500)[0]
        for a, b in pairwise(edges)
    ]
    return top + math.log(sum(parts)) - math.log1p(-limit)


@pytest.mark.parametrize(
    ("total", "number", "limit"),
    [(0, 7, 0.01), (7, 7, 0.01), (3, 400, 0.01), (12.75, 40, 0.5), (30, 40, 0.5), (60, 1000, 0.05), (2, 9, 0.9)],
)
def test_the_closed_form_is_the_integral(total: float, number: int, limit: float) -> None:
    assert log_evidence_above(total, number, limit) == pytest.approx(integrated(total, number, limit), abs=1e-8)
    assert log_evidence_below(number - total, number, 1 - limit) == pytest.approx(
        integrated(total, number, limit), abs=1e-8
    )


def test_it_stays_exact_for_a_million_observations() -> None:
    assert log_evidence_above(50_900, 10**6, 0.05) == pytest.approx(integrated(50_900, 10**6, 0.05), rel=1e-7)
    assert log_evidence_above(0, 10**6, 0.01) == pytest.approx(-math.log(10**6), abs=0.02)  # ~ (1-m)/(n (1-m))
    assert log_evidence_below(0, 10**6, 0.01) == pytest.approx(
        -(10**6) * math.log(0.99) - math.log(1e6 * 0.01), abs=1e-3
    )


def test_where_the_tail_is_too_small_for_a_double_its_edge_takes_over_without_a_jump() -> None:
    counts = np.arange(0, 2000, 10)
    values = [log_evidence_above(float(s), 60_000, 0.05) for s in counts]
    assert np.isfinite(values).all()
    steps = np.diff(values)
    assert steps.max() < 0.02 and steps.min() > -0.005  # more successes are more evidence; the seam is this small


def test_without_observations_nothing_is_known() -> None:
    assert log_evidence_above(0, 0, 0.3) == pytest.approx(0)
    assert log_evidence_below(0, 0, 0.3) == pytest.approx(0)


def test_by_hand() -> None:
    # one failure at a limit of 1 %: the mean of p / 0.01 over p in (0.01, 1] is 50.5
    assert math.exp(log_evidence_above(1, 1, 0.01)) == pytest.approx(50.5)
    # two failures: (1 - 0.01^3) / 3 / 0.99 / 0.01^2
    assert math.exp(log_evidence_above(2, 2, 0.01)) == pytest.approx((1 - 1e-6) / 3 / 0.99 / 1e-4)


@pytest.mark.parametrize("kind", ["zeros and ones", "bounded"])
def test_who_looks_after_each_of_600_observations_is_wrong_in_alpha_of_all_runs_at_most(kind: str) -> None:
    """300 runs at the boundary, m = 0.3 and alpha = 0.05. Ville's bound is on infinitely many looks, so that the true
    share here lies below; 15 of 300 is the bound itself, without a margin for chance."""
    generator, runs, looks, mean = np.random.default_rng(5), 300, 600, 0.3
    shape = (runs, looks)
    drawn = generator.random(shape) < mean if kind == "zeros and ones" else generator.beta(0.3, 0.7, shape)
    totals = np.cumsum(drawn, axis=1, dtype=float)
    for evidence in (log_evidence_above, log_evidence_below):
        wrong = sum(any(evidence(total, n, mean) >= math.log(20) for n, total in enumerate(run, 1)) for run in totals)
        assert wrong <= 0.05 * runs


def test_one_who_tests_again_and_again_by_a_fixed_sample_test_would_be_wrong_far_more_often() -> None:
    """The same runs by z > 1.645: that the test above can fail."""
    generator, mean = np.random.default_rng(5), 0.3
    totals = np.cumsum(generator.random((400, 2000)) < mean, axis=1)
    n = np.arange(1, 2001)
    z = (totals - n * mean) / np.sqrt(n * mean * (1 - mean))
    assert (z[:, 30:] > 1.645).any(axis=1).mean() > 0.2


def test_a_mean_on_the_other_side_is_found() -> None:
    generator = np.random.default_rng(1)
    totals = np.cumsum(generator.random((200, 600)) < 0.12, axis=1)
    found = sum(any(log_evidence_above(s, n, 0.05) >= math.log(20) for n, s in enumerate(run, 1)) for run in totals)
    assert found >= 190  # of 200: 12 % against a limit of 5 %, in 600 requests
