"""Probabilities under Dirichlet weights, where two queries make them integrals of a uniform number."""

import numpy as np
import pytest

from mixstage.composition import Composition
from mixstage.selection.choose import Values
from mixstage.selection.posterior import posterior

NAMES = ["bm25@10 > none@10", "retriever:base@10 > none@10", "retriever:broad@10 > none@10"]


def values(**matrices: list[list[float]]) -> Values:
    return Values(
        compositions=[Composition.parse(name) for name in NAMES[: len(next(iter(matrices.values()))[0])]],
        matrices={name: np.array(rows) for name, rows in matrices.items()},
        weights={name: 1 / len(matrices) for name in matrices},
    )


def test_two_queries_weigh_u_and_its_rest() -> None:
    # the lead of the second is .3 u - .1 (1 - u) = .4 u - .1, u uniform: positive with probability 3/4
    found = posterior(values(a=[[0.2, 0.5], [0.2, 0.1]]), 0, margin=0.05, draws=40_000, seed=0)
    assert found.best == pytest.approx([0.25, 0.75], abs=0.01)
    # the first lags by the positive part, whose mean is .3^2 / (2 x .4), the second by the rest, .1^2 / (2 x .4)
    assert found.regret == pytest.approx([0.1125, 0.0125], abs=0.002)
    # it loses more than .05 where u < .125
    assert found.loss == pytest.approx([0, 0.125], abs=0.01)


def test_one_application_that_loses_is_enough_and_means_are_weighted() -> None:
    # b's weights are others: it loses .1 with u, more than .05 with probability 1/2; a wins .3 always
    found = posterior(values(a=[[0.1, 0.4]] * 2, b=[[0.2, 0.1], [0.2, 0.2]]), 0, margin=0.05, draws=40_000, seed=0)
    assert found.loss == pytest.approx([0, 0.5], abs=0.01)
    assert found.best.tolist() == [0, 1]
    # ahead by .15 - .05 u
    assert found.regret == pytest.approx([0.125, 0], abs=0.001)


def test_equals_share_being_best_and_a_loss_of_the_margin_itself_is_none() -> None:
    found = posterior(values(a=[[0.3, 0.3, 0.2]] * 3), 0, margin=0.1, draws=100, seed=0)
    assert found.best.tolist() == [0.5, 0.5, 0]
    assert found.loss.tolist() == [0, 0, 0]
    assert found.row(2) == {"p_best": 0, "regret": pytest.approx(0.1), "p_loss": 0}
