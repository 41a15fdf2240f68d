"""Charts of the grid: heat maps by depth, and the retrievers' recall budgets."""

import json
import re
from collections.abc import Collection, Sequence

import altair as alt
import polars as pl

from mixstage.composition import Composition
from mixstage.report.charts.spec import ROWS, Spec, drawing
from mixstage.selection.choose import Decision

CHOSEN = {"application": "all", "split": "dev"}  # what the page's selects start with
ASKED = "datum.application === application && datum.split === split"
MARKED = ("incumbent", "winner")
# Pixels: what a value needs, a letter of a label, and all that a label may take.
_CELL, _LETTER, LABEL = 38, 7, 150


def heat_maps(means: pl.DataFrame, choice: Decision, forgetful: Collection[tuple[str, str]]) -> dict[int, Spec]:
    """depth -> heat map of retriever x reranker. means: `composition_means` of both splits; forgetful: (component,
    stage), whose names are marked.

    A cell shows one mix weight, the same for every application and split: the winner's, else the incumbent's, else a
    near-best one, else the best on dev over all applications. Shades are of the servable compositions of an application
    and split over all depths: the ceiling would leave all others one colour.
    """
    near = [str(one) for one in choice.near]
    shown = means.join(_cells(means, choice).select("composition"), on="composition", how="semi")
    scope = ["split", "application"]
    real = pl.when(pl.col("reranker") != "oracle").then(pl.col("primary"))
    low, high = real.min().over(scope), real.max().over(scope)
    shown = shown.with_columns(
        share=pl.when(high > low).then((real - low) / (high - low)).otherwise(real * 0 + 0.5),
        mark=pl.col("composition").map_elements(
            lambda name: mark_of(Composition.parse(name), choice), return_dtype=pl.String
        ),
        near=pl.col("composition").is_in(near) & (pl.col("composition") != str(choice.winner)),
        value=pl.col("primary").map_elements(lambda value: f"{value:.3f}".removeprefix("0"), return_dtype=pl.String),
        note=pl.when(pl.col("mix") < 1).then(pl.format("{} mix", pl.col("mix"))),
    )
    depths = shown["depth"].unique().sort().to_list()
    return {depth: _heat_map(shown.filter(pl.col("depth") == depth), means, forgetful) for depth in depths}


def least_width(means: pl.DataFrame) -> int:
    """Pixels that a heat map needs for its values not to touch."""
    label = max(len(name) for name in means["retriever"].unique()) * _LETTER
    return min(LABEL, label) + _CELL * means["reranker"].n_unique()


def _cells(means: pl.DataFrame, choice: Decision) -> pl.DataFrame:
    """One composition for each retriever, depth and reranker."""
    dev = means.filter((pl.col("split") == "dev") & (pl.col("application") == "all"))
    name = pl.col("composition")
    near = [str(one) for one in choice.near]
    firsts = [name == str(choice.winner), name == str(choice.incumbent), name.is_in(near)]
    order = [*(first.alias(str(place)) for place, first in enumerate(firsts)), pl.col("primary")]
    ranked = dev.sort(order, descending=True, maintain_order=True)
    return ranked.unique(["retriever", "depth", "reranker"], keep="first", maintain_order=True)


def mark_of(composition: Composition, choice: Decision) -> str:
    """One of MARKED, or nothing."""
    if composition == choice.winner:
        return "winner"
    return "incumbent" if composition == choice.incumbent else ""


