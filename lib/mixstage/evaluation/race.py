"""The race: rounds over growing samples of the dev queries, in which cells that are surely behind drop out.

A cell is a retriever and a reranker; its depths and mixes cost no further pairs, so it stays whole as long as one of
them does. What is left at the end is scored on all queries of both splits, so that selection compares like with like.

A composition stays in the race while a sample of queries can't tell it from a leader. The bounds are those of the
near-best set (multiple comparisons with the best: Hsu 1984; for races Maron & Moore 1994), each round at
alpha / (rounds - 1), without the cap in metric points: what is dropped is behind, not merely no better.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Protocol, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixstage.composition import UNSCORED, Composition
from mixstage.corpus.hashing import sample_ids
from mixstage.evaluation.candidate_pairs import Cell
from mixstage.evaluation.compositions import Queries, incumbent_of, matrix_of, within_pairs
from mixstage.pairs.cost import NOTHING, PairCost
from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.stats import ROUNDING
from mixstage.stats.bootstrap import Matrices, critical_value, errors_to, weighted
from mixstage.store.plain import Json, JsonObject

ROUNDS = (100, 300, 900, 2700)  # dev queries an application; then all of them
_BASE = "base"
_DROPPED = {"application": pl.String, "composition": pl.String, "n": pl.UInt32}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """S compositions on a sample of queries, and what the plan says of them."""

    matrices: Matrices  # application -> (n, S)
    weights: Mapping[str, float]  # application -> share, summing to 1
    complete: AbstractSet[str]  # applications that have no further queries: their best is known
    incumbent: int  # column
    affordable: NDArray[np.bool_]  # (S,) within every application's budget
    max_regression: float  # metric points
    confidence: float  # of this round's bounds
    draws: int
    seed: int


def standing(field: Field) -> NDArray[np.bool_]:
    """(S,) who is near a leader: the best weighted mean, or the best of an application by itself.

    The best of an application stays because selection names it as well, though it may be behind on the whole; once all
    its queries were scored, its best is known, and a small application holds up no others. The leader on the whole is
    sought among those that surely pass selection's screen, the incumbent at least: what is screened out in the end must
    not have driven out others.
    """
    near = _near(field, field.weights, field.affordable & _surely_eligible(field))
    for name in field.matrices if len(field.matrices) > 1 else ():
        near |= _near(field, {name: 1.0}, field.affordable, chance=name not in field.complete)
    return near


def _near(
    field: Field, weights: Mapping[str, float], leaders: NDArray[np.bool_], *, chance: bool = True
) -> NDArray[np.bool_]:
    """(S,) behind the best of the leaders by no more than chance, in the mean of the named applications.

    Without chance: the best alone, and its equals.
    """
    if not leaders.any():
        return np.ones(len(leaders), dtype=bool)
    matrices = {name: field.matrices[name] for name in weights}
    overall = weighted({name: matrix.mean(axis=0) for name, matrix in matrices.items()}, weights)
    best = int(np.where(leaders, overall, -np.inf).argmax())
    if not chance:
        return np.asarray(overall[best] - overall <= ROUNDING)
    critical = critical_value(
        best,
        np.ones(len(leaders), dtype=bool),
        matrices,
        weights,
        draws=field.draws,
        confidence=field.confidence,
        seed=field.seed,
    )
    band = critical * errors_to(best, matrices, weights)
    return np.asarray(overall[best] - overall <= band + ROUNDING)


def _surely_eligible(field: Field) -> NDArray[np.bool_]:
    """(S,) whose loss to the incumbent is below `max_regression` in every application, by a normal bound."""
    distance = NormalDist().inv_cdf(field.confidence)
    sure = np.ones(len(field.affordable), dtype=bool)
    for matrix in field.matrices.values():
        lead = matrix - matrix[:, [field.incumbent]]
        sure &= lead.mean(axis=0) - distance * lead.std(axis=0) / np.sqrt(len(lead)) >= -field.max_regression
    sure[field.incumbent] = True
    return sure


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceRound:
    """One round of a race."""

    n: int  # dev queries of an application, at most
    compositions: int  # that are scored
    rerankers: int
    pairs: int  # that were asked for
    pairs_scored: int  # of those the ones that the store lacked


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceNotes:
    """What a race did."""

    rounds: list[RaceRound]
    dropped: int  # compositions that dropped out
    saved: float  # share of the grid's pairs that were never needed

    @classmethod
    def from_json(cls, notes: JsonObject) -> Self:
        """As a grid keeps it."""
        return cls(
            rounds=[RaceRound(**counts) for counts in notes["rounds"]], dropped=notes["dropped"], saved=notes["saved"]
        )


@dataclass(slots=True, kw_only=True)
class Race:
    """What is still in the race, and what happened so far."""

    cells: list[Cell]
    rounds: list[RaceRound] = field(default_factory=list)
    tables: list[pl.DataFrame] = field(default_factory=list)  # what dropped out, see `dropped`

    @property
    def dropped(self) -> pl.DataFrame:
        """application, composition, n (queries of the application that it was measured on), each measure's mean."""
        return pl.concat([pl.DataFrame(schema=_DROPPED), *self.tables], how="diagonal")

    def compositions(self, grid: Sequence[Composition]) -> list[Composition]:
        """The compositions of the grid that are left, in its order; the ones that score no pair always stay."""
        return [c for c in grid if c.reranker in UNSCORED or (c.retriever, c.reranker) in self.cells]

    def score(self, track: "Track", grid: Sequence[Composition], queries: Queries, n: int, progress: Progress) -> None:
        """Scores what is left on the named queries; n: how many of an application's dev split they are at most."""
        scored = [composition for composition in self.compositions(grid) if composition.reranker not in UNSCORED]
        rerankers = len({reranker for _, reranker in self.cells})
        progress.say(f"race: {len(scored)} compositions of {rerankers} rerankers, {n} dev queries an application")
        cost = sum(track.score(self.cells, queries).values(), NOTHING)
        counts = RaceRound(
            n=n, compositions=len(scored), rerankers=rerankers, pairs=cost.union, pairs_scored=cost.scored
        )
        self.rounds.append(counts)

    def notes(self, every: int) -> RaceNotes:
        """The rounds, how many compositions dropped out, and the share of `every` pair of the grid never asked for."""
        needed = sum(counts.pairs for counts in self.rounds)
        dropped = self.dropped["composition"].n_unique()
        return RaceNotes(rounds=self.rounds, dropped=dropped, saved=1 - needed / every if every else 0.0)


def race_settings(plan: Plan) -> dict[str, Json]:
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
    """What a race runs on, see `Evaluator`."""

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
    return Field(
        matrices={
            name: matrix_of(table.filter(pl.col("application") == name), part.metric, len(running))
            for name, part in plan.applications.items()
        },
        weights=plan.weights(),
        complete=complete,
        incumbent=running.index(incumbent),
        affordable=np.all([within_pairs(plan, name, running) for name in plan.applications], axis=0),
        max_regression=plan.selection.max_regression,
        confidence=level,
        draws=plan.selection.bootstrap,
        seed=plan.seed,
    )


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
