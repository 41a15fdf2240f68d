"""The race in worlds made for it: the best stays, scoring is saved, and who is left has the full grid's values."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from mixstage.composition import Composition
from mixstage.errors import InputError
from mixstage.evaluation.candidate_pairs import Cell
from mixstage.evaluation.compositions import Queries, compositions
from mixstage.evaluation.race import Race, RaceNotes, RaceRound, companions, run_race
from mixstage.pairs.cost import PairCost
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import GridPlan, Plan
from mixstage.progress import Progress

STAGES = ["base", "one", "two", "three", "four"]
DEPTHS = (10, 20)
GRID = compositions(GridPlan(depths=DEPTHS, mix=(), ranking_depth=20), STAGES, STAGES)
CELLS = [(retriever, reranker) for retriever in STAGES for reranker in STAGES]
LISTED = 20  # candidates of a retriever for a query, none of them another's


class World:
    """Two applications whose values are a cell's quality, which differs a little between them, and noise."""

    def __init__(self, seed: int, dev: Mapping[str, int]) -> None:
        generator = np.random.default_rng(seed)
        self.asked: set[tuple[str, str, str]] = set()  # cell and query
        quality = {cell: generator.normal(0, 0.02) for cell in CELLS}
        parts = {name: generator.normal(0, 0.03, (2, len(STAGES))) for name in ("retriever", "reranker")}
        self.dev = {name: [f"{name}{i:04d}" for i in range(n)] for name, n in dev.items()}
        self.values: dict[str, dict[Composition, np.ndarray]] = {}
        for number, (name, queries) in enumerate(self.dev.items()):
            n, own = len(queries), self.values.setdefault(name, {})
            easy = generator.normal(0.5, 0.2, n)
            noise = {stage: generator.normal(0, 0.1, (2, n)) for stage in STAGES}
            for one in GRID:
                first, second = STAGES.index(one.retriever), STAGES.index(one.reranker) if one.pairs else -1
                mean = parts["retriever"][0, first] + 0.3 * parts["retriever"][number, first]
                value = easy + mean + noise[one.retriever][0] + generator.normal(0, 0.03, n) + one.depth / 1000
                if one.pairs:
                    value += quality[one.retriever, one.reranker] + noise[one.reranker][1]
                    value += parts["reranker"][0, second] + 0.3 * parts["reranker"][number, second] + 0.05
                own[one] = value

    def queries(self, *splits: str) -> Queries:
        return {name: set(ids) for name, ids in self.dev.items()}

    def score(self, cells: Sequence[Cell], queries: Queries) -> Mapping[str, PairCost]:
        """Counts what no earlier call asked for; a cell's candidates are its own."""
        costs: dict[str, PairCost] = {}
        for retriever, reranker in cells:
            new = {(retriever, reranker, query) for own in queries.values() for query in own} - self.asked
            self.asked |= new
            count = LISTED * len(new)
            cost = PairCost(naive=count, union=count, found=0, scored=count, tokens=0, seconds=0)
            costs[reranker] = costs[reranker] + cost if reranker in costs else cost
        return costs

    def table(self, split: str, rows: Sequence[Composition], queries: Queries) -> pl.DataFrame:
        """Values of scored queries only."""
        frames = []
        for name, ids in self.dev.items():
            places = [place for place, query in enumerate(ids) if query in queries[name]]
            for one in rows:
                needed = {(one.retriever, one.reranker, ids[place]) for place in places}
                assert not one.pairs or needed <= self.asked, f"{one} was not scored"
                columns = {"query_id": [ids[place] for place in places], "nDCG@10": self.values[name][one][places]}
                names = (pl.lit(name).alias("application"), pl.lit(str(one)).alias("composition"))
                frames.append(pl.DataFrame(columns).select(*names, pl.all()))
        return pl.concat(frames)

    def means(self, name: str) -> dict[Composition, float]:
        return {one: float(values.mean()) for one, values in self.values[name].items() if one.is_servable}

    @property
    def every_pair(self) -> int:
        return LISTED * len(CELLS) * sum(map(len, self.dev.values()))


def make_plan(**selection: object) -> Plan:
    return parse_plan(
        {
            "name": "t",
            "corpora": {"c": {"source": "x"}},
            "applications": {"a": {"corpus": "c", "source": "x"}, "b": {"corpus": "c", "source": "x"}},
            "retriever": {"stages": {name: {} for name in STAGES[1:]}},
            "reranker": {"stages": {name: {"mine": {"miners": ["bm25"]}} for name in STAGES[1:]}},
            "grid": {"depths": list(DEPTHS), "mix": [], "ranking_depth": 20, "race": True},
            "selection": {"bootstrap": 200, **selection},
        }
    )


@pytest.fixture
def progress() -> Progress:
    return Progress(Console(file=io.StringIO(), width=200))


def run(world: World, progress: Progress, plan: Plan | None = None) -> Race:
    return run_race(plan or make_plan(), world, CELLS, GRID, progress)


