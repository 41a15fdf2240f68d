"""The report: what was evaluated, chosen and confirmed, as data (report.json, grid.csv), page and note."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import polars as pl

from mixstage import __version__
from mixstage.composition import Composition
from mixstage.evaluation.grid import Grid
from mixstage.evaluation.index_loss import IndexLoss
from mixstage.evaluation.latency import Cost
from mixstage.evaluation.rankings import EVALUATED
from mixstage.insight.explain import explain
from mixstage.models.checkpoint import Checkpoint
from mixstage.plan.schema import Plan
from mixstage.plan.stages import Component
from mixstage.report.means import _query_counts, composition_means, with_forgets
from mixstage.selection.choose import read_values
from mixstage.selection.forgetting import Stages, find_forgetting, lineage
from mixstage.selection.front import fronts
from mixstage.selection.operating import operating_points
from mixstage.selection.select import TABLE, Choice, confirm, confirm_sharing, decide
from mixstage.store.store import Artifact, Store, digest_of
from mixstage.training.artifacts import Samples
from mixstage.training.curriculum import Curriculum

PAGE = "report.html"
_TEST = "qrels/test.tsv"  # the judgements whose every use on the verdict is counted
_LEDGER = "negatives.parquet"
_SUSPECTS = 5  # of each ledger, shown
_LIBRARIES = ("ray", "torch", "sentence-transformers", "transformers", "faiss-cpu", "bm25s")


class Report(Artifact):
    """What was found, as data, page, note and table: report.json, report.html, report.md, grid.csv."""

    kind = "report"
    FORMAT = 7  # raise when the report changes
    __slots__ = ()


def write_report(
    plan: Plan,
    store: Store,
    grid: Grid,
    choice: Choice,
    curriculum: Curriculum,
    served: IndexLoss | None,
    cost: Cost | None = None,
) -> Report:
    """The report artifact. Test scores are read here and nowhere before: the choice is published already.

    served: what the served index costs, None if exact search is served. cost: what an answer takes, None if nothing
    was timed.
    """
    from mixstage.report.note import render_note
    from mixstage.report.page.page import render_page  # loads the plotting library, which other jobs have no use for

    stages: dict[Component, Stages] = {"retriever": curriculum.retrievers, "reranker": curriculum.rerankers}
    recipe = {
        "what": "report",
        "format": Report.FORMAT,
        "grid": grid.digest,
        "choice": choice.digest,
        "seed": plan.seed,
        "plan": plan.name,
        "served": served.digest if served else None,
        "cost": cost.digest if cost else None,
        "operating_points": {name: part.operating_points for name, part in plan.applications.items()},
        "confounds": {name: part.confound for name, part in plan.corpora.items()},
        "stages": {part: {name: stage.digest for name, stage in named.items()} for part, named in stages.items()},
    }
    found = store.find(Report, digest_of(recipe))
    if found is not None:
        return found
    means = pl.concat([composition_means(plan, grid, split) for split in EVALUATED])
    flags = find_forgetting(plan, store, stages, means.filter(pl.col("split") == "dev"))
    tests = {name: made.recipe["sha256"][_TEST] for name, made in curriculum.prepared.applications.items()}
    compared = Composition.parse(choice.meta["winner"]), Composition.parse(choice.meta["rivals"]["incumbent"])
    points = operating_points(plan, store, curriculum.prepared, grid, compared[0].retriever)
    dev = read_values(plan, grid.table("dev"))
    trained = _samples(store, stages)
    why = explain(plan, store, curriculum.prepared, grid, compared, curriculum.rerankers, trained)
    report = {
        "plan": plan.resolved(),
        "choice": choice.meta,
        "table": choice.read_json(TABLE),
        "verdict": decide(plan, store, grid, choice, tests),
        "confirmation": {split: confirm(plan, grid, choice, split) for split in EVALUATED},
        "why": why.data if why else None,
        "sharing": confirm_sharing(plan, grid, choice),
        "front": fronts(plan, dev, cost),
        "timed": {"machine": cost.machine, "queries": cost.queries} if cost else None,
        "operating_points": points or [],
        "digests": {"grid": grid.digest, "choice": choice.digest, **({"served": served.digest} if served else {})},
        "queries": _query_counts(grid),
        "pairs": grid.pairs,
        "race": grid.race,
        "served": served.read_table("served.parquet").to_pylist() if served else [],
        "forgetting": [flag.to_json() for flag in flags],
        "training": {part: {name: _training(store, named, name) for name in named} for part, named in stages.items()},
        "machine": {"processor": platform.processor() or platform.machine(), "python": platform.python_version()},
        "libraries": {"mixstage": __version__} | {name: version(name) for name in _LIBRARIES},
    }
    draft = store.draft(Report, recipe)
    draft.text("report.json", json.dumps(report, indent=1, ensure_ascii=False))
    draft.text("grid.csv", with_forgets(means, flags).write_csv())
    draft.text(PAGE, render_page(report, means))
    draft.text("report.md", render_note(report, PAGE))
    for name, table in why.tables.items() if why else ():
        draft.table(name, table.to_arrow())
    return draft.publish({"winner": choice.meta["winner"], "plan": plan.name})


def _training(store: Store, stages: Stages, name: str) -> dict[str, Any]:
    """Where a stage comes from and what each of its training runs learned from."""
    checkpoint, line = stages[name], lineage(store, stages, name)
    return {
        "checkpoint": checkpoint.digest,
        "fingerprint": checkpoint.fingerprint,
        "parents": line.parents,
        "soup": checkpoint.soup,
        "adapter": checkpoint.adapter,
        "rounds": [_round(store, trained) for trained in line.rounds],
    }


def _samples(store: Store, stages: Mapping[Component, Stages]) -> list[Samples]:
    """All samples that stages learned from, as far as the store still has them."""
    rounds = [one for named in stages.values() for name in named for one in lineage(store, named, name).rounds]
    digests = dict.fromkeys(one.samples for one in rounds if one.samples is not None)
    found = [store.find(Samples, digest) for digest in digests]
    return [samples for samples in found if samples is not None]


def _round(store: Store, checkpoint: Checkpoint) -> dict[str, Any]:
    """A training run: its samples' notes (None if they left the store), ledger, loss curve, dev scores, kept step."""
    samples = store.find(Samples, checkpoint.samples) if checkpoint.samples else None
    mined = samples is not None and samples.meta.get("mining") and _LEDGER in samples.files
    return {
        "samples": samples.meta if samples else None,
        "ledger": _ledger(store, samples) if samples and mined else None,
        "curve": checkpoint.curve,
        "measured": checkpoint.measured,
        "step": checkpoint.step,
    }


def _ledger(store: Store, samples: Samples) -> dict[str, Any]:
    """Where the ledger lies, its number of suspects, and those that score highest above the positive."""
    rows = pl.DataFrame(samples.read_table(_LEDGER)).filter(pl.col("use") == "suspect")
    first = rows.sort("margin", "query_id", "doc_id", nulls_last=True).head(_SUSPECTS)
    return {
        "path": f"{store.uri.rstrip('/')}/{samples.kind}/{samples.digest}/{_LEDGER}",
        "suspects": len(rows),
        "first": first.select("source", "query_id", "doc_id", "miner", "rank", "score", "positive_score").to_dicts(),
    }
