"""The race: rounds over growing samples of the dev queries, in which cells that are surely behind drop out.

A cell is a retriever and a reranker; its depths and mixes cost no further pairs, so it stays whole as long as one of
them does. What is left at the end is scored on all queries of both splits, so that selection compares like with like.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixstage.composition import UNSCORED, Composition
from mixstage.corpus.application import sample_ids
from mixstage.evaluation.candidates import Cell
from mixstage.evaluation.contenders import incumbent_of, is_affordable
from mixstage.evaluation.measured import Queries
from mixstage.evaluation.pair_cost import NOTHING, PairCost
from mixstage.evaluation.standing import Field, standing
from mixstage.measures import parse_measure
from mixstage.plan import Plan
from mixstage.progress import Progress

ROUNDS = (100, 300, 900, 2700)  # dev queries an application; then all of them
_BASE = "base"
_DROPPED = {"application": pl.String, "composition": pl.String, "n": pl.UInt32}


@dataclass(slots=True, kw_only=True)
class Race:
    """What is still in the race, and what happened so far."""

    cells: list[Cell]
    rounds: list[dict[str, Any]] = field(default_factory=list)  # n, compositions, rerankers, pairs, pairs_scored
    tables: list[pl.DataFrame] = field(default_factory=list)  # what dropped out, see `dropped`

    @property
    def dropped(self) -> pl.DataFrame:
        """application, composition, n (queries of the application that it was measured on), each measure's mean."""
        return pl.concat([pl.DataFrame(schema=_DROPPED), *self.tables], how="diagonal")

    def compositions(self, grid: Sequence[Composition]) -> list[Composition]:
        """Those of the grid that are left, in its order; the ones that score no pair always are."""
        return [c for c in grid if c.reranker in UNSCORED or (c.retriever, c.reranker) in self.cells]

    def score(self, track: "Track", grid: Sequence[Composition], queries: Queries, n: int, progress: Progress) -> None:
        """Scores what is left on the named queries; n: how many of an application's dev split they are at most."""
        scored = [composition for composition in self.compositions(grid) if composition.reranker not in UNSCORED]
        told = {"n": n, "compositions": len(scored), "rerankers": len({reranker for _, reranker in self.cells})}
        progress.say(
            "race: {compositions} compositions of {rerankers} rerankers, {n} dev queries an application".format(**told)
        )
        cost = sum(track.score(self.cells, queries).values(), NOTHING)
        self.rounds.append({**told, "pairs": cost.union, "pairs_scored": cost.scored})

    def notes(self, every: int) -> dict[str, Any]:
        """The rounds, how many compositions dropped out, and the share of `every` pair of the grid never asked for."""
        asked = sum(told["pairs"] for told in self.rounds)
        dropped = self.dropped["composition"].n_unique()
        return {"rounds": self.rounds, "dropped": dropped, "saved": 1 - asked / every if every else 0.0}


def race_settings(plan: Plan) -> dict[str, Any]:
    """What decides who drops out, for the recipe."""
    return {
        "rounds": ROUNDS,
        "selection": plan.selection.model_dump(
            mode="json", include={"incumbent", "max_regression", "bootstrap", "confidence"}
        ),
        "applications": {
            name: part.model_dump(mode="json", include={"metric", "weight", "budget"})
            for name, part in plan.applications.items()
        },
        "seed": plan.seed,
    }


class Track(Protocol):
    """What a race runs on, see `Grid`."""

    def queries(self, *splits: str) -> Queries: ...

    def score(self, cells: Sequence[Cell], queries: Queries) -> Mapping[str, PairCost]: ...

    def table(self, split: str, compositions: Sequence[Composition], queries: Queries) -> pl.DataFrame: ...


def run_race(plan: Plan, track: Track, cells: Sequence[Cell], grid: Sequence[Composition], progress: Progress) -> Race:
    """Runs all rounds; the last scores what is left on every query of both splits.

    grid: the compositions of the cells, and those that score no pair. Raises InputError if the plan's incumbent is not
    among them.
    """
    incumbent = incumbent_of(plan, grid)
    race, dev = Race(cells=list(cells)), track.queries("dev")
    largest = max(len(own) for own in dev.values())
    sizes = [n for n in ROUNDS if n < largest]
    for n in sizes:
        sample = {name: set(sample_ids(set(own), n)) for name, own in dev.items()}
        race.score(track, grid, sample, n, progress)
        running = [composition for composition in race.compositions(grid) if composition.is_servable]
        table = track.table("dev", running, sample)
        complete = {name for name, own in dev.items() if len(own) <= n}
        level = 1 - (1 - plan.selection.confidence) / len(sizes)
        values = _field(plan, running, table, incumbent, complete, level)
        _drop(race, running, table, values)
    race.score(track, grid, track.queries("dev", "test"), largest, progress)
    return race


def _field(
    plan: Plan,
    running: Sequence[Composition],
    table: pl.DataFrame,
    incumbent: Composition,
    complete: AbstractSet[str],
    level: float,
) -> Field:
    total = sum(part.weight for part in plan.applications.values())
    return Field(
        matrices={
            name: _matrix(table.filter(pl.col("application") == name), part.metric, len(running))
            for name, part in plan.applications.items()
        },
        weights={name: part.weight / total for name, part in plan.applications.items()},
        complete=complete,
        incumbent=running.index(incumbent),
        affordable=np.array([is_affordable(plan, composition) for composition in running]),
        max_regression=plan.selection.max_regression,
        confidence=level,
        draws=plan.selection.bootstrap,
        seed=plan.seed,
    )


def _matrix(rows: pl.DataFrame, metric: str, compositions: int) -> NDArray[np.float64]:
    """(n, S): a row a query, compositions in the table's order."""
    return rows[str(parse_measure(metric))].to_numpy().reshape(compositions, -1).T


def _drop(race: Race, running: Sequence[Composition], table: pl.DataFrame, values: Field) -> None:
    """Takes cells out of the race by one round's table, and keeps their means."""
    stay = {(c.retriever, c.reranker) for c, stays in zip(running, standing(values), strict=True) if stays}
    stay |= companions(stay, running[values.incumbent]) | rivals(values, running)
    left = [cell for cell in race.cells if cell in stay]
    gone = {str(c) for c in running if (c.retriever, c.reranker) in set(race.cells) - set(left)}
    race.cells = left
    race.tables.append(
        table.filter(pl.col("composition").is_in(list(gone)))
        .group_by("application", "composition", maintain_order=True)
        .agg(pl.len().alias("n"), pl.exclude("query_id").mean())
    )


def companions(stay: AbstractSet[Cell], incumbent: Composition) -> set[Cell]:
    """Cells that explain those that stay: theirs with one part of the incumbent's, and each reranker on the base's
    candidates, where stages are compared."""
    others = {(first, reranker) for _, reranker in stay for first in (_BASE, incumbent.retriever)}
    return others | {(retriever, incumbent.reranker) for retriever, _ in stay}


def rivals(values: Field, running: Sequence[Composition]) -> set[Cell]:
    """Cells that selection compares the winner with: the incumbent's, base + base, the best of one stage in both."""
    incumbent = running[values.incumbent]
    overall = sum(values.weights[name] * matrix.mean(axis=0) for name, matrix in values.matrices.items())
    uniform = np.array([c.is_uniform for c in running])
    cells = {(incumbent.retriever, incumbent.reranker), (_BASE, _BASE)}
    if uniform.any():
        best = running[int(np.where(uniform, overall, -np.inf).argmax())]
        cells.add((best.retriever, best.reranker))
    return cells
