"""Forest plots: the winner minus each rival, with intervals, application by application, dev and test told apart."""

from collections.abc import Iterator, Mapping
from typing import Any

import altair as alt

from mixstage.report.charts.spec import ROWS, Drawing, Spec, drawing
from mixstage.selection.select import Against
from mixstage.stats.paired import Difference

_SPLITS = ("test", "dev")


def forests(confirmation: Mapping[str, Mapping[str, Against]], max_regression: float) -> dict[str, Spec]:
    """rival's role -> plot of winner minus rival; a rival that is the winner has none. All share one scale."""
    roles = dict.fromkeys(role for rivals in confirmation.values() for role in rivals)
    lines = {role: list(_lines(confirmation, role)) for role in roles}
    ends = [end for drawn in lines.values() for _, _, one in drawn for end in (one.low, one.high)]
    span = [min([-max_regression, *ends]), max([max_regression, *ends])]
    return {role: _forest(drawn, span, max_regression) for role, drawn in lines.items() if drawn}


def _lines(confirmation: Mapping[str, Mapping[str, Against]], role: str) -> Iterator[tuple[str, str, Difference]]:
    """split, application, difference."""
    for split in _SPLITS:
        for name, one in confirmation[split][role].differences().items():
            yield split, name, one


def _forest(lines: list[tuple[str, str, Difference]], span: list[float], max_regression: float) -> Spec:
    names = list(dict.fromkeys(name for _, name, _ in lines))
    rows = [{"split": split, "application": name, **one.to_json()} for split, name, one in lines]
    plain = alt.Chart(ROWS).encode(
        y=alt.Y("application:N", sort=names, axis=alt.Axis(title=None, domain=False, ticks=False)),
        yOffset=alt.YOffset("split:N", sort=list(_SPLITS), scale=alt.Scale(paddingOuter=0.3)),
        tooltip=[
            "application:N",
            "split:N",
            alt.Tooltip("mean:Q", format="+.4f", title="difference"),
            alt.Tooltip("low:Q", format="+.4f"),
            alt.Tooltip("high:Q", format="+.4f"),
            *(alt.Tooltip(f"{name}:Q") for name in ("wins", "losses", "queries")),
            alt.Tooltip("verdict:N"),
        ],
    )
    coloured = plain.encode(color=alt.Color("split:N", sort=list(_SPLITS)))
    across = alt.Scale(domain=span, nice=True)
    ticks = alt.Axis(format="+.2~f", tickCount=5, title="points")
    layers: list[Drawing] = [
        upright(0, "zero"),
        upright(-max_regression, "margin"),
        coloured.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=across, axis=ticks), x2="high:Q"),
        *dots(plain, coloured, "datum.split === 'test'", x="mean:Q"),
    ]
    return drawing(alt.layer(*layers), rows, height=36 * len(names))


def dots(plain: alt.Chart, coloured: alt.Chart, filled: str, **at: Any) -> list[Drawing]:
    """Points, filled where the expression holds, hollow elsewhere: what lies behind them is covered."""
    empty = [chart.transform_filter(f"!({filled})").encode(**at) for chart in (plain, coloured)]
    return [
        empty[0].mark_point(style="blank", filled=True, size=60, opacity=1),
        empty[1].mark_point(size=60, opacity=1),
        coloured.transform_filter(filled).encode(**at).mark_point(filled=True, size=70, opacity=1),
    ]


def upright(at: float, style: str) -> alt.Chart:
    """A line over the whole height of a chart."""
    line: alt.Chart = alt.Chart(ROWS).transform_aggregate(rows="count()").mark_rule(style=style)
    return line.encode(x=alt.datum(at))
