"""Everything that the report says about the reason why, from the published choice."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from mixstage.composition import Composition
from mixstage.corpus.application import read_queries
from mixstage.corpus.collection import SPLITS
from mixstage.corpus.prepare import Prepared
from mixstage.insight.duplicates import equal_documents, near_duplicates
from mixstage.insight.evidence import Sources, gather, open_sources
from mixstage.insight.examples import examples
from mixstage.insight.sides import SHOWN, gap_parts, losses, read_values, unjudged, validity, won_and_lost
from mixstage.insight.stage_curves import component_curves, deepest_recall
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
) -> Explanation | None:
    """Why the winner, compared[0], differs from the incumbent, compared[1]; None if what it needs has left the store.

    Means and intervals are of the test split: those of dev carry the luck of having been chosen there. The lists of
    won and lost queries are of dev: who works on what they show has not seen the test. The labelling queue is of test,
    since its holes cloud the verdict.
    """
    sources = open_sources(plan, store, prepared, grid, compared, rerankers)
    if sources is None:
        return None
    data: dict[str, Any] = {}
    won: list[pl.DataFrame] = []
    queue: list[pl.DataFrame] = []
    for name in plan.applications:
        found = _application(sources, grid, name)
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
            "leaks": _leaks(prepared),
            "equal_documents": {name: asdict(equal_documents(part)) for name, part in prepared.corpora.items()},
        },
        tables={"winloss.parquet": pl.concat(won), "labelling.parquet": pl.concat(queue)},
    )


def _application(sources: Sources, grid: Artifact, name: str) -> Explanation | None:
    plan = sources.plan
    test, dev = gather(sources, name, "test"), gather(sources, name, "dev")
    if test is None or dev is None:
        return None
    metric = str(parse_measure(plan.applications[name].metric))
    recall = deepest_recall([str(parse_measure(text)) for text in plan.grid.measures]) or metric
    values, chosen_by = read_values(grid, name, "test", metric), read_values(grid, name, "dev", metric)
    queue, moved = unjudged(sources, test), won_and_lost(sources, name, chosen_by, dev)
    data = {
        "metric": metric,
        "recall": recall,
        **gap_parts(sources, values),
        **losses(sources, name, values, test),
        **validity(sources, name, test),
        "stages": component_curves(plan, chosen_by, values, read_values(grid, name, "test", recall)),
        "examples": examples(sources, name, moved, dev),
        "unjudged": len(queue),
    }
    return Explanation(data=data, tables={"winloss": moved, "labelling": queue})


def _leaks(prepared: Prepared) -> dict[str, Any]:
    """Near-duplicate queries between splits, counted by the splits they join, and the most similar."""
    tables = [
        read_queries(part, *SPLITS).select(pl.lit(name).alias("application"), "query_id", "text", "split")
        for name, part in prepared.applications.items()
    ]
    pairs = near_duplicates(pl.concat(tables))
    joined = [" and ".join(sorted(splits)) for splits in pairs.select("split", "other_split").iter_rows()]
    return {"counts": {name: joined.count(name) for name in sorted(set(joined))}, "first": pairs.head(SHOWN).to_dicts()}
