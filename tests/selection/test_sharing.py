"""What sharing costs each application: prices and losses by hand, on the split that chose and on another."""

import json
from typing import Any

import numpy as np
import pytest

from mixstage.composition import Composition
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import Plan
from mixstage.selection.choose import Values, choose
from mixstage.selection.sharing import Sharing, prices, share
from mixstage.store.plain import plain

BASE, BROAD, REFINE = "retriever:base@20 > none@10", "retriever:base@20 > reranker:broad@10", "bm25@20 > none@10"


def plan(max_regression: float, pairs: int | None = None) -> Plan:
    budget = {"pairs_per_query": pairs}
    return parse_plan(
        {
            "name": "t",
            "corpora": {"c": {"source": "x"}},
            "applications": {
                "a": {"corpus": "c", "source": "x", "weight": 3},
                "b": {"corpus": "c", "source": "x", "budget": budget},
            },
            "reranker": {"stages": {"broad": {"mine": {"miners": ["bm25"]}}}},
            "grid": {"depths": [20]},
            "selection": {"incumbent": BASE, "max_regression": max_regression, "bootstrap": 200},
        }
    )


def values(a: list[list[float]], b: list[list[float]]) -> Values:
    compositions = [Composition.parse(name) for name in (BASE, BROAD, REFINE)]
    matrices = {"a": np.array(a), "b": np.array(b)}
    return Values(compositions=compositions, matrices=matrices, weights={"a": 0.75, "b": 0.25})


def told(shared: Sharing) -> dict[str, Any]:
    """As the store keeps it, and as it is read back."""
    kept: dict[str, Any] = json.loads(json.dumps(plain(shared)))
    assert Sharing.from_json(kept) == shared
    return kept


DEV = values(a=[[0.3, 0.5, 0.2], [0.5, 0.7, 0.4]], b=[[0.4, 0.42, 0.5], [0.4, 0.42, 0.45]])


def test_the_price_is_the_own_best_minus_the_winner_and_the_cover_keeps_the_margin() -> None:
    # a gains .2 by broad, b .02 by it and .075 by bm25
    shared = told(share(plan(0.01), DEV, choose(plan(0.01), DEV), None))
    assert (shared["winner"], shared["own"]) == (BROAD, {"a": BROAD, "b": REFINE})
    assert shared["services"] == {"winner": 2, "own": 3, "cover": 3}
    assert shared["price"]["a"]["mean"] == shared["price"]["a"]["low"] == shared["price"]["a"]["high"] == 0
    b = shared["price"]["b"]
    assert (b["mean"], b["low"], b["high"]) == pytest.approx((0.055, 0.03, 0.08))  # queries .08 and .03
    assert (shared["cover"]["retrievers"], shared["cover"]["rerankers"]) == (["base", "bm25"], ["broad"])
    assert shared["cover"]["loss"] == {"a": 0, "b": 0}


def test_a_wider_margin_needs_fewer_models_and_says_what_is_lost() -> None:
    shared = told(share(plan(0.06), DEV, choose(plan(0.06), DEV), None))
    assert shared["cover"]["assignment"] == {"a": BROAD, "b": BROAD}
    assert shared["services"]["cover"] == 2
    assert shared["cover"]["loss"] == pytest.approx({"a": 0, "b": 0.055})


def test_a_tight_budget_of_one_application_is_a_price_of_sharing() -> None:
    limited = plan(0.01, pairs=0)
    shared = told(share(limited, DEV, choose(limited, DEV), None))
    assert (shared["winner"], shared["own"]) == (BASE, {"a": BROAD, "b": REFINE})
    assert shared["price"]["a"]["mean"] == pytest.approx(0.2)
    assert shared["cover"]["assignment"] == {"a": BROAD, "b": REFINE}


def test_another_split_prices_the_same_compositions() -> None:
    shared = share(plan(0.01), DEV, choose(plan(0.01), DEV), None)
    test = values(a=[[0.3, 0.4, 0.9]] * 3, b=[[0.4, 0.45, 0.40]] * 3)
    found = prices(plan(0.01), test, shared.winner, shared.own, shared.assignment)
    assert found.price["b"].mean == pytest.approx(-0.05) and found.price["b"].losses == 3
    assert found.loss == {"a": 0, "b": 0}  # each application answers with its own best
