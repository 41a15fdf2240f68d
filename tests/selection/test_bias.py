"""The corrected gain: by hand where draws can be listed, and against the truth in worlds made for it."""

import numpy as np
import pytest

from mixstage.composition import Composition
from mixstage.selection.bias import Gain, corrected_gain
from mixstage.selection.choose import Values
from mixstage.selection.rule import Rule
from mixstage.stats.bootstrap import resamples


def values(**matrices: np.ndarray) -> Values:
    size = next(iter(matrices.values())).shape[1]
    return Values(
        compositions=[Composition(retriever=f"r{s}", depth=10, reranker="none") for s in range(size)],
        matrices=matrices,
        weights=dict.fromkeys(matrices, 1 / len(matrices)),
    )


def rule(size: int, max_regression: float = 1.0, near: float = 0.0) -> Rule:
    """The first is the incumbent and the cheapest, and the price rises from there."""
    return Rule(
        incumbent=0,
        affordable=np.ones(size, dtype=bool),
        price=np.arange(size),
        place=np.arange(size),
        max_regression=max_regression,
        near=near,
    )


def gain(rule: Rule, dev: Values, draws: int = 200, critical: float = 0.0) -> Gain | None:
    return corrected_gain(rule, dev, critical, draws=draws, confidence=0.95, seed=0)


def test_a_steady_gain_is_told_as_it_is() -> None:
    found = gain(rule(2), values(a=np.tile([0.4, 0.5], (20, 1)), b=np.tile([0.2, 0.5], (10, 1))))
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2))  # (.1 + .3) / 2
    assert found.shares == {"retriever:r1@10 > none@10": 1.0}


def test_the_chosen_is_measured_on_queries_that_were_not_drawn() -> None:
    # two queries, each won by another rival: whoever is chosen for its query loses .3 on the one left out
    dev = values(a=np.array([[0.5, 0.9, 0.2], [0.5, 0.2, 0.9]]))
    found = gain(rule(3), dev)
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((-0.3, -0.3, -0.3))
    counts = np.vstack([block["a"] for block in resamples(dev.matrices, 200, 0)])
    assert found.draws == int((counts == 0).any(axis=1).sum()) < 200  # (1, 1) leaves nothing out
    # the rivals' mean of a (1, 1) draw is .55 > .5 for both, and the cheaper is the first of the two
    assert found.shares == {
        "retriever:r1@10 > none@10": pytest.approx((counts[:, 0] >= 1).mean()),
        "retriever:r2@10 > none@10": pytest.approx((counts[:, 1] == 2).mean()),
    }


def test_the_rule_is_repeated_with_its_screen_and_its_price() -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(0, 0.02, (50, 1))
    # r1 gains most together but loses b; r3 leads r2 by .002 in noise, and costs more
    a = np.array([0.4, 0.9, 0.5, 0.502]) + noise
    b = np.array([0.4, 0.3, 0.5, 0.502]) + noise
    a[:, 3] += generator.normal(0, 0.02, 50)
    found = gain(rule(4, max_regression=0.01, near=0.02), values(a=a, b=b), critical=10.0)
    assert found is not None
    assert found.shares == {"retriever:r2@10 > none@10": 1.0}
    assert found.mean == pytest.approx(0.1)


def test_one_query_leaves_nothing_out() -> None:
    assert gain(rule(2), values(a=np.array([[0.4, 0.5]]), b=np.tile([0.4, 0.5], (20, 1)))) is None


def test_a_seed_gives_the_same_draws() -> None:
    dev = values(a=np.random.default_rng(1).random((30, 5)))
    assert gain(rule(5), dev) == gain(rule(5), dev)
    assert gain(rule(5), dev) != corrected_gain(rule(5), dev, 0.0, draws=200, confidence=0.95, seed=1)


def test_it_takes_the_winners_luck_away() -> None:
    """Twenty equal compositions: whoever leads gains nothing in truth."""
    generator = np.random.default_rng(5)
    apparent, corrected = [], []
    for _ in range(40):
        dev = values(a=0.5 + generator.normal(0, 0.2, (60, 20)))
        found = gain(rule(20), dev, draws=100)
        assert found is not None and found.low < 0 < found.high
        corrected.append(found.mean)
        apparent.append(dev.overall().max() - dev.overall()[0])
    assert np.mean(apparent) > 0.03  # sd of a difference of means .2 sqrt(2 / 60) = .037
    assert abs(np.mean(corrected)) < 0.012


def test_it_leaves_a_true_gain_alone() -> None:
    generator = np.random.default_rng(6)
    truth = np.array([0.4, 0.6, *[0.4] * 8])
    found = [gain(rule(10), values(a=truth + generator.normal(0, 0.2, (80, 10))), draws=100) for _ in range(30)]
    assert np.mean([one.mean for one in found if one is not None]) == pytest.approx(0.2, abs=0.015)
