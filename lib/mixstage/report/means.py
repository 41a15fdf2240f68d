"""Means of compositions over applications, as the report tells them."""

import polars as pl

from mixstage.composition import Composition
from mixstage.evaluation.grid import Grid
from mixstage.evaluation.rankings import EVALUATED
from mixstage.measures.measures import parse_measure
from mixstage.plan.schema import Plan
from mixstage.selection.forgetting import Flag, forgotten


def composition_means(plan: Plan, grid: Grid, split: str) -> pl.DataFrame:
    """One row a composition and application, and one for application "all": split, application, composition, its parts,
    every measure's mean, and `primary`, the mean of the application's own metric (for "all" weighted over them)."""
    table = grid.table(split)
    measures = [name for name in table.columns if name not in ("application", "composition", "query_id")]
    rows = table.group_by("application", "composition", maintain_order=True).agg(
        pl.len().alias("queries"), *(pl.col(name).mean() for name in measures)
    )
    primary = {name: str(parse_measure(part.metric)) for name, part in plan.applications.items()}
    chosen = pl.coalesce(
        pl.when(pl.col("application") == name).then(pl.col(metric)) for name, metric in primary.items()
    )
    rows = rows.with_columns(chosen.alias("primary"))
    weight = pl.col("application").replace_strict(plan.weights(), return_dtype=pl.Float64)
    overall = rows.group_by("composition", maintain_order=True).agg(
        pl.lit("all").alias("application"),
        pl.col("queries").sum(),
        *((pl.col(name) * weight).sum().alias(name) for name in [*measures, "primary"]),
    )
    joined = pl.concat([rows, overall.select(rows.columns)])
    parsed = [Composition.parse(name) for name in joined["composition"]]
    parts = pl.DataFrame(
        {
            "retriever": [c.retriever for c in parsed],
            "depth": [c.depth for c in parsed],
            "reranker": [c.reranker for c in parsed],
            "mix": [c.mix for c in parsed],
            "pairs": [c.pairs for c in parsed],
        }
    )
    return joined.hstack(parts).select(
        pl.lit(split).alias("split"), *joined.columns[:2], *parts.columns, *joined.columns[2:]
    )


def query_counts(grid: Grid) -> dict[str, dict[str, int]]:
    """split -> application -> its judged queries."""
    return {
        split: dict(
            grid.table(split)
            .group_by("application", maintain_order=True)
            .agg(pl.col("query_id").n_unique())
            .iter_rows()
        )
        for split in EVALUATED
    }


def with_forgets(means: pl.DataFrame, flags: list[Flag]) -> pl.DataFrame:
    """Adds `forgets`: the applications, comma separated, that a row's retriever or reranker stage is flagged for."""
    losing = forgotten(flags)
    names = [
        ",".join(dict.fromkeys([*losing.get(("retriever", retriever), []), *losing.get(("reranker", reranker), [])]))
        for retriever, reranker in means.select("retriever", "reranker").iter_rows()
    ]
    return means.with_columns(pl.Series("forgets", names, dtype=pl.String))
