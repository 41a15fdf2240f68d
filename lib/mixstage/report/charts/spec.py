"""A chart as a figure of the page: a Vega-Lite specification that the page's one script draws in the page's colours."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import altair as alt

from mixstage.store.plain import plain

Rows = Sequence[Mapping[str, object]]
Spec = dict[str, Any]  # a Vega-Lite specification: what Altair gives, and JSON
Drawing = alt.Chart | alt.LayerChart | alt.FacetChart  # the last: what alt.layer may return by its type

ROWS = alt.NamedData(name="rows")
OFF = alt.value(None)


def drawing(chart: Drawing, rows: Rows, *, height: int, chosen: Mapping[str, str] | None = None) -> Spec:
    """The specification, checked against Vega-Lite's schema, as wide as its place.

    rows: what the chart's data ROWS stands for; height: pixels of the plot; chosen: param -> first value, each set by
    the page's select of that name. Colours are left to the page: it follows the reader's light or dark.
    """
    spec: Spec = chart.properties(width="container", height=height).to_dict()
    del spec["config"], spec["$schema"]  # the page's theme; an address, which nothing may fetch
    params = [{"name": name, "value": value} for name, value in (chosen or {}).items()]
    return spec | {"data": {"values": [plain(row) for row in rows]}} | ({"params": params} if params else {})


def figure(spec: Mapping[str, object], title: str, rest: str = "", table: str = "", *, least: int = 0) -> str:
    """The figure with its caption, and the numbers behind it, folded. title, rest: text of the caption; table: HTML;
    least: pixels of width below which the plot scrolls in its place."""
    data = script_json(spec)
    folded = f"<details><summary>The numbers</summary>{table}</details>" if table else ""
    caption = f"<figcaption><b>{escape(title)}</b> {escape(rest)}</figcaption>"
    label = escape(f"{title} {rest}".strip())
    return (
        f"<figure class=chart>{caption}<div class=wide>"
        f'<div class=plot style="min-width:{least}px" role="img" aria-label="{label}"></div></div>'
        f'<script type="application/json">{data}</script>{folded}</figure>'
    )


def script_json(value: object) -> str:
    """JSON that is safe inside <script>: a text can't end the element, open a comment or a script."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
