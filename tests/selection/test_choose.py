"""Choosing on dev: every step of the procedure on numbers made by hand."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from mixstage.composition import Composition
from mixstage.errors import InputError
from mixstage.evaluation.latency import Cost
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import Plan
from mixstage.selection.choose import Values, choose, read_values

BASE = "retriever:base@10 > none@10"
MIXED = "retriever:refine@20 > reranker:broad@10"
SAME = "retriever:broad@10 > reranker:broad@10"
DEEP = "retriever:refine@60 > reranker:broad@10"
FUSED = "retriever:both@20 > reranker:broad@10"


def plan(budget: int | None = None, p95_ms: float | None = None, **selection: Any) -> Plan:
    return parse_plan(
        {
            "name": "t",
            "corpora": {"c": {"source": "x"}},
            "applications": {
                "a": {"corpus": "c", "source": "x", "budget": {"pairs_per_query": budget, "p95_ms": p95_ms}},
                "b": {"corpus": "c", "source": "x", "weight": 3},
            },
            "retriever": {"stages": {"broad": {}, "refine": {}}},
            "reranker": {"stages": {"broad": {"mine": {"miners": ["bm25"]}}}},
            "grid": {"depths": [10, 20, 60], "fusions": {"both": {"of": ["broad", "bm25"]}}},
            "selection": {"incumbent": BASE, **selection},
        }
    )


def values(**means: tuple[float, float]) -> Values:
    """Two queries an application for each composition: name -> (mean of a, mean of b).

    Neighbours lie -+ 0.1 and +- 0.1 about their means: chance may turn their order round.
    """
    names = {"base": BASE, "mixed": MIXED, "same": SAME, "deep": DEEP, "fused": FUSED}
    spread = np.outer([-0.1, 0.1], (-1) ** np.arange(len(means)))
    columns = list(means.values())
    return Values(
        compositions=[Composition.parse(names[key]) for key in means],
        matrices={app: spread + np.array([[pair[i] for pair in columns]]) for i, app in enumerate("ab")},
        weights={"a": 0.25, "b": 0.75},
    )


def test_the_highest_weighted_mean_wins() -> None:
    # a counts 1/4, b 3/4: mixed .25*.50 + .75*.60 = .575, same .25*.60 + .75*.55 = .5625, base .45
    found = choose(plan(), values(base=(0.45, 0.45), mixed=(0.5, 0.6), same=(0.6, 0.55)))
    assert (str(found.winner), str(found.best)) == (MIXED, MIXED)
    assert str(found.uniform) == SAME
    assert found.per_application == {"a": Composition.parse(SAME), "b": Composition.parse(MIXED)}


def test_a_composition_that_regresses_one_application_is_out() -> None:
    # mixed has the best mean but loses .02 on a, over the .01 allowed
    found = choose(plan(), values(base=(0.45, 0.45), mixed=(0.43, 0.9), same=(0.45, 0.5)))
    assert str(found.winner) == SAME
    assert (found.eligible, found.regressing) == (2, 1)


def test_the_cheapest_of_those_as_good_wins() -> None:
    # deep leads by .004 < near .005 but costs 60 pairs a query instead of 20
    found = choose(plan(), values(base=(0.4, 0.4), mixed=(0.5, 0.5), deep=(0.504, 0.504)))
    assert (str(found.best), str(found.winner)) == (DEEP, MIXED)
    assert "cheapest of 2" in found.reason and "20 pairs" in found.reason


def test_a_fusion_costs_its_members() -> None:
    # both leads by .004 at the same 20 pairs, but asks two retrievers
    found = choose(plan(), values(base=(0.4, 0.4), mixed=(0.5, 0.5), fused=(0.504, 0.504)))
    assert (str(found.best), str(found.winner)) == (FUSED, MIXED)
    assert "at 20 pairs a query, against 0.5040 at 20 pairs and 2 retrievers for" in found.reason
    # ... even where it is the incumbent; pairs still come first
    found = choose(plan(incumbent=FUSED), values(mixed=(0.5, 0.5), fused=(0.504, 0.504)))
    assert str(found.winner) == MIXED
    found = choose(plan(), values(base=(0.4, 0.4), fused=(0.5, 0.5), deep=(0.504, 0.504)))
    assert str(found.winner) == FUSED


def test_a_small_lead_on_every_query_alike_is_no_chance_and_wins() -> None:
    found = values(base=(0.4, 0.4), mixed=(0.5, 0.5), deep=(0.504, 0.504))
    steady = {name: np.tile(matrix.mean(axis=0), (2, 1)) for name, matrix in found.matrices.items()}
    chosen = choose(plan(), Values(compositions=found.compositions, matrices=steady, weights=found.weights))
    assert (str(chosen.winner), chosen.critical) == (DEEP, 0.0)
    assert chosen.near == (chosen.best,)


def test_the_near_best_are_told_in_the_grids_order() -> None:
    found = choose(plan(), values(base=(0.4, 0.4), mixed=(0.5, 0.5), deep=(0.504, 0.504)))
    assert [str(one) for one in found.near] == [MIXED, DEEP]


def test_a_lead_beyond_near_is_worth_its_price() -> None:
    found = choose(plan(), values(base=(0.4, 0.4), mixed=(0.5, 0.5), deep=(0.506, 0.506)))
    assert str(found.winner) == DEEP


def test_an_applications_budget_of_pairs_binds_all() -> None:
    found = choose(plan(budget=10), values(base=(0.4, 0.4), mixed=(0.9, 0.9), same=(0.5, 0.5)))
    assert str(found.winner) == SAME
    assert found.over_budget == 1


def timed(base: float, mixed: float, same: float) -> Cost:
    """Two queries that take as long as the other; both applications alike."""
    retrieve = {"base": base, "refine": mixed - 1, "broad": same - 1}
    return Cost(
        retrieve={(app, name): np.array([ms, ms]) for app in "ab" for name, ms in retrieve.items()},
        rerank={(app, "broad", depth): np.array([1.0, 1.0]) for app in "ab" for depth in (10, 20)},
        machine="m",
        digest="d",
    )


def test_a_budget_of_time_binds_all_and_the_application_itself() -> None:
    found = values(base=(0.4, 0.4), mixed=(0.9, 0.9), same=(0.5, 0.5))
    limited = plan(p95_ms=20.0)  # application a's
    chosen = choose(limited, found, timed(base=5, mixed=20.5, same=20))
    assert (str(chosen.winner), chosen.over_budget) == (SAME, 1)
    assert {app: str(one) for app, one in chosen.per_application.items()} == {"a": SAME, "b": MIXED}
    assert str(choose(limited, found, timed(base=5, mixed=20, same=20)).winner) == MIXED


def test_the_budgets_that_leave_nothing_are_named() -> None:
    found = values(base=(0.4, 0.4), mixed=(0.9, 0.9), same=(0.5, 0.5))
    told = r"raise applications\.a\.budget\.p95_ms \(3\.5\) or selection\.max_regression"
    with pytest.raises(InputError, match=told):
        choose(plan(p95_ms=3.5), found, timed(base=5, mixed=20, same=20))


def test_the_incumbent_stays_when_nothing_is_better() -> None:
    found = choose(plan(), values(base=(0.5, 0.5), mixed=(0.49, 0.495), same=(0.3, 0.3)))
    assert str(found.winner) == BASE


def test_a_duplicated_composition_changes_nothing() -> None:
    once = values(base=(0.4, 0.4), mixed=(0.5, 0.6), same=(0.55, 0.5))
    twice = Values(
        compositions=[*once.compositions, once.compositions[1]],
        matrices={name: np.hstack([m, m[:, 1:2]]) for name, m in once.matrices.items()},
        weights=once.weights,
    )
    assert choose(plan(), twice).winner == choose(plan(), once).winner


def test_an_incumbent_outside_the_grid_is_refused() -> None:
    with pytest.raises(InputError, match=r"base@20 > none@10 is not in the grid"):
        choose(plan(incumbent="retriever:base@20 > none@10"), values(base=(0.4, 0.4)))


def test_values_are_read_in_the_tables_order() -> None:
    rows = [
        (app, name, query, value)
        for app, shift in (("a", 0.0), ("b", 0.5))
        for name, first in ((SAME, 0.1), (BASE, 0.2))
        for query, value in (("q1", first + shift), ("q2", first + shift + 0.01))
    ]
    table = pl.DataFrame(rows, schema=["application", "composition", "query_id", "nDCG@10"], orient="row")
    found = read_values(plan(), table)
    assert [str(c) for c in found.compositions] == [SAME, BASE]
    assert np.allclose(found.matrices["b"], [[0.6, 0.7], [0.61, 0.71]])
    assert found.weights == {"a": 0.25, "b": 0.75}