def best(means: Mapping[Composition, float]) -> Composition:
    return max(means, key=lambda one: means[one])


@pytest.mark.parametrize("smaller", [350, 90])  # 90: all asked in the first round
def test_the_best_is_never_dropped_and_scoring_is_saved(progress: Progress, smaller: int) -> None:
    saved = []
    for seed in range(20):
        world = World(seed, {"a": 700, "b": smaller})
        race = run(world, progress)
        left = set(race.compositions(GRID))
        own = [world.means(name) for name in world.dev]
        assert best({one: sum(means[one] for means in own) for one in own[0]}) in left, seed
        assert all(best(means) in left for means in own), seed
        saved.append(race.notes(world.every_pair).saved)
    assert np.mean(saved) > 0.5  # of the pairs of the whole grid


@pytest.fixture(scope="module")
def raced() -> tuple[World, Race]:
    world = World(1, {"a": 700, "b": 350})
    return world, run(world, Progress(Console(file=io.StringIO())))


def test_rounds_grow_and_say_what_they_scored(raced: tuple[World, Race]) -> None:
    world, race = raced
    rounds = race.notes(world.every_pair).rounds
    assert [counts.n for counts in rounds] == [100, 300, 700]
    assert replace(rounds[0], pairs=0, pairs_scored=0) == RaceRound(
        n=100, compositions=2 * 25, rerankers=5, pairs=0, pairs_scored=0
    )
    assert rounds[0].pairs == LISTED * 25 * 200
    cells = len(race.cells)
    assert rounds[2].compositions == 2 * cells
    # cells that are left: the queries of a and b beyond 300
    assert rounds[2].pairs == rounds[2].pairs_scored == LISTED * cells * (400 + 50)
    assert sum(counts.pairs for counts in rounds) == LISTED * len(world.asked)


def test_what_dropped_out_keeps_its_means_and_their_n(raced: tuple[World, Race]) -> None:
    world, race = raced
    left, dropped = set(map(str, race.compositions(GRID))), race.dropped
    names = set(dropped["composition"])
    assert not names & left and len(names) + len(left) == len(GRID)
    assert race.notes(world.every_pair).dropped == len(names)
    assert set(dropped["n"]) == {100, 300}
    for application, name, n, mean in dropped.select("application", "composition", "n", "nDCG@10").iter_rows():
        ids = world.dev[application]
        sample = sorted(ids, key=lambda query: hashlib.sha256(query.encode()).digest())[:n]
        values = world.values[application][Composition.parse(name)]
        assert mean == pytest.approx(values[[ids.index(query) for query in sample]].mean())


def test_the_last_round_and_the_table_leave_out_none_that_scores_no_pair(raced: tuple[World, Race]) -> None:
    _, race = raced
    bare = [one for one in GRID if not one.pairs]
    assert [one for one in race.compositions(GRID) if not one.pairs] == bare and len(bare) == 2 * 5 * 2


def test_the_rivals_of_the_winner_stay(progress: Progress) -> None:
    for seed in range(4):
        world = World(seed, {"a": 700, "b": 700})
        for name in world.dev:
            for one in GRID:
                if one.retriever in ("base", "one") and one.pairs:
                    world.values[name][one] -= 0.5  # so that no bound would keep them
        race = run(world, progress, make_plan(incumbent="retriever:one@10 > reranker:two@10"))
        assert {("one", "two"), ("base", "base")} <= set(race.cells)
        own = [world.means(name) for name in world.dev]
        uniform = {one: sum(means[one] for means in own) for one in own[0] if one.is_uniform}
        top = best(uniform)
        assert (top.retriever, top.reranker) in race.cells


def test_those_that_stay_bring_the_corners_that_explain_them() -> None:
    scored = Composition(retriever="one", depth=10, reranker="two")
    together = companions({("three", "four"), ("five", "none")}, scored)
    assert together == {
        ("base", "four"),  # where rerankers are compared
        ("one", "four"),  # the incumbent's retriever
        ("three", "two"),  # the incumbent's reranker
        ("base", "none"),
        ("one", "none"),
        ("five", "two"),
    }


def test_few_queries_are_no_race(progress: Progress) -> None:
    world = World(0, {"a": 100, "b": 30})
    race = run(world, progress)
    assert [counts.n for counts in race.rounds] == [100]
    assert (race.cells, race.compositions(GRID)) == (CELLS, GRID)
    assert race.dropped.is_empty() and race.dropped.columns == ["application", "composition", "n"]
    assert race.notes(world.every_pair) == RaceNotes(rounds=race.rounds, dropped=0, saved=0.0)


def test_an_incumbent_that_is_not_in_the_grid_is_refused_before_it_costs(progress: Progress) -> None:
    world = World(0, {"a": 200, "b": 200})
    with pytest.raises(InputError, match="not in the grid"):
        run(world, progress, make_plan(incumbent="retriever:one@10 > 0.5*reranker:two@10"))
    assert not world.asked
