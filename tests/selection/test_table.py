"""The table against the incumbent: statistics by hand and by enumeration, and its errors in worlds without a winner."""

from itertools import product

import numpy as np
import pytest

from mixstage.composition import Composition
from mixstage.selection.choose import Values
from mixstage.selection.table import compare_all
from mixstage.stats.sign_flips import p_values


def test_p_is_the_share_of_sign_patterns_as_large() -> None:
    # .1, .2, .3: of 8 patterns only +++ and --- reach a mean of .2
    alone, together = p_values({"a": np.array([[0.1], [0.2], [0.3]])}, {"a": 1.0}, flips=20_000, seed=0)
    assert alone[0] == together[0] == pytest.approx(0.25, abs=0.01)


def test_two_applications_are_weighted_and_all_patterns_counted() -> None:
    leads = {"a": np.array([[0.1, 0.3], [0.4, -0.1]]), "b": np.array([[0.2, 0.1], [-0.1, 0.2], [0.3, 0.2]])}
    weights = {"a": 0.25, "b": 0.75}

    def statistic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        mean = 0.25 * a.mean(axis=0) + 0.75 * b.mean(axis=0)
        return np.abs(mean) / np.sqrt(0.25**2 * (a**2).mean(axis=0) / 2 + 0.75**2 * (b**2).mean(axis=0) / 3)

    seen = statistic(leads["a"], leads["b"])
    flipped = np.array(
        [
            statistic(leads["a"] * np.array(signs[:2])[:, None], leads["b"] * np.array(signs[2:])[:, None])
            for signs in product((-1, 1), repeat=5)
        ]
    )
    alone, together = p_values(leads, weights, flips=20_000, seed=0)
    assert alone == pytest.approx((flipped >= seen - 1e-12).mean(axis=0), abs=0.012)
    assert together == pytest.approx((flipped.max(axis=1)[:, None] >= seen - 1e-12).mean(axis=0), abs=0.012)


def test_p_of_all_together_is_never_below_p_alone_and_never_0() -> None:
    leads = {"a": np.random.default_rng(0).normal(0.05, 0.2, (60, 12))}
    alone, together = p_values(leads, {"a": 1.0}, flips=500, seed=0)
    assert (together >= alone).all() and (together > alone).any()
    sure, _ = p_values({"a": np.full((40, 1), 0.3)}, {"a": 1.0}, flips=500, seed=0)
    assert sure[0] == pytest.approx(1 / 501)


def test_a_twin_of_a_composition_changes_no_p() -> None:
    lead = np.random.default_rng(0).normal(0.03, 0.2, (60, 3))
    once = p_values({"a": lead}, {"a": 1.0}, flips=500, seed=0)
    twice = p_values({"a": np.hstack([lead, lead[:, :1]])}, {"a": 1.0}, flips=500, seed=0)
    for before, after in zip(once, twice, strict=True):
        assert after == pytest.approx([*before, before[0]])


def test_of_two_like_the_incumbent_at_most_7_of_100_tables_call_one_different() -> None:
    generator = np.random.default_rng(1)
    wrong = 0
    for seed in range(500):
        scores = {name: generator.beta(0.4, 0.6, (n, 9)) for name, n in (("a", 20), ("b", 12))}
        leads = {name: matrix[:, 1:] - matrix[:, :1] for name, matrix in scores.items()}
        _, together = p_values(leads, {"a": 0.5, "b": 0.5}, flips=199, seed=seed)
        wrong += bool(together.min() <= 0.05)
    assert 0.02 <= wrong / 500 <= 0.07  # not below either: then it would find nothing


def test_a_row_tells_the_difference_its_interval_and_its_counts() -> None:
    names = ["bm25@10 > none@10", "retriever:base@10 > none@10", "retriever:broad@10 > none@10"]
    # differences to base: bm25 0; broad .1, .2, 0, -.1 with mean .05, sd .1291, error .0645, t(.975, 3) = 3.1824
    matrix = np.array([[0.5, 0.5, 0.6], [0.4, 0.4, 0.6], [0.3, 0.3, 0.3], [0.2, 0.2, 0.1]])
    dev = Values(compositions=[Composition.parse(name) for name in names], matrices={"a": matrix}, weights={"a": 1.0})
    same, broad = compare_all(dev, 1, flips=200, confidence=0.95, seed=0)
    assert (same.composition, same.mean, same.low, same.high) == (names[0], 0, 0, 0)
    assert (same.p, same.p_adjusted, same.wins, same.ties, same.losses) == (1, 1, 0, 4, 0)
    assert (broad.composition, broad.wins, broad.ties, broad.losses) == (names[2], 2, 1, 1)
    assert broad.mean == pytest.approx(0.05)
    assert (broad.low, broad.high) == pytest.approx((0.05 - 0.2054, 0.05 + 0.2054), abs=1e-4)
