"""Charts of the reason why: Shapley shares, where quality is lost, what each stage brings."""

from collections.abc import Mapping
from typing import Literal

import altair as alt

from mixstage.insight.finding import with_interval
from mixstage.insight.reasons import Reasons
from mixstage.insight.stage_curves import StageCurves, StagePoint
from mixstage.report.charts.forest import dots, upright
from mixstage.report.charts.spec import ROWS, Spec, drawing
from mixstage.stats.paired import Paired

Curve = Literal["retrievers", "rerankers", "end_to_end"]  # fields of StageCurves
_LOSSES = {"achieved": "achieved", "ranking": "ranking loss", "retrieval": "retrieval loss"}
_TOLD = [
    alt.Tooltip("mean:Q", format="+.4f"),
    alt.Tooltip("low:Q", format="+.4f"),
    alt.Tooltip("high:Q", format="+.4f"),
]


def shares(applications: Mapping[str, Mapping[str, Paired] | None]) -> Spec | None:
    """Bars with intervals: what each exchanged part contributes to the gap. None if no shares were to be had.

    applications: name -> part -> its share.
    """
    rows = [
        {"application": name, "part": part, **one.to_json()}
        for name, shared in applications.items()
        for part, one in (shared or {}).items()
    ]
    if not rows:
        return None
    names, parts = list(applications), list(dict.fromkeys(str(row["part"]) for row in rows))
    base = alt.Chart(ROWS).encode(
        y=alt.Y("application:N", sort=names, axis=alt.Axis(title=None, domain=False, ticks=False)),
        yOffset=alt.YOffset("part:N", sort=parts, scale=alt.Scale(paddingInner=0.25)),
        tooltip=["application:N", "part:N", *_TOLD],
    )
    ticks = alt.Axis(format="+.2~f", tickCount=5, title="points of the gap")
    colour = alt.Color("part:N", sort=parts)
    layers = [
        base.mark_bar(opacity=0.75).encode(x=alt.X("mean:Q", axis=ticks), color=colour),
        base.mark_rule(style="span").encode(x="low:Q", x2="high:Q"),
        upright(0, "zero"),
    ]
    return drawing(alt.layer(*layers), rows, height=20 * len(names) * len(parts))


def losses(applications: Mapping[str, Reasons]) -> Spec:
    """Stacked bars to 1: what winner and incumbent achieve, lose by ranking and lose by retrieval."""
    rows = [
        {"application": name, "side": which, "part": label, "mean": getattr(split, part).mean, "order": order}
        for name, reasons in applications.items()
        for which, split in reasons.losses.items()
        for order, (part, label) in enumerate(_LOSSES.items())
    ]
    kinds = list(_LOSSES.values())
    bars = (
        alt.Chart(ROWS)
        .transform_calculate(row="datum.application + ', ' + datum.side")
        .mark_bar(opacity=0.8, height={"band": 0.75})
        .encode(
            x=alt.X("mean:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5, title=None)),
            y=alt.Y("row:N", sort=None, axis=alt.Axis(title=None, domain=False, ticks=False)),
            color=alt.Color("part:N", sort=kinds, legend=alt.Legend(columns=2)),
            order="order:Q",
            tooltip=["application:N", "side:N", "part:N", alt.Tooltip("mean:Q", format=".4f")],
        )
    )
    return drawing(bars, rows, height=24 * 2 * len(applications))


def points_of(curves: StageCurves, curve: Curve) -> list[StagePoint]:
    """One of the curves."""
    points: list[StagePoint] = getattr(curves, curve)
    return points


def stage_curve(applications: Mapping[str, Reasons], curve: Curve) -> Spec | None:
    """A curve's mean by stage, a line an application; filled where the step from the stage before is not by chance.

    None unless two stages were measured.
    """
    points = [(name, p) for name, reasons in applications.items() for p in points_of(reasons.stages, curve)]
    rows = [{"application": name, "stage": p.stage, "mean": p.mean, **_step(p.step)} for name, p in points]
    stages = list(dict.fromkeys(point.stage for _, point in points))
    if len(stages) < 2:
        return None
    plain = alt.Chart(ROWS).encode(
        x=alt.X("stage:N", sort=stages, axis=alt.Axis(title=None, labelAngle=0, grid=False)),
        y=alt.Y("mean:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(format=".2f", tickCount=5)),
        detail="application:N",
        tooltip=["application:N", "stage:N", alt.Tooltip("mean:Q", format=".4f"), alt.Tooltip("told:N", title="step")],
    )
    colour = alt.Color("application:N", sort=list(applications))
    coloured = plain.encode(color=colour)
    return drawing(alt.layer(coloured.mark_line(strokeWidth=2), *dots(plain, coloured, "datum.sure")), rows, height=200)


def _step(step: Paired | None) -> dict[str, str | bool]:
    if step is None:
        return {"told": "where it starts", "sure": False}
    return {"told": with_interval(step), "sure": step.excludes_zero}
