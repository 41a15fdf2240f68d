"""Quality against cost: which compositions nothing beats at their price."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from mixstage.report.chart_grid import ASKED, CHOSEN, MARKED, is_marked, mark_of
from mixstage.report.charts import OFF, ROWS, drawing

_COSTS = {"pairs": "pairs scored a query", "p95_ms": "p95 latency of one query, ms"}
_TICKS = 6


def front_rows(report: Mapping[str, Any], means: pl.DataFrame) -> list[dict[str, Any]]:
    """Every servable composition of an application (and of "all"): mean, cost and whether it is on the front.

    The report's front if it has one, of dev; else both splits of `means`, with pairs as the cost. Then a composition
    is on the front if all that score as few pairs have a lower mean.
    """
    if report.get("front"):
        return [
            {"application": "all" if name == "overall" else name, "split": "dev", **row}
            for name, found in report["front"].items()
            for row in found
        ]
    scope = ["split", "application"]
    kept = means.filter(pl.col("reranker") != "oracle").sort("pairs", "primary", descending=[False, True])
    before = pl.col("primary").cum_max().shift(1).over(scope)
    on_front = before.is_null() | (pl.col("primary") > before)
    return kept.select(*scope, "composition", "pairs", mean="primary", on_front=on_front).to_dicts()


def cost_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """The column that prices all rows: measured latency, or pairs where any was not timed."""
    return "p95_ms" if all(row.get("p95_ms") is not None for row in rows) else "pairs"


def quality_cost(rows: Sequence[Mapping[str, Any]], choice: Mapping[str, Any]) -> dict[str, Any]:
    """rows: of `front_rows`."""
    cost = cost_of(rows)
    follows = ASKED if {row["split"] for row in rows} == {"dev", "test"} else "datum.application === application"
    base = (
        alt.Chart(ROWS)
        .transform_filter(follows)
        .encode(
            x=_across(rows, cost),
            y=alt.Y("mean:Q", title="mean", scale=alt.Scale(zero=False), axis=alt.Axis(format=".2f", tickCount=6)),
            tooltip=[
                alt.Tooltip("composition:N"),
                alt.Tooltip("mean:Q", format=".4f"),
                alt.Tooltip(f"{cost}:Q", title=_COSTS[cost], format=",.4~g"),
                *([alt.Tooltip("share:Q", title="on the front, draws", format=".0%")] if "share" in rows[0] else []),
            ],
        )
    )
    front, marked = base.transform_filter("datum.on_front"), [base.transform_filter(is_marked(m)) for m in MARKED]
    layers = [
        base.mark_point(style="quiet", filled=True, size=28),
        front.mark_line(style="front", interpolate="step-after").encode(tooltip=OFF),
        front.mark_point(filled=True, size=55, opacity=1),
        *(at.mark_point(style=mark, size=190) for mark, at in zip(MARKED, marked, strict=True)),
        *(at.mark_text(style="value", dy=-17).encode(text="mark:N", tooltip=OFF) for at in marked),
    ]
    data = [{**row, "mark": mark_of(row["composition"], choice)} for row in rows]
    return drawing(alt.layer(*layers), data, height=210, chosen=CHOSEN)


def _across(rows: Sequence[Mapping[str, Any]], cost: str) -> alt.X:
    """Costs lie orders of magnitude apart, and no pairs at all cost 0."""
    axis = alt.Axis(grid=False, tickCount=_TICKS)
    values = sorted({row[cost] for row in rows})
    if cost == "pairs" and len(values) <= _TICKS:
        axis = alt.Axis(grid=False, values=values)
    scale = alt.Scale(type="symlog" if cost == "pairs" else "log", nice=False, padding=32)  # room for the names
    return alt.X(f"{cost}:Q", title=_COSTS[cost], scale=scale, axis=axis)
