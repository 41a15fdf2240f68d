"""Everything that the report says about the reason why, from the published choice."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from mixstage.composition import Composition
from mixstage.corpus.prepare import Prepared
from mixstage.evaluation.measured import JUDGED
from mixstage.evaluation.rankings import SPLITS as EVALUATED
from mixstage.insight.anova import analyse
from mixstage.insight.attribution import Values
from mixstage.insight.confounds import measure_confounds, rank_without_query, read_traits
from mixstage.insight.duplicates import equal_documents
from mixstage.insight.evidence import Evidence, Sources, gather, open_sources
from mixstage.insight.examples import examples
from mixstage.insight.holes_effect import hole_correlation
from mixstage.insight.leaks import find_leaks, judged_everywhere, shared_documents
from mixstage.insight.sides import gap_parts, losses, unjudged, validity, values_of, won_and_lost
from mixstage.insight.stage_curves import component_curves, deepest_recall
from mixstage.insight.union_bound import union_bound
from mixstage.measures import parse_measure
from mixstage.plan import Plan
from mixstage.store import Artifact, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What was found, as plain data, and as tables under the names of their files."""

    data: dict[str, Any]  # JSON-serialisable
    tables: dict[str, pl.DataFrame]


def explain(
    plan: Plan,
    store: Store,
    prepared: Prepared,
    grid: Artifact,
    compared: tuple[Composition, Composition],
    rerankers: Mapping[str, Artifact],
    trained: Sequence[Artifact] = (),
) -> Explanation | None:
    """Why the winner, compared[0], differs from the incumbent, compared[1]; None if what it needs has left the store.
    trained: the samples that stages learned from, whose queries no split may hold.

    Means and intervals are of the test split: those of dev carry the luck of having been chosen there. The lists of
    won and lost queries are of dev: who works on what they show has not seen the test. The labelling queue is of test,
    since its holes cloud the verdict.
    """
    sources = open_sources(plan, store, prepared, grid, compared, rerankers)
    if sources is None:
        return None
    tables = {split: pl.DataFrame(grid.read_table(f"{split}.parquet")) for split in EVALUATED}
    judged = judged_everywhere(plan, prepared)
    traits = {name: read_traits(part, prepared.corpora[name]) for name, part in plan.corpora.items()}
    data: dict[str, Any] = {}
    won: list[pl.DataFrame] = []
    queue: list[pl.DataFrame] = []
    for name in plan.applications:
        own = {split: table.filter(pl.col("application") == name) for split, table in tables.items()}
        found = _application(sources, name, own, judged, traits[plan.applications[name].corpus])
        if found is None:
            return None
        tell = pl.lit(name).alias("application")
        data[name] = found.data
        won.append(found.tables["winloss"].select(tell, pl.all()))
        queue.append(found.tables["labelling"].select(tell, pl.all()))
    return Explanation(
        data={
            "winner": str(compared[0]),
            "incumbent": str(compared[1]),
            "applications": data,
            "won_and_lost": pl.concat(won).to_dicts(),
            "leaks": find_leaks(prepared, trained),
            "equal_documents": {name: asdict(equal_documents(part)) for name, part in prepared.corpora.items()},
        },
        tables={"winloss.parquet": pl.concat(won), "labelling.parquet": pl.concat(queue)},
    )


def _application(
    sources: Sources, name: str, rows: Mapping[str, pl.DataFrame], judged: pl.DataFrame, traits: pl.DataFrame
) -> Explanation | None:
    """rows: split -> the grid's table of this application; judged: all relevant judgements; traits: its documents'."""
    plan = sources.plan
    test, dev = gather(sources, name, "test", pooled=True), gather(sources, name, "dev")
    if test is None or dev is None:
        return None
    metric = str(parse_measure(plan.applications[name].metric))
    recall = deepest_recall([str(parse_measure(text)) for text in plan.grid.measures]) or metric
    values, chosen_by = values_of(rows["test"], metric), values_of(rows["dev"], metric)
    winner, incumbent = sources.compared
    gains = {
        split: (found.board.query_ids, cells[winner] - cells[incumbent])
        for split, found, cells in (("dev", dev, chosen_by), ("test", test, values))
    }
    queue, moved = unjudged(sources, test), won_and_lost(sources, name, chosen_by, dev)
    data = {
        "metric": metric,
        "recall": recall,
        **gap_parts(sources, values),
        **losses(sources, name, values, test),
        **validity(sources, name, test, hole_correlation(values, values_of(rows["test"], JUDGED))),
        "stages": component_curves(plan, chosen_by, values, values_of(rows["test"], recall)),
        **_components(sources, name, values, test),
        "shared": shared_documents(judged, name, gains),
        "confounds": _confounds(sources, name, values, test, judged, traits),
        "examples": examples(sources, name, moved, dev),
        "unjudged": len(queue),
    }
    return Explanation(data=data, tables={"winloss": moved, "labelling": queue})


def _components(sources: Sources, name: str, values: Values, test: Evidence) -> dict[str, Any]:
    """What the components' differences come from, and what other retrievers' candidates would bring."""
    winner, selection = sources.compared[0], sources.plan.selection
    measure = parse_measure(sources.plan.applications[name].metric)
    bound, anova = union_bound(test.board, winner, measure, selection.confidence), analyse(values, winner)
    return {"anova": anova.to_json() if anova else None, "union_bound": bound.to_json() if bound else None}


def _confounds(
    sources: Sources, name: str, values: Values, test: Evidence, judged: pl.DataFrame, traits: pl.DataFrame
) -> dict[str, Any]:
    known = judged.filter((pl.col("application") == name) & (pl.col("split") != "test"))["doc_id"]
    lists = rank_without_query(traits, known, sources.plan.grid.ranking_depth)
    measure = parse_measure(sources.plan.applications[name].metric)
    return measure_confounds(lists, test.judgements, measure, float(values[sources.compared[0]].mean()))
