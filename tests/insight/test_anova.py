"""The analysis of variance: by hand on two queries, against least squares on random values, and as a one-way test."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from mixstage.composition import Composition
from mixstage.insight.anova import analyse, cells_of, effects

WINNER = Composition(retriever="robust", depth=20, reranker="refine")


def cell(retriever: str, reranker: str, depth: int = 20, mix: float = 1.0) -> Composition:
    return Composition(retriever=retriever, depth=depth, reranker=reranker, mix=mix)


def test_two_queries_by_hand() -> None:
    # Queries x retrievers x rerankers: [[.1 .3] [.2 .6]] and [[.0 .2] [.0 .2]]. Grand mean .2; query means .3, .1.
    cube = np.array([[[0.1, 0.3], [0.2, 0.6]], [[0.0, 0.2], [0.0, 0.2]]])
    found = effects(cube)
    # Rerankers: means .075, .325, 4 values each: 8 x .125^2. Their gain is .3 for the first query and .2 for the
    # second, .25 +- .05: half of that at each of 8 values.
    reranker = found["reranker"]
    assert (reranker.ss, reranker.df, reranker.error_df) == pytest.approx((0.125, 1, 1))
    assert reranker.error_ss == pytest.approx(8 * 0.025**2)
    assert reranker.f == pytest.approx(25)
    assert reranker.p == pytest.approx(stats.f.sf(25, 1, 1))
    # 1 (.125 - .005) / (.12 + 8 x .005)
    assert reranker.omega2 == pytest.approx(0.75)
    # Retrievers: means .15, .25; their gain is .2 and 0: .1 +- .1
    assert (found["retriever"].ss, found["retriever"].error_ss) == pytest.approx((8 * 0.05**2, 8 * 0.05**2))
    assert found["retriever"].f == pytest.approx(1) and found["retriever"].omega2 == 0.0
    # Both: the contrast is .2 and 0, a quarter of it in every cell: .025 +- .025
    assert (found["both"].ss, found["both"].error_ss) == pytest.approx((8 * 0.025**2, 8 * 0.025**2))
    # Squares around .2: .01 .01 0 .16 and .04 0 .04 0
    assert reranker.share == pytest.approx(0.125 / 0.26)


def residual(design: list[NDArray[np.float64]], values: NDArray[np.float64]) -> float:
    """Sum of squares that least squares leaves."""
    columns = np.concatenate(design, axis=1)
    fitted = columns @ np.linalg.lstsq(columns, values, rcond=None)[0]
    return float(((values - fitted) ** 2).sum())


def test_sums_of_squares_are_those_of_nested_least_squares_fits() -> None:
    cube = np.random.default_rng(0).random((6, 3, 4))
    q, r, k = (index.ravel() for index in np.indices(cube.shape))
    values = cube.ravel()

    def dummies(*factors: NDArray[np.intp]) -> NDArray[np.float64]:
        code = np.ravel_multi_index(factors, tuple(int(factor.max()) + 1 for factor in factors))
        return np.eye(int(code.max()) + 1)[code]

    terms = [dummies(q), dummies(k), dummies(q, k), dummies(r), dummies(q, r), dummies(r, k)]
    left = [residual(terms[: place + 1], values) for place in range(len(terms))]
    steps = -np.diff([float(((values - values.mean()) ** 2).sum()), *left])
    found = effects(cube)
    expected = {"reranker": (steps[1], steps[2]), "retriever": (steps[3], steps[4]), "both": (steps[5], left[-1])}
    for name, pair in expected.items():
        assert (found[name].ss, found[name].error_ss) == pytest.approx(pair, abs=1e-12), name
    assert [(found[name].df, found[name].error_df) for name in expected] == [(3, 15), (2, 10), (6, 30)]


def test_two_levels_are_the_paired_t_test() -> None:
    cube = np.random.default_rng(1).random((30, 2, 2))
    found = effects(cube)["reranker"]
    t = stats.ttest_rel(cube[:, :, 0].mean(axis=1), cube[:, :, 1].mean(axis=1))
    assert (found.f, found.p) == pytest.approx((t.statistic**2, t.pvalue))
    assert found.epsilon == pytest.approx(1.0)


def test_levels_that_vary_unequally_cost_degrees_of_freedom() -> None:
    generator = np.random.default_rng(2)
    even = effects(generator.normal(size=(4000, 2, 3)))["reranker"]
    assert even.epsilon == pytest.approx(1.0, abs=0.01)
    # One reranker's noise swamps the others': its contrast is all there is, one of two.
    loud = effects(generator.normal(size=(4000, 2, 3)) * [100, 1, 1])["reranker"]
    assert loud.epsilon == pytest.approx(0.5, abs=0.01)


def test_chance_alone_is_called_an_effect_in_no_more_than_one_of_twenty_worlds() -> None:
    generator, hits = np.random.default_rng(3), np.zeros(3)
    for _ in range(500):
        difficulty = generator.normal(size=(20, 1, 1))
        found = effects(difficulty + generator.normal(size=(20, 3, 4)))
        hits += [one.p is not None and one.p < 0.05 for one in found.values()]
    assert (hits / 500 <= 0.07).all() and (hits > 0).all()


def test_equal_gains_leave_no_error_to_measure_by() -> None:
    cube = np.broadcast_to([0.25, 0.5], (3, 2, 2))
    found = effects(cube)
    assert found["reranker"].f is None
    assert (found["reranker"].omega2, found["reranker"].share) == pytest.approx((1.0, 1.0))
    assert (found["both"].p, found["both"].omega2, found["both"].epsilon) == (None, 0.0, 1.0)


def test_cells_stand_at_the_winners_depth_and_weight() -> None:
    grid = [cell(r, k, d, m) for r in ("base", "robust") for k in ("base", "refine") for d in (5, 20) for m in (0.5, 1)]
    grid += [cell(r, k) for r in ("base", "robust") for k in ("none", "oracle")]
    assert cells_of(grid, WINNER) == [
        [cell("base", "base"), cell("base", "refine")],
        [cell("robust", "base"), cell("robust", "refine")],
    ]
    bare = cell("robust", "none", 100)
    found = cells_of([*grid, bare], bare)
    assert found is not None and found[0][0] == cell("base", "base")  # the deepest that is reranked
    assert cells_of([c for c in grid if c.reranker != "base"], WINNER) is None
    assert cells_of([c for c in grid if c.reranker == "none"], WINNER) is None


def test_the_analysis_reads_values_by_their_cell() -> None:
    values = {
        cell("base", "base"): np.array([0.1, 0.0]),
        cell("base", "refine"): np.array([0.3, 0.2]),
        cell("robust", "base"): np.array([0.2, 0.0]),
        cell("robust", "refine"): np.array([0.6, 0.2]),
    }
    found = analyse(values, WINNER)
    assert found is not None
    assert (found.retrievers, found.rerankers, found.depth, found.mix) == (
        ["base", "robust"],
        ["base", "refine"],
        20,
        1,
    )
    assert found.effects["reranker"].f == pytest.approx(25)
    assert found.queries == pytest.approx(0.08 / 0.26)
    assert analyse({one: row[:1] for one, row in values.items()}, WINNER) is None
