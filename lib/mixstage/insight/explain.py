"""Why the winner differs from the incumbent, in every application, and what clouds that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from mixstage.composition import Composition
from mixstage.corpus.prepare import Prepared
from mixstage.evaluation.grid import Grid
from mixstage.evaluation.rankings import EVALUATED
from mixstage.evaluation.stored_boards import StoredBoards
from mixstage.insight.analyses import find_analyses
from mixstage.insight.confounds import read_traits
from mixstage.insight.leaks import EqualDocuments, Leaks, equal_documents, find_leaks, judged_everywhere
from mixstage.insight.reasons import Case, Reasons, reasons_of, unjudged, won_and_lost
from mixstage.models.checkpoint import Checkpoint
from mixstage.store.plain import Json, plain
from mixstage.training.artifacts import Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The reasons, application by application, and what clouds all of them."""

    winner: Composition
    incumbent: Composition
    applications: dict[str, Reasons]
    won_and_lost: pl.DataFrame  # application and the columns of `win_loss`
    leaks: Leaks
    equal_documents: dict[str, EqualDocuments]  # corpus -> repeated texts

    def to_json(self) -> dict[str, Json]:
        """One object; the table as a list of its rows."""
        kept = ("winner", "incumbent", "applications", "leaks", "equal_documents")
        return {name: plain(getattr(self, name)) for name in kept} | {
            "won_and_lost": plain(self.won_and_lost.to_dicts())
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What was found, and the tables that are kept beside the report, under the names of their files."""

    why: Why
    tables: dict[str, pl.DataFrame]


def explain(
    prepared: Prepared,
    grid: Grid,
    compared: tuple[Composition, Composition],
    rerankers: Mapping[str, Checkpoint],
    trained: Sequence[Samples] = (),
) -> Explanation | None:
    """Why the winner, compared[0], differs from the incumbent, compared[1]; None if what it needs has left the store.
    trained: the samples that stages learned from, whose queries no split may hold.

    Means and intervals are of the test split: those of dev carry the luck of having been chosen there. The lists of
    won and lost queries are of dev: who works on what they show has not seen the test. The labelling queue is of test,
    since its holes cloud the verdict.
    """
    plan = prepared.plan
    analyses = find_analyses(plan)
    boards = StoredBoards.of_grid(prepared, grid, rerankers, compared)
    if boards is None:
        return None
    tables = {split: grid.table(split) for split in EVALUATED}
    judged = judged_everywhere(plan, prepared)
    traits = {name: read_traits(part, prepared.corpora[name]) for name, part in plan.corpora.items()}
    reasons: dict[str, Reasons] = {}
    won: list[pl.DataFrame] = []
    queue: list[pl.DataFrame] = []
    for name in plan.applications:
        test, dev = boards.find(name, "test", pooled=True), boards.find(name, "dev")
        if test is None or dev is None:
            return None
        own = {split: table.filter(pl.col("application") == name) for split, table in tables.items()}
        case = Case(boards=boards, application=name, tables=own, test=test, dev=dev)
        lists = won_and_lost(case), unjudged(case)
        reasons[name] = reasons_of(case, analyses, judged, traits[plan.applications[name].corpus], *lists)
        label = pl.lit(name).alias("application")
        won.append(lists[0].select(label, pl.all()))
        queue.append(lists[1].select(label, pl.all()))
    why = Why(
        winner=compared[0],
        incumbent=compared[1],
        applications=reasons,
        won_and_lost=pl.concat(won),
        leaks=find_leaks(prepared, trained),
        equal_documents={name: equal_documents(corpus) for name, corpus in prepared.corpora.items()},
    )
    return Explanation(why=why, tables={"winloss.parquet": why.won_and_lost, "labelling.parquet": pl.concat(queue)})
