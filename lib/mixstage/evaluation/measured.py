"""The grid at work: candidates scored as they are asked for, compositions measured query by query."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import polars as pl

from mixstage.composition import Composition
from mixstage.corpus.application import read_judgements, read_queries
from mixstage.corpus.prepare import Prepared
from mixstage.evaluation.candidates import Cell, Rankings, Scorer
from mixstage.evaluation.grid import build_board, evaluate_board, evaluated
from mixstage.evaluation.pair_cost import PairCost
from mixstage.measures import parse_measure
from mixstage.plan import Plan

JUDGED = "Judged@10"  # of every composition: whether some are measured on fewer judgements than others
Queries = Mapping[str, AbstractSet[str]]  # application -> ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What every composition of a plan can be measured from."""

    plan: Plan
    prepared: Prepared
    rankings: Rankings
    scorer: Scorer

    def queries(self, *splits: str) -> dict[str, set[str]]:
        """application -> ids of its queries."""
        parts = self.prepared.applications
        return {name: set(read_queries(parts[name], *splits)["query_id"]) for name in self.plan.applications}

    def score(self, cells: Sequence[Cell], queries: Queries) -> Mapping[str, PairCost]:
        """Scores the cells' candidates of these queries, where that is still to do; reranker -> what it cost."""
        return self.scorer.score(cells, queries)

    def table(self, split: str, compositions: Sequence[Composition], queries: Queries | None = None) -> pl.DataFrame:
        """application, composition, query_id and a column a measure, of the judged queries of a split.

        Applications in the plan's order, compositions in theirs, queries by id; queries: unset for all.
        """
        return pl.concat([self._measure(name, split, compositions, queries) for name in self.plan.applications])

    def _measure(
        self, application: str, split: str, compositions: Sequence[Composition], queries: Queries | None
    ) -> pl.DataFrame:
        judgements = evaluated(read_judgements(self.prepared.applications[application], split))
        if queries is not None:
            judgements = judgements.filter(pl.col("query_id").is_in(list(queries[application])))
        asked = judgements.select("query_id").unique()
        rankings = {r: own.join(asked, on="query_id", how="semi") for r, own in self.rankings[application].items()}
        scorer = self.scorer
        board = build_board(rankings, scorer.candidates.tables[application], scorer.scores_of(application), judgements)
        measures = [parse_measure(text) for text in measure_names(self.plan)]
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
