"""Paired differences: hand-made numbers, and an interval that covers as often as it says."""

import numpy as np

from mixstage.selection.compare import difference


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
