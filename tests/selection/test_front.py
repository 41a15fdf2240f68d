"""The front of quality against cost: by hand, against its definition, and over draws."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixstage.composition import Composition
from mixstage.evaluation.latency import Cost
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import Plan
from mixstage.selection.choose import Values
from mixstage.selection.front import OVERALL, fronts, on_front

NONE, SHALLOW, DEEP = (
    "retriever:base@20 > none@10",
    "retriever:base@20 > reranker:base@10",
    "bm25@60 > reranker:base@10",
)


def test_the_front_by_hand() -> None:
    costs = np.array([30.0, 10.0, 20.0, 20.0, 40.0, 10.0])
    means = np.array(
        [
            # 10 pays .4 and .4: both; 20 pays .5 (.45 has an equal that is better); 30 no more than 20; 40 pays .6
            [0.5, 0.4, 0.5, 0.45, 0.6, 0.4],
            [0.9, 0.4, 0.1, 0.2, 0.8, 0.3],
        ]
    )
    assert on_front(means, costs).tolist() == [
        [False, True, True, False, True, True],
        [True, True, False, False, False, False],
    ]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_is_what_its_definition_keeps(points: list[tuple[int, int]]) -> None:
    kept = [not any((c < cost and m >= mean) or (c == cost and m > mean) for c, m in points) for cost, mean in points]
    costs, means = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
    assert on_front(means[None] / 10, costs)[0].tolist() == kept


def plan(bootstrap: int = 100) -> Plan:
    parts = {name: {"corpus": "c", "source": "x"} for name in "ab"}
    return parse_plan(
        {"name": "t", "corpora": {"c": {"source": "x"}}, "applications": parts, "selection": {"bootstrap": bootstrap}}
    )


def dev(a: list[list[float]], b: list[list[float]]) -> Values:
    names = [NONE, SHALLOW, DEEP]
    return Values(
        compositions=[Composition.parse(name) for name in names],
        matrices={"a": np.array(a), "b": np.array(b)},
        weights={"a": 0.5, "b": 0.5},
    )


COST = Cost(
    retrieve={(app, name): np.array([ms, ms]) for app in "ab" for name, ms in (("base", 9.0), ("bm25", 1.0))},
    rerank={("a", "base", 20): np.array([10.0, 10.0]), ("b", "base", 20): np.array([20.0, 20.0])}
    | {(app, "base", 60): np.array([15.0, 15.0]) for app in "ab"},
    machine="m",
    digest="d",
)


def test_rows_tell_means_costs_and_both_fronts() -> None:
    found = fronts(plan(), dev([[0.1, 0.2, 0.3]], [[0.5, 0.4, 0.45]]), COST)
    assert list(found) == [OVERALL, "a", "b"]
    assert [str(row.composition) for row in found["a"]] == [NONE, SHALLOW, DEEP]
    # a: 9, 19, 16 ms; b: 9, 29, 16; overall the slower
    assert [[row.p95_ms for row in rows] for rows in found.values()] == [[9, 29, 16], [9, 19, 16], [9, 29, 16]]
    assert [row.pairs for row in found["b"]] == [0, 20, 60]
    assert [row.mean for row in found[OVERALL]] == pytest.approx([0.3, 0.3, 0.375])
    # deep takes less time than shallow and scores more pairs
    assert [row.on_front for row in found["a"]] == [True, False, True]
    assert [row.on_pairs_front for row in found["a"]] == [True, True, True]
    assert [row.on_front for row in found["b"]] == [True, False, False]
    # one query an application: every draw is the sample itself
    assert all(row.share == row.on_front for rows in found.values() for row in rows)


def test_the_share_is_that_of_all_draws() -> None:
    # a of two queries: shallow leads by .2 on one, lags by .1 on the other; of 4 draws only (lag, lag) puts it off
    values = dev([[0.5, 0.7, 0.0], [0.5, 0.4, 0.0]], [[0.5, 0.5, 0.0]])
    lead = [0.2, -0.1]
    expected = np.mean([lead[i] + lead[j] > 0 for i, j in product((0, 1), repeat=2)])
    none, shallow, deep = fronts(plan(20_000), values, None)["a"]
    assert (none.share, deep.share) == (1, 0)
    assert shallow.share == shallow.pairs_share == pytest.approx(expected, abs=0.015)
    assert shallow.p95_ms is None and shallow.on_front
