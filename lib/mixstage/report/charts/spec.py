"""A chart as a figure of the page: a Vega-Lite specification that the page's one script draws in the page's colours."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import altair as alt

Rows = Sequence[Mapping[str, Any]]
Drawing = alt.Chart | alt.LayerChart | alt.FacetChart  # the last: what alt.layer may return by its type

ROWS = alt.NamedData(name="rows")
OFF = alt.value(None)


def drawing(chart: Drawing, rows: Rows, *, height: int, chosen: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The specification, checked against Vega-Lite's schema, as wide as its place.

    rows: what the chart's data ROWS stands for; height: pixels of the plot; chosen: param -> first value, each set by
    the page's select of that name. Colours are left to the page: it follows the reader's light or dark.
    """
    spec: dict[str, Any] = chart.properties(width="container", height=height).to_dict()
    del spec["config"], spec["$schema"]  # the page's theme; an address, which nothing may fetch
    params = [{"name": name, "value": value} for name, value in (chosen or {}).items()]
    return spec | {"data": {"values": list(rows)}} | ({"params": params} if params else {})


def figure(spec: Mapping[str, Any], title: str, told: str = "", table: str = "", *, least: int = 0) -> str:
    """The figure with its caption, and the numbers behind it, folded. title, told: text; table: HTML; least: pixels of
    width below which the plot scrolls in its place."""
    data = script_json(spec)
    folded = f"<details><summary>The numbers</summary>{table}</details>" if table else ""
    caption = f"<figcaption><b>{escape(title)}</b> {escape(told)}</figcaption>"
    label = escape(f"{title} {told}".strip())
    return (
        f"<figure class=chart>{caption}<div class=wide>"
        f'<div class=plot style="min-width:{least}px" role="img" aria-label="{label}"></div></div>'
        f'<script type="application/json">{data}</script>{folded}</figure>'
    )


def script_json(value: Any) -> str:
    """JSON that is safe inside <script>: a text can't end the element, open a comment or a script."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def signed(value: float) -> str:
    return f"{value:+.4f}"


def interval(found: Mapping[str, Any]) -> str:
    return f"[{signed(found['low'])}, {signed(found['high'])}]"
