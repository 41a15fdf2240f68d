"""Paired differences: hand-made numbers, and an interval that covers as often as it says."""

import numpy as np
import pytest

from mixstage.stats.paired import difference, estimate


def compare(pairs: dict[str, np.ndarray], **weights: float) -> object:
    return difference(pairs, weights or dict.fromkeys(pairs, 1.0), replicates=2000, confidence=0.95, seed=0)


def test_mean_is_weighted_over_applications_not_over_queries() -> None:
    pairs = {"a": np.full(10, 0.1), "b": np.full(1000, 0.3)}
    found = compare(pairs, a=3.0, b=1.0)
    assert np.isclose(found.mean, 0.75 * 0.1 + 0.25 * 0.3)
    assert np.isclose(found.low, found.mean) and np.isclose(found.high, found.mean)  # no variation to resample
    assert (found.wins, found.losses, found.queries) == (1010, 0, 1010)


def test_interval_around_zero_says_no_detectable_difference() -> None:
    found = compare({"a": np.array([0.5, -0.5] * 20)})
    assert found.low < 0 < found.high
    assert found.verdict == "no detectable difference"


def test_clear_gain_is_better_and_clear_loss_worse() -> None:
    gains = np.array([0.2, 0.3, 0.1, 0.25] * 10)
    assert compare({"a": gains}).verdict == "better"
    assert compare({"a": -gains}).verdict == "worse"


def test_interval_is_that_of_the_mean() -> None:
    # n = 400 draws of sd 0.5: half width 1.96 * 0.5 / sqrt(400) = 0.049
    values = np.random.default_rng(1).normal(0.1, 0.5, 400)
    found = compare({"a": values})
    expected = 1.96 * values.std() / 20
    assert abs((found.high - found.low) / 2 - expected) < 0.005


def test_interval_covers_the_truth_in_about_95_of_100_worlds() -> None:
    generator = np.random.default_rng(7)
    covered = 0
    for world in range(300):
        pairs = {"a": generator.normal(0.02, 0.3, 80), "b": generator.normal(0.06, 0.1, 40)}
        found = difference(pairs, {"a": 1, "b": 1}, replicates=400, confidence=0.95, seed=world)
        covered += found.low <= 0.04 <= found.high
    assert 270 <= covered <= 296  # 95 % of 300 is 285; percentile intervals run a little narrow


def test_one_application_has_students_interval() -> None:
    # .1, .2, 0, -.1: mean .05, sd .1291, error .0645; t(.95, 3) = 2.3534, t(.975, 3) = 3.1824
    found = estimate({"a": np.array([[0.1], [0.2], [0.0], [-0.1]])}, {"a": 2.0})
    assert (found.mean[0], found.freedom[0]) == pytest.approx((0.05, 3))
    assert found.error[0] == pytest.approx(0.06455, abs=1e-5)
    assert found.lower(0.95)[0] == pytest.approx(0.05 - 2.3534 * 0.06455, abs=1e-4)
    assert found.upper(0.95)[0] == pytest.approx(0.05 + 2.3534 * 0.06455, abs=1e-4)
    assert found.interval(0.95)[1][0] == pytest.approx(0.05 + 3.1824 * 0.06455, abs=1e-4)


def test_two_applications_share_their_degrees_of_freedom() -> None:
    # a: .0, .2 (var .02, n 2), b: .1, .2, .3 (var .01, n 3), weights 1 : 3
    found = estimate({"a": np.array([[0.0], [0.2]]), "b": np.array([[0.1], [0.2], [0.3]])}, {"a": 1.0, "b": 3.0})
    of_a, of_b = 0.25**2 * 0.02 / 2, 0.75**2 * 0.01 / 3
    assert found.mean[0] == pytest.approx(0.25 * 0.1 + 0.75 * 0.2)
    assert found.error[0] == pytest.approx((of_a + of_b) ** 0.5)
    assert found.freedom[0] == pytest.approx((of_a + of_b) ** 2 / (of_a**2 / 1 + of_b**2 / 2))


def test_a_single_query_bounds_nothing() -> None:
    found = estimate({"a": np.array([[0.3]])}, {"a": 1.0})
    assert (found.lower(0.95)[0], found.upper(0.95)[0]) == (-1.0, 1.0)


def test_differences_without_variation_are_known_exactly() -> None:
    found = estimate({"a": np.full((5, 1), 0.25), "b": np.full((3, 1), 0.25)}, {"a": 1.0, "b": 1.0})
    assert (found.lower(0.95)[0], found.upper(0.95)[0]) == (0.25, 0.25)
