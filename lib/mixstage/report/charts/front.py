"""Quality against cost: which compositions nothing beats at their price."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from mixstage.report.charts.grid import CHOSEN, MARKED, is_marked, mark_of
from mixstage.report.charts.spec import OFF, ROWS, drawing
from mixstage.selection.front import OVERALL

_COSTS = {"pairs": "pairs scored a query", "p95_ms": "p95 latency of one query, ms"}
_TICKS = 6


def front_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the report's front, each with its application ("all" for all of them together)."""
    names = {OVERALL: "all"}
    return [{"application": names.get(name, name), **row} for name, found in report["front"].items() for row in found]


def cost_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """The column that prices all rows: measured latency, or pairs where any was not timed."""
    return "p95_ms" if all(row.get("p95_ms") is not None for row in rows) else "pairs"


def quality_cost(rows: Sequence[Mapping[str, Any]], choice: Mapping[str, Any]) -> dict[str, Any]:
    """rows: of `front_rows`."""
    cost = cost_of(rows)
    on, share = ("on_front", "share") if cost == "p95_ms" else ("on_pairs_front", "pairs_share")
    base = (
        alt.Chart(ROWS)
        .transform_filter("datum.application === application")
        .encode(
            x=_across(rows, cost),
            y=alt.Y("mean:Q", title="mean", scale=alt.Scale(zero=False), axis=alt.Axis(format=".2f", tickCount=6)),
            tooltip=[
                alt.Tooltip("composition:N"),
                alt.Tooltip("mean:Q", format=".4f"),
                alt.Tooltip(f"{cost}:Q", title=_COSTS[cost], format=",.4~g"),
                alt.Tooltip(f"{share}:Q", title="on the front, draws", format=".0%"),
            ],
        )
    )
    front, marked = base.transform_filter(f"datum.{on}"), [base.transform_filter(is_marked(m)) for m in MARKED]
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
