"""The report: what was evaluated, chosen and confirmed, as data (report.json, grid.csv), page and note."""

import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import Self

import polars as pl

from mixstage import __version__
from mixstage.evaluation.grid import Grid
from mixstage.evaluation.index_loss import IndexLoss
from mixstage.evaluation.latency import Cost
from mixstage.evaluation.rankings import EVALUATED
from mixstage.insight.analyses import ANALYSES
from mixstage.insight.explain import explain
from mixstage.plan.schema import Plan
from mixstage.plan.stages import Component
from mixstage.plugins import source_digests
from mixstage.report.contents import Contents, Machine, Served, Timed
from mixstage.report.means import composition_means, query_counts, with_forgets
from mixstage.report.training import samples_of, stage_of
from mixstage.selection.bias import Gain
from mixstage.selection.choose import Decision, read_values
from mixstage.selection.forgetting import Flag, Stages, find_forgetting
from mixstage.selection.front import fronts
from mixstage.selection.operating import operating_points
from mixstage.selection.select import TABLE, Against, Choice, confirm, confirm_sharing, decide
from mixstage.selection.sharing import Sharing
from mixstage.selection.verdict import Ruling
from mixstage.store.plain import JsonObject
from mixstage.store.store import Artifact, Store, digest_of
from mixstage.training.curriculum import Curriculum

PAGE = "report.html"
_TEST = "qrels/test.tsv"  # the judgements whose every use on the verdict is counted
_LIBRARIES = ("ray", "torch", "sentence-transformers", "transformers", "faiss-cpu", "bm25s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run ends with: what was chosen on dev, and what test says of it."""

    choice: Decision
    gain: Gain | None  # of the winner on dev queries that did not choose
    verdict: Ruling
    test: dict[str, Against]  # rival's role -> the winner against it
    sharing: Sharing
    forgetting: list[Flag]

    @classmethod
    def from_json(cls, content: JsonObject) -> Self:
        """Out of the object of report.json, see `Contents.to_json`."""
        return cls(
            choice=Decision.from_json(content["choice"]),
            gain=Gain.from_json(content["choice"]["gain"]),
            verdict=Ruling.from_json(content["verdict"]),
            test={role: Against.from_json(rival) for role, rival in content["confirmation"]["test"].items()},
            sharing=Sharing.from_json(content["sharing"]),
            forgetting=[Flag(**flag) for flag in content["forgetting"]],
        )


class Report(Artifact):
    """What was found, as data, page, note and table: report.json, report.html, report.md, grid.csv."""

    kind = "report"
    FORMAT = 8  # raise when the report changes
    __slots__ = ()

    @property
    def outcome(self) -> Outcome:
        """Reads report.json."""
        return Outcome.from_json(self.read_json("report.json"))


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
    plugins = source_digests("analyses", plan.report.analyses, ANALYSES)
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
        **({"analyses": plan.report.analyses} if plan.report.analyses else {}),
        **({"plugins": plugins} if plugins else {}),
        "stages": {part: {name: stage.digest for name, stage in named.items()} for part, named in stages.items()},
    }
    kept = store.find(Report, digest_of(recipe))
    if kept is not None:
        return kept
    means = pl.concat([composition_means(plan, grid, split) for split in EVALUATED])
    chosen, trained = choice.decision, samples_of(store, stages)
    compared = chosen.winner, chosen.incumbent
    why = explain(curriculum.prepared, grid, compared, curriculum.rerankers, trained)
    tests = {name: part.recipe["sha256"][_TEST] for name, part in curriculum.prepared.applications.items()}
    contents = Contents(
        plan=plan,
        choice=chosen,
        gain=choice.gain,
        table=choice.read_json(TABLE),
        verdict=decide(plan, store, grid, choice, tests),
        confirmation={split: confirm(plan, grid, choice, split) for split in EVALUATED},
        why=why.why if why else None,
        sharing=confirm_sharing(plan, grid, choice),
        front=fronts(plan, read_values(plan, grid.table("dev")), cost),
        timed=Timed(machine=cost.machine, queries=cost.queries) if cost else None,
        operating_points=operating_points(plan, store, curriculum.prepared, grid, chosen.winner.retriever) or [],
        digests={"grid": grid.digest, "choice": choice.digest, **({"served": served.digest} if served else {})},
        queries=query_counts(grid),
        pairs=grid.pairs,
        race=grid.race,
        served=[Served(**row) for row in served.read_table("served.parquet").to_pylist()] if served else [],
        forgetting=find_forgetting(plan, store, stages, means.filter(pl.col("split") == "dev")),
        training={part: {name: stage_of(store, named, name) for name in named} for part, named in stages.items()},
        machine=Machine(processor=platform.processor() or platform.machine(), python=platform.python_version()),
        libraries={"mixstage": __version__} | {name: version(name) for name in _LIBRARIES},
    )
    draft = store.draft(Report, recipe)
    draft.text("report.json", json.dumps(contents.to_json(), indent=1, ensure_ascii=False, allow_nan=False))
    draft.text("grid.csv", with_forgets(means, contents.forgetting).write_csv())
    draft.text(PAGE, render_page(contents, means))
    draft.text("report.md", render_note(contents, PAGE))
    for name, table in why.tables.items() if why else ():
        draft.table(name, table.to_arrow())
    return draft.publish({"winner": str(chosen.winner), "plan": plan.name})
