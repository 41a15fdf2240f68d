"""Phase 3: rankings and pair scores become the grid, one table of per-query measures for each split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import polars as pl

from mixstage.composition import Composition
from mixstage.corpus.application import read_judgements, read_queries
from mixstage.corpus.prepare import Prepared
from mixstage.evaluation.board import build_board, evaluate_board
from mixstage.evaluation.candidate_pairs import Cell, Rankings, Scorer, find_candidates
from mixstage.evaluation.compositions import Queries, compositions, evaluated
from mixstage.evaluation.race import RaceNotes, race_settings, run_race
from mixstage.evaluation.rankings import EVALUATED, Key, Ranking, read_ranking
from mixstage.measures.measures import parse_measure
from mixstage.models.checkpoint import Checkpoint
from mixstage.pairs.cost import NOTHING, GridCost, PairCost
from mixstage.plan.schema import Plan
from mixstage.store.plain import Json, plain
from mixstage.store.store import Artifact, Draft

DROPPED = "dropped.parquet"  # of a raced grid: means of the compositions that dropped out
JUDGED = "Judged@10"  # of every composition: whether some are measured on fewer judgements than others


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """Measures compositions of a plan from rankings and from pair scores, which it computes when they are needed."""

    prepared: Prepared
    rankings: Rankings
    scorer: Scorer

    def queries(self, *splits: str) -> dict[str, set[str]]:
        """application -> ids of its queries."""
        parts = self.prepared.applications
        return {name: set(read_queries(parts[name], *splits)["query_id"]) for name in self.prepared.plan.applications}

    def score(self, cells: Sequence[Cell], queries: Queries) -> Mapping[str, PairCost]:
        """Scores the cells' candidates of these queries, where that is still to do; reranker -> what it cost."""
        return self.scorer.score(cells, queries)

    def table(self, split: str, compositions: Sequence[Composition], queries: Queries | None = None) -> pl.DataFrame:
        """application, composition, query_id and a column a measure, of the judged queries of a split.

        Applications in the plan's order, compositions in theirs, queries by id; queries: unset for all.
        """
        return pl.concat(
            [self._measure(name, split, compositions, queries) for name in self.prepared.plan.applications]
        )

    def _measure(
        self, application: str, split: str, compositions: Sequence[Composition], queries: Queries | None
    ) -> pl.DataFrame:
        judgements = evaluated(read_judgements(self.prepared.applications[application], split))
        if queries is not None:
            judgements = judgements.filter(pl.col("query_id").is_in(list(queries[application])))
        queried = judgements.select("query_id").unique()
        rankings = {r: own.join(queried, on="query_id", how="semi") for r, own in self.rankings[application].items()}
        scorer = self.scorer
        board = build_board(rankings, scorer.candidates.tables[application], scorer.scores_of(application), judgements)
        measures = [parse_measure(text) for text in measure_names(self.prepared.plan)]
        frames = []
        for composition, values in evaluate_board(board, compositions, measures):
            columns = {str(measure): values[:, m] for m, measure in enumerate(measures)}
            names = (pl.lit(application).alias("application"), pl.lit(str(composition)).alias("composition"))
            frames.append(pl.DataFrame({"query_id": board.query_ids, **columns}).select(*names, pl.all()))
        return pl.concat(frames)


def measure_names(plan: Plan) -> list[str]:
    """The grid's measures, every application's own and JUDGED, under their canonical names, without repeats."""
    named = [*plan.grid.measures, *(part.metric for part in plan.applications.values()), JUDGED]
    return list(dict.fromkeys(str(parse_measure(text)) for text in named))


class Grid(Artifact):
    """Per-query measures of compositions: dev.parquet and test.parquet, DROPPED where they raced."""

    kind = "grid"
    FORMAT = 5  # raise when the tables or the notes change
    __slots__ = ()

    @classmethod
    def recipe_of(
        cls, plan: Plan, rankings: Mapping[Key, Ranking], rerankers: Mapping[str, Checkpoint]
    ) -> dict[str, Json]:
        return {
            "what": "grid",
            "format": cls.FORMAT,
            "rankings": {"/".join(key): ranking.digest for key, ranking in rankings.items()},
            "rerankers": {name: checkpoint.fingerprint for name, checkpoint in rerankers.items()},
            "grid": plan.grid.model_dump(mode="json"),
            "measures": measure_names(plan),
            **({"race": race_settings(plan)} if plan.grid.race else {}),
        }

    @property
    def rankings(self) -> dict[Key, str]:
        """(application, retriever) -> digest of the ranking that it was computed from."""
        pairs = (key.split("/", 1) for key in self.recipe.get("rankings", {}))
        return {(name, retriever): self.recipe["rankings"][f"{name}/{retriever}"] for name, retriever in pairs}

    @property
    def compositions(self) -> int:
        """How many it holds."""
        return int(self.meta["compositions"])

    @property
    def pairs(self) -> GridCost:
        """What scoring cost."""
        return GridCost.from_json(self.meta["pairs"])

    def table(self, split: str) -> pl.DataFrame:
        """application, composition, query_id and a column a measure: of every composition, each with all queries."""
        return pl.DataFrame(self.read_table(f"{split}.parquet"))

    @property
    def race(self) -> RaceNotes | None:
        """What the race did; None without one."""
        race = self.meta.get("race")
        return RaceNotes.from_json(race) if race else None


def evaluate_grid(prepared: Prepared, rankings: Mapping[Key, Ranking], rerankers: Mapping[str, Checkpoint]) -> Grid:
    """The grid of a plan: application, composition, query_id and a column a measure, a table a split.

    With `grid.race` both tables hold the compositions that were left, all of them on all queries; means of the others,
    on the n queries that they had until then, are in DROPPED.
    """
    plan = prepared.plan
    return prepared.store.made(
        Grid, Grid.recipe_of(plan, rankings, rerankers), partial(_evaluate, prepared, rankings, rerankers)
    )


def _evaluate(
    prepared: Prepared, rankings: Mapping[Key, Ranking], rerankers: Mapping[str, Checkpoint], draft: Draft[Grid]
) -> Grid:
    plan = prepared.plan
    retrievers = list(dict.fromkeys(retriever for _, retriever in rankings))
    frames = {name: {r: read_ranking(rankings[name, r]) for r in retrievers} for name in plan.applications}
    candidates = find_candidates(prepared, frames)
    scorer = Scorer(prepared=prepared, rerankers=rerankers, candidates=candidates)
    evaluator = Evaluator(prepared=prepared, rankings=frames, scorer=scorer)
    cells, rows = list(product(retrievers, rerankers)), compositions(plan.grid, retrievers, list(rerankers))
    notes: dict[str, Json] = {}
    if plan.grid.race:
        race = run_race(plan, evaluator, cells, rows, prepared.progress)
        rows = race.compositions(rows)
        notes = {"race": plain(race.notes(len(candidates.pairs) * len(rerankers)))}
        draft.table(DROPPED, race.dropped.to_arrow())
    else:
        evaluator.score(cells, evaluator.queries(*EVALUATED))
    for split in EVALUATED:
        draft.table(f"{split}.parquet", evaluator.table(split, rows).to_arrow())
    return draft.publish({"compositions": len(rows), "pairs": grid_cost(scorer).to_json(), **notes})


def grid_cost(scorer: Scorer) -> GridCost:
    """What scoring cost: all rerankers together, seconds of waiting instead of work; each reranker by itself."""
    together = replace(sum(scorer.costs.values(), NOTHING), seconds=round(scorer.seconds, 1))
    return GridCost(all=together, rerankers=dict(scorer.costs))
