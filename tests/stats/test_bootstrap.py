"""Draws: the same numbers whatever the size of the blocks, and pinned ones, so that no report moves by a rewrite."""

import numpy as np
import pytest

from mixstage.composition import Composition
from mixstage.selection.choose import Values
from mixstage.selection.posterior import posterior
from mixstage.stats.bootstrap import critical_value, draws, query_counts, query_weights, resamples, shares_of
from mixstage.stats.paired import difference
from mixstage.stats.sign_flips import p_values, query_signs

WEIGHTS = {"a": 0.25, "b": 0.75}


@pytest.fixture
def values() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(5)
    return {"a": generator.random((30, 4)).round(3), "b": generator.random((12, 4)).round(3)}


@pytest.mark.parametrize("draw", [query_counts, query_weights, query_signs])
def test_blocks_hold_all_replicates_of_every_application(draw) -> None:
    blocks = list(draws({"a": 10, "b": 4}, 7, draw, seed=1, held=30))
    assert [len(block["a"]) for block in blocks] == [3, 3, 1]
    assert [block["b"].shape for block in blocks] == [(3, 4), (3, 4), (1, 4)]
    assert [len(block["a"]) for block in draws({"a": 10}, 2, draw, seed=1, held=1)] == [1, 1]


def test_one_application_is_drawn_alike_in_blocks_of_any_size() -> None:
    whole = next(draws({"a": 10}, 7, query_counts, seed=1))["a"]
    parts = [block["a"] for block in draws({"a": 10}, 7, query_counts, seed=1, held=30)]
    assert (np.vstack(parts) == whole).all()


def test_weights_of_a_replicate_sum_to_one_and_signs_are_signs() -> None:
    weights = next(draws({"a": 10}, 7, query_weights, seed=1))["a"]
    assert weights.sum(axis=1) == pytest.approx(1) and (weights > 0).all()
    assert set(next(draws({"a": 10}, 7, query_signs, seed=1))["a"].ravel()) == {-1.0, 1.0}


def test_a_generator_goes_on_where_it_was() -> None:
    generator = np.random.default_rng(3)
    first, second = (next(draws({"a": 10}, 2, query_counts, generator))["a"] for _ in range(2))
    assert (first == next(draws({"a": 10}, 2, query_counts, 3))["a"]).all() and (first != second).any()


def test_shares_keep_proportions() -> None:
    assert shares_of({"a": 3.0, "b": 1.0}) == {"a": 0.75, "b": 0.25}


def test_pinned_counts(values: dict[str, np.ndarray]) -> None:
    block = next(resamples(values, 3, 3))
    code = [int(np.array([1, 10, 100]) @ block[name] @ np.arange(1, len(values[name]) + 1)) for name in "ab"]
    assert code == [53744, 7913]


def test_pinned_interval(values: dict[str, np.ndarray]) -> None:
    pairs = {name: matrix[:, 0] - matrix[:, 1] for name, matrix in values.items()}
    found = difference(pairs, {"a": 1.0, "b": 3.0}, replicates=500, confidence=0.95, seed=3)
    assert (found.mean, found.low, found.high) == (-0.07037500000000001, -0.23477531249999997, 0.1116665624999999)
    assert (found.wins, found.losses, found.ties, found.queries) == (19, 23, 0, 42)


def test_pinned_critical_value(values: dict[str, np.ndarray]) -> None:
    everyone = np.ones(4, dtype=bool)
    assert critical_value(0, everyone, values, WEIGHTS, draws=500, confidence=0.95, seed=3) == 1.7962029952209626


def test_pinned_p_values(values: dict[str, np.ndarray]) -> None:
    alone, together = p_values({n: m[:, 1:] - m[:, :1] for n, m in values.items()}, WEIGHTS, flips=500, seed=3)
    assert alone.tolist() == [0.45708582834331335, 0.9241516966067864, 0.6806387225548902]
    assert together.tolist() == [0.6986027944111777, 0.998003992015968, 0.9321357285429142]


def test_pinned_posterior(values: dict[str, np.ndarray]) -> None:
    names = [Composition(retriever=name, depth=10, reranker="none") for name in "abcd"]
    found = posterior(Values(compositions=names, matrices=values, weights=WEIGHTS), 0, margin=0.01, draws=500, seed=3)
    assert found.best.tolist() == [0.178, 0.548, 0.032, 0.242]
    assert found.regret.tolist() == [
        0.08740531880849954,
        0.017642169010658952,
        0.09674821480183404,
        0.04567971803084074,
    ]
    assert found.loss.tolist() == [0.0, 0.468, 0.822, 0.798]
