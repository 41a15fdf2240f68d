"""The time of an answer: sums by hand, a clock that ticks when told, the walk on models that cost nothing."""

from pathlib import Path

import numpy as np
import pytest

from mixstage.composition import Composition
from mixstage.evaluation.latency import Cost, Latencies
from mixstage.evaluation.latency_worker import LEAST, time_each
from mixstage.pipeline import Pipeline
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import GridPlan
from mixstage.progress import Progress
from mixstage.store.store import Store

GRID = GridPlan.model_validate({"fusions": {"both": {"of": ["base", "bm25"]}}})
COST = Cost(
    retrieve={("a", "base"): np.array([4.0, 6.0]), ("a", "bm25"): np.array([1.0, 2.0])},
    rerank={("a", "refine", 20): np.array([100.0, 50.0])},
    machine="m",
    digest="d",
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("retriever:base@60 > none@10", [4, 6]),
        ("bm25@20 > reranker:refine@10", [101, 52]),
        ("retriever:both@20 > none@10", [5, 8]),  # a fusion asks both
        ("retriever:both@20 > 0.5*reranker:refine@10", [105, 58]),
    ],
)
def test_a_composition_costs_its_parts_query_by_query(name: str, expected: list[float]) -> None:
    assert COST.of(GRID, "a", Composition.parse(name)).tolist() == expected


def test_quantiles_are_those_of_the_sums() -> None:
    one = Composition.parse("retriever:both@20 > reranker:refine@10")
    assert COST.quantiles(GRID, "a", [one], 0.5).tolist() == [81.5]
    assert COST.quantiles(GRID, "a", [one, one], 0.95) == pytest.approx([58 + 0.95 * 47] * 2)


class Work:
    """Steps that take what they are told to, on a clock of their own; the first query of all is slow."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[tuple[str, int]] = []

    def step(self, name: str, seconds: float) -> object:
        def work(number: int) -> None:
            self.now += seconds if self.asked else 60.0
            self.asked.append((name, number))

        return work

    def clock(self) -> float:
        return self.now


def test_each_step_is_timed_for_every_query_after_a_round_that_is_not() -> None:
    work = Work()
    steps = {"x": work.step("x", 0.25), "y": work.step("y", 0.5)}
    times = time_each(steps, 3, seconds=100, clock=work.clock)
    assert {key: taken.tolist() for key, taken in times.items()} == {"x": [250, 250], "y": [500, 500]}
    assert work.asked == [("x", 0), ("y", 0), ("x", 1), ("y", 1), ("x", 2), ("y", 2)]


def test_time_that_is_up_ends_after_a_whole_round_but_not_before_enough_queries() -> None:
    work = Work()
    times = time_each({"x": work.step("x", 1.0), "y": work.step("y", 1.0)}, 30, seconds=13, clock=work.clock)
    assert {len(taken) for taken in times.values()} == {7}  # at 12 s the seventh round begins, at 14 s none does
    work = Work()
    assert time_each({"x": work.step("x", 1.0)}, 1, seconds=9, clock=work.clock)["x"].tolist() == [1000]  # the only one
    work = Work()
    assert len(time_each({"x": work.step("x", 9.0)}, 30, seconds=1, clock=work.clock)["x"]) == LEAST


def test_the_walk_times_every_component_once_and_finds_the_times_again(ray_cluster: None, tmp_path: Path) -> None:
    plan = parse_plan(
        {
            "name": "timed",
            "store": str(tmp_path),
            "corpora": {"statutes": {"source": "sample://statutes"}},
            "applications": {
                "counsel": {"corpus": "statutes", "source": "sample://counsel", "queries": {"dev": 6, "test": 6}},
                "drafting": {"corpus": "statutes", "source": "sample://drafting", "queries": {"dev": 4, "test": 4}},
            },
            "retriever": {"base": "hashing://64"},
            "reranker": {"base": "hashing://64"},
            "grid": {"depths": [5, 10], "ranking_depth": 20, "fusions": {"both": {"of": ["base", "bm25"]}}},
        }
    )
    cost = Pipeline(plan, Store(str(tmp_path)), Progress()).cost
    assert set(cost.retrieve) == {(a, r) for a in ("counsel", "drafting") for r in ("base", "bm25")}
    assert set(cost.rerank) == {(a, "base", d) for a in ("counsel", "drafting") for d in (5, 10)}
    assert {len(times) for (a, _), times in cost.retrieve.items() if a == "drafting"} == {3}  # of 4 one warms up
    assert all((times > 0).all() for times in [*cost.retrieve.values(), *cost.rerank.values()])
    fused = Composition.parse("retriever:both@10 > reranker:base@10")
    parts = [cost.retrieve["counsel", "base"], cost.retrieve["counsel", "bm25"], cost.rerank["counsel", "base", 10]]
    assert cost.of(plan.grid, "counsel", fused) == pytest.approx(sum(parts))
    again = Pipeline(plan, Store(str(tmp_path)), Progress()).cost
    assert again.digest == cost.digest and len(list(Store(str(tmp_path)).all(Latencies))) == 1