def _heat_map(cells: pl.DataFrame, means: pl.DataFrame, forgetful: Collection[tuple[str, str]]) -> Spec:
    rows, columns = (means[part].unique(maintain_order=True).to_list() for part in ("retriever", "reranker"))
    columns.sort(key="oracle".__eq__)  # the ceiling stands last
    upright = max(len(name) for name in columns) * _LETTER > _CELL + _LETTER
    plain: Spec = {"domain": False, "ticks": False, "title": None}
    across = alt.Axis(
        orient="top",
        labelAngle=-90 if upright else 0,
        labelOverlap=False,
        labelExpr=_warned("reranker", forgetful),
        **plain,
    )
    down = alt.Axis(labelExpr=_warned("retriever", forgetful), **plain)
    base = (
        alt.Chart(ROWS)
        .transform_filter(ASKED)
        .encode(
            x=alt.X("reranker:N", sort=columns, axis=across, scale=alt.Scale(domain=columns)),
            y=alt.Y("retriever:N", sort=rows, axis=down, scale=alt.Scale(domain=rows)),
            tooltip=[
                alt.Tooltip("composition:N"),
                alt.Tooltip("primary:Q", format=".4f", title="mean"),
                alt.Tooltip("pairs:Q", title="pairs a query"),
                alt.Tooltip("queries:Q"),
            ],
        )
    )
    shade = alt.Color("share:Q", scale=alt.Scale(domain=[0, 1]), legend=None)
    noted = base.transform_filter("datum.note !== null")
    layers = [
        base.transform_filter("datum.share !== null").mark_rect(style="cell").encode(color=shade),
        base.transform_filter("datum.near").mark_rect(fill="url(#hatch)"),  # a pattern of the page
        *(base.transform_filter(is_marked(mark)).mark_rect(style=mark, filled=False) for mark in MARKED),
        base.transform_filter("datum.note === null").mark_text(style="value").encode(text="value:N"),
        noted.mark_text(style="value", dy=-4).encode(text="value:N"),
        noted.mark_text(style="note", dy=9).encode(text="note:N"),
    ]
    kept = ("split", "application", "composition", "retriever", "reranker", "primary", "pairs", "queries")
    data = cells.select(*kept, "share", "mark", "near", "value", "note").to_dicts()
    return drawing(alt.layer(*layers), data, height=36 * len(rows), chosen=CHOSEN)


def _warned(component: str, forgetful: Collection[tuple[str, str]]) -> str:
    """A label with a sign behind it if the stage forgets."""
    names = json.dumps([stage for part, stage in forgetful if part == component])
    return f"datum.label + (indexof({names}, datum.label) < 0 ? '' : ' ⚠')"


def is_marked(mark: str) -> str:
    return f"datum.mark === '{mark}'"


def recall_budget(means: pl.DataFrame, depth: int) -> Spec | None:
    """R@k over k of every retriever alone at the ranking depth; None if recall was not measured."""
    names = sorted((name for name in means.columns if re.fullmatch(r"R@\d+", name)), key=lambda name: int(name[2:]))
    bare = means.filter((pl.col("reranker") == "none") & (pl.col("depth") == depth))
    if not names or bare.is_empty():
        return None
    scope = ["split", "application", "retriever"]
    rows = bare.select(*scope, *names).unpivot(names, index=scope, variable_name="measure", value_name="recall")
    rows = rows.with_columns(k=pl.col("measure").str.slice(2).cast(pl.Int64))
    ks = [int(name[2:]) for name in names]
    base = (
        alt.Chart(ROWS)
        .transform_filter(ASKED)
        .encode(
            x=alt.X("k:Q", title="k, documents handed on", axis=alt.Axis(values=ks, grid=False)),
            y=alt.Y("recall:Q", title="recall", scale=alt.Scale(zero=False), axis=alt.Axis(format=".2f", tickCount=6)),
            color=_named("retriever", bare["retriever"].unique(maintain_order=True).to_list()),
            tooltip=["retriever:N", "measure:N", alt.Tooltip("recall:Q", format=".4f")],
        )
    )
    lines = base.mark_line(strokeWidth=2), base.mark_point(filled=True, size=45, opacity=1)
    return drawing(alt.layer(*lines), rows.to_dicts(), height=210, chosen=CHOSEN)


def _named(field: str, names: Sequence[str]) -> alt.Color:
    entry = min(LABEL, max(len(name) for name in names) * _LETTER) + 32  # pixels, the symbol included
    legend = alt.Legend(columns=max(1, 330 // entry))  # as many as fit where the page is narrow
    return alt.Color(f"{field}:N", sort=list(names), legend=legend)
