"""Quality against cost: which compositions nothing beats at their price."""

from collections.abc import Mapping, Sequence
from typing import Literal

import altair as alt

from mixstage.report.charts.grid import CHOSEN, MARKED, is_marked, mark_of
from mixstage.report.charts.spec import OFF, ROWS, Spec, drawing
from mixstage.selection.choose import Decision
from mixstage.selection.front import OVERALL, Priced
from mixstage.store.plain import plain_fields

Cost = Literal["pairs", "p95_ms"]  # fields of a priced composition
_COSTS: dict[Cost, str] = {"pairs": "pairs scored a query", "p95_ms": "p95 latency of one query, ms"}
_TICKS = 6


def cost_of(rows: Sequence[Priced]) -> Cost:
    """The field that prices all rows: measured latency, or pairs where any was not timed."""
    return "p95_ms" if all(row.p95_ms is not None for row in rows) else "pairs"


def quality_cost(front: Mapping[str, Sequence[Priced]], choice: Decision) -> Spec:
    """front: OVERALL and applications -> all compositions."""
    every = [row for rows in front.values() for row in rows]
    cost = cost_of(every)
    on, share = ("on_front", "share") if cost == "p95_ms" else ("on_pairs_front", "pairs_share")
    base = (
        alt.Chart(ROWS)
        .transform_filter("datum.application === application")
        .encode(
            x=_across(every, cost),
            y=alt.Y("mean:Q", title="mean", scale=alt.Scale(zero=False), axis=alt.Axis(format=".2f", tickCount=6)),
            tooltip=[
                alt.Tooltip("composition:N"),
                alt.Tooltip("mean:Q", format=".4f"),
                alt.Tooltip(f"{cost}:Q", title=_COSTS[cost], format=",.4~g"),
                alt.Tooltip(f"{share}:Q", title="on the front, draws", format=".0%"),
            ],
        )
    )
    on_it, marked = base.transform_filter(f"datum.{on}"), [base.transform_filter(is_marked(m)) for m in MARKED]
    layers = [
        base.mark_point(style="quiet", filled=True, size=28),
        on_it.mark_line(style="front", interpolate="step-after").encode(tooltip=OFF),
        on_it.mark_point(filled=True, size=55, opacity=1),
        *(at.mark_point(style=mark, size=190) for mark, at in zip(MARKED, marked, strict=True)),
        *(at.mark_text(style="value", dy=-17).encode(text="mark:N", tooltip=OFF) for at in marked),
    ]
    data = [
        {
            "application": "all" if name == OVERALL else name,
            **plain_fields(row),
            "mark": mark_of(row.composition, choice),
        }
        for name, rows in front.items()
        for row in rows
    ]
    return drawing(alt.layer(*layers), data, height=210, chosen=CHOSEN)


def _across(rows: Sequence[Priced], cost: Cost) -> alt.X:
    """Costs lie orders of magnitude apart, and no pairs at all cost 0."""
    axis = alt.Axis(grid=False, tickCount=_TICKS)
    values = sorted({getattr(row, cost) for row in rows})
    if cost == "pairs" and len(values) <= _TICKS:
        axis = alt.Axis(grid=False, values=values)
    scale = alt.Scale(type="symlog" if cost == "pairs" else "log", nice=False, padding=32)  # room for the names
    return alt.X(f"{cost}:Q", title=_COSTS[cost], scale=scale, axis=axis)
