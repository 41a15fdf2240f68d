"""A stage's loss over its steps and, on a scale of its own, what dev said of its checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from mixstage.report.charts.spec import ROWS, Drawing, Spec, drawing

Points = Sequence[tuple[float, float]]  # (step, value), by step
_DRAWN = 200  # points of a line: more than the plot has room for only make the page heavy


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What one chart shows."""

    loss: Points
    scores: Points
    measure: str  # of the scores
    kept: float | None  # step of the checkpoint that was kept
    cuts: Sequence[float]  # between the steps of two rounds


def training_chart(curve: Curve) -> Spec | None:
    """None where there is nothing to draw."""
    measure = f"dev {curve.measure}"
    rows: list[dict[str, object]] = [
        {"kind": "loss", "step": step, "value": value} for step, value in _thin(curve.loss)
    ]
    rows += [{"kind": measure, "step": s, "value": v, "kept": s == curve.kept} for s, v in curve.scores]
    if not rows:
        return None
    rows += [{"kind": "cut", "step": step} for step in curve.cuts]
    across = alt.X(
        "step:Q",
        title="step",
        scale=alt.Scale(zero=False),
        axis=alt.Axis(grid=False, format=",d", tickCount=5, tickMinStep=1),
    )
    base = alt.Chart(ROWS).encode(x=across)
    tips = [alt.Tooltip("kind:N"), alt.Tooltip("step:Q", format=","), alt.Tooltip("value:Q", format=".4~g")]
    layers: list[Drawing] = []
    if curve.loss:
        up = alt.Y("value:Q", title="loss", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4, grid=False))
        loss = base.transform_filter("datum.kind === 'loss'").encode(y=up, tooltip=tips)
        layers.append(alt.layer(loss.mark_line(style="loss"), loss.mark_point(style="quiet", filled=True, size=18)))
    if curve.scores:
        right = alt.Axis(orient="right" if curve.loss else "left", tickCount=4, grid=False, format=".3f")
        up = alt.Y("value:Q", title=measure, scale=alt.Scale(zero=False), axis=right)
        dev = base.transform_filter("datum.kind !== 'loss' && datum.kind !== 'cut'").encode(y=up, tooltip=tips)
        kept = dev.transform_filter("datum.kept")
        layers.append(alt.layer(dev.mark_point(size=60), kept.mark_point(filled=True, size=70, opacity=1)))
    if curve.cuts:
        layers.append(base.transform_filter("datum.kind === 'cut'").mark_rule(style="cut"))
    return drawing(alt.layer(*layers).resolve_scale(y="independent"), rows, height=150)


def _thin(points: Points) -> list[tuple[float, float]]:
    """At most _DRAWN points and the last."""
    return [*points[: -1 : -(-len(points) // _DRAWN)], points[-1]] if points else []
