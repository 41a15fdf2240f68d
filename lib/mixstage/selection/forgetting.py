"""Forgetting: where a stage of a curriculum is worse on dev than the stage it came from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from mixstage.measures.measures import parse_measure
from mixstage.models.checkpoint import Checkpoint
from mixstage.plan.schema import Plan
from mixstage.plan.stages import Component
from mixstage.stats import ROUNDING
from mixstage.store.store import Store

_RECALL_DEPTH = 60  # a retriever's job: documents that a reranker can still find
Stages = Mapping[str, Checkpoint]  # stage -> checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A stage that lost more than `selection.max_regression` of one application to a parent."""

    component: Component
    stage: str
    parent: str
    application: str
    measure: str
    before: float  # the parent's mean on dev
    after: float  # the stage's


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where a stage comes from."""

    parents: list[str]  # the named stage it was trained from, or a soup's members; "base" has none
    rounds: list[Checkpoint]  # training runs from there to the stage, oldest first; none of a base or a soup


def lineage(store: Store, stages: Stages, name: str) -> Lineage:
    """Walks up from a stage, through the rounds of a refresh, to the next checkpoint that is a named stage.

    Checkpoints are matched by fingerprint: one that the store took from another plan notes that plan's names and
    addresses, but the same weights. A parent that has left the store ends the walk: no parents.
    """
    known = {stage.digest: stage for stage in stages.values()}
    others = {stages[n].fingerprint: n for n in reversed(list(stages)) if n != name}
    checkpoint: Checkpoint | None = stages[name]
    rounds: list[Checkpoint] = []
    while checkpoint is not None and checkpoint.parent is not None:
        rounds.insert(0, checkpoint)
        parent = checkpoint.parent
        checkpoint = known.get(parent) or store.find(Checkpoint, parent)
        if checkpoint is not None and checkpoint.fingerprint in others:
            return Lineage(parents=[others[checkpoint.fingerprint]], rounds=rounds)
    members = stages[name].recipe.get("of", ())  # of a soup
    return Lineage(parents=[others[member] for member in members if member in others], rounds=rounds)


def find_forgetting(plan: Plan, store: Store, stages: Mapping[Component, Stages], means: pl.DataFrame) -> list[Flag]:
    """Every flag, by component, stage, parent, application. means: `composition_means` of dev.

    A retriever stage is measured alone at the ranking depth, by R@60 or the grid's nearest R@k, else by the
    application's metric; a reranker stage by the application's metric, alone on the deepest candidates of the base
    retriever. Dev means only: a flag is a reason to look, and the stage stays a candidate.
    """
    flags: list[Flag] = []
    for component, named in stages.items():
        rows = _rows(plan, component, means)
        for name in named:
            for parent in lineage(store, named, name).parents:
                flags += _compare(plan, component, rows, name, parent)
    return flags


def forgotten(flags: Sequence[Flag]) -> dict[tuple[Component, str], list[str]]:
    """(component, stage) -> the applications it is flagged for; flagged stages only."""
    losing: dict[tuple[Component, str], list[str]] = {}
    for flag in flags:
        names = losing.setdefault((flag.component, flag.stage), [])
        names += [] if flag.application in names else [flag.application]
    return losing


def _rows(plan: Plan, component: Component, means: pl.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    """(stage, application) -> the row of means that a component's stage is judged by."""
    if component == "retriever":
        at = (pl.col("reranker") == "none") & (pl.col("depth") == plan.grid.ranking_depth)
    else:
        deepest = pl.col("depth") == max(plan.grid.depths)
        at = (pl.col("retriever") == "base") & deepest & (pl.col("mix") == 1)
    return {(row[component], row["application"]): row for row in means.filter(at).iter_rows(named=True)}


def _compare(
    plan: Plan, component: Component, rows: Mapping[tuple[str, str], Mapping[str, Any]], stage: str, parent: str
) -> Iterator[Flag]:
    for application, part in plan.applications.items():
        if (stage, application) not in rows or (parent, application) not in rows:
            continue
        after, before = rows[stage, application], rows[parent, application]
        measure = _measure(component, part.metric, after)
        # 0.50 - 0.49 is 0.010000000000000009, and no more than 0.01
        if before[measure] - after[measure] > plan.selection.max_regression + ROUNDING:
            yield Flag(
                component=component,
                stage=stage,
                parent=parent,
                application=application,
                measure=measure,
                before=before[measure],
                after=after[measure],
            )


def _measure(component: Component, metric: str, columns: Mapping[str, Any]) -> str:
    """The column that decides; of two recalls equally near to 60 the shallower."""
    cutoffs = [int(name[2:]) for name in columns if name.startswith("R@")]
    if component == "reranker" or not cutoffs:
        return str(parse_measure(metric))
    return f"R@{min(sorted(cutoffs), key=lambda k: abs(k - _RECALL_DEPTH))}"
