"""The published choice: what it holds, that dev alone makes it, and that it is found again."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from mixstage.evaluation.grid import Grid
from mixstage.evaluation.latency import Cost
from mixstage.plan.data import Budget
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import Plan
from mixstage.selection.select import decide, select
from mixstage.selection.verdict import looks
from mixstage.store.store import Store

BASE = "retriever:base@10 > none@10"
BROAD = "retriever:broad@10 > none@10"
MIXED = "retriever:broad@10 > reranker:base@10"


def make_plan(**selection: Any) -> Plan:
    return parse_plan(
        {
            "name": "t",
            "corpora": {"c": {"source": "x"}},
            "applications": {"a": {"corpus": "c", "source": "x"}, "b": {"corpus": "c", "source": "x"}},
            "retriever": {"stages": {"broad": {}}},
            "grid": {"depths": [10], "mix": [], "ranking_depth": 10, "measures": ["nDCG@10"]},
            "selection": {"bootstrap": 100, **selection},
        }
    )


def make_grid(store: Store, **splits: dict[str, float]) -> Grid:
    """splits: split -> composition -> gain over base in both applications, in noise of .05; 40 queries each."""
    draft = store.draft(Grid, {"what": "grid", "splits": splits})
    for split, gains in splits.items():
        generator = np.random.default_rng(0)
        rows = []
        for application in "ab":
            shared = generator.uniform(0.2, 0.6, 40)
            for name, gain in gains.items():
                scores = shared + gain + generator.normal(0, 0.05, 40) * (gain != 0)
                rows += [(application, name, f"q{i}", score) for i, score in enumerate(scores)]
        table = pl.DataFrame(rows, schema=["application", "composition", "query_id", "nDCG@10"], orient="row")
        draft.table(f"{split}.parquet", table.to_arrow())
    return draft.publish({})


def test_dev_alone_chooses(store: Store) -> None:
    grid = make_grid(store, dev={BASE: 0.0, BROAD: 0.1, MIXED: 0.2})  # there is no test.parquet to be read
    choice = select(make_plan(), store, grid).meta
    assert (choice["winner"], choice["best"], choice["near"]) == (MIXED, MIXED, [MIXED])
    assert choice["gain"]["shares"] == {MIXED: 1.0}
    assert choice["gain"]["mean"] == pytest.approx(0.2, abs=0.02)
    assert choice["gain"]["low"] < choice["gain"]["mean"] < choice["gain"]["high"]


def test_the_table_is_kept_with_the_choice(store: Store) -> None:
    grid = make_grid(store, dev={BASE: 0.0, BROAD: 0.1, MIXED: 0.2})
    broad, mixed = select(make_plan(), store, grid).read_json("table.json")
    assert (broad["composition"], mixed["composition"]) == (BROAD, MIXED)
    assert mixed["p_adjusted"] == pytest.approx(1 / 2001)  # 2000 flips, none as large
    assert mixed["wins"] + mixed["ties"] + mixed["losses"] == 80
    assert (mixed["p_best"], mixed["regret"], mixed["p_loss"]) == (1, 0, 0)
    assert broad["p_best"] == 0 and broad["regret"] == pytest.approx(0.1, abs=0.02)


def test_the_frozen_parameters_are_the_choices_address(store: Store) -> None:
    grid = make_grid(store, dev={BASE: 0.0, BROAD: 0.1, MIXED: 0.2})
    made = select(make_plan(), store, grid)
    assert select(make_plan(), store, grid).digest == made.digest
    for changed in ({"near": 0.004}, {"max_regression": 0.02}, {"bootstrap": 101}, {"flips": 100}, {"confidence": 0.9}):
        assert select(make_plan(**changed), store, grid).digest != made.digest
    assert made.recipe["selection"]["near"] == 0.005 and made.recipe["seed"] == 0


def test_times_are_part_of_the_address_only_where_a_budget_reads_them(store: Store) -> None:
    grid = make_grid(store, dev={BASE: 0.0, BROAD: 0.1, MIXED: 0.2})
    fast = {("a", r): np.array([1.0]) for r in ("base", "broad")} | {
        ("b", r): np.array([1.0]) for r in ("base", "broad")
    }
    rerank = {("a", "base", 10): np.array([9.0]), ("b", "base", 10): np.array([9.0])}
    one, two = (Cost(retrieve=fast, rerank=rerank, machine="m", digest=digest) for digest in ("one", "two"))
    assert select(make_plan(), store, grid, one).digest == select(make_plan(), store, grid, two).digest
    limited = make_plan()
    limited.applications["b"] = limited.applications["b"].model_copy(update={"budget": Budget(p95_ms=5)})
    made = select(limited, store, grid, one)
    assert made.digest != select(limited, store, grid, two).digest
    assert (made.meta["winner"], made.meta["over_budget"]) == (BROAD, 1)
    assert made.recipe["applications"]["a"]["budget"] == {} and made.recipe["applications"]["b"]["budget"] == {
        "p95_ms": 5
    }


TESTS = {"a": "judgements of a", "b": "judgements of b"}


def test_the_verdict_is_told_in_a_sentence_and_noted(store: Store) -> None:
    grid = make_grid(store, dev={BASE: 0.0, MIXED: 0.2}, test={BASE: 0.0, MIXED: 0.15})
    found = decide(make_plan(), store, grid, select(make_plan(), store, grid), TESTS)
    assert (found.word, found.alpha, found.earlier) == ("SHIP", pytest.approx(0.05), 0)
    assert found.sentence.startswith(f"SHIP {MIXED}: +0.1")
    assert found.overall is not None
    assert found.overall.mean == pytest.approx(0.15, abs=0.02) and found.overall.queries == 80
    assert [look.meta for look in looks(store)] == [found.to_json()]


def test_looking_again_is_free_and_looking_at_something_else_is_not(store: Store) -> None:
    grid = make_grid(store, dev={BASE: 0.0, MIXED: 0.2}, test={BASE: 0.0, MIXED: 0.15})
    first = decide(make_plan(), store, grid, select(make_plan(), store, grid), TESTS)
    assert decide(make_plan(), store, grid, select(make_plan(), store, grid), TESTS) == first
    trained = make_grid(store, dev={BASE: 0.0, MIXED: 0.21}, test={BASE: 0.0, MIXED: 0.16})
    second = decide(make_plan(), store, trained, select(make_plan(), store, trained), TESTS)
    assert (second.earlier, second.alpha) == (1, pytest.approx(0.025))
    lenient = make_plan(max_regression=0.05)  # the same scores by another rule
    third = decide(lenient, store, grid, select(lenient, store, grid), TESTS)
    assert (third.earlier, third.alpha) == (2, pytest.approx(0.0125))


def test_a_winner_that_is_the_incumbent_takes_no_look(store: Store) -> None:
    grid = make_grid(store, dev={BASE: 0.0, MIXED: -0.2})
    found = decide(make_plan(), store, grid, select(make_plan(), store, grid), TESTS)
    assert found.word == "KEEP" and found.sentence.startswith(f"KEEP {BASE}: nothing was better")
    assert looks(store) == []
