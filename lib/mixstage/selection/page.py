"""The report as one self-contained page: verdict, intervals, heat tables of the grid, what the stages learned from."""

from html import escape
from typing import Any

import polars as pl

_STYLE = """
:root { --ink: #1b2430; --soft: #667085; --line: #e3e7ee; --accent: #0b6e4f; --bad: #b42318; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2.2rem } h3 { font-size: 1rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0 1.2rem }
caption { text-align: left; color: var(--soft); padding-bottom: .3rem }
th, td { padding: .25rem .6rem; border: 1px solid var(--line); text-align: right }
th { font-weight: 600; background: #f7f8fa } th[scope=row], td.text { text-align: left }
td.winner { outline: 3px solid var(--accent); outline-offset: -3px; font-weight: 700 }
.soft { color: var(--soft) } .wide { overflow-x: auto }
code { background: #f3f4f6; padding: .1rem .3rem; border-radius: 4px }
.card { border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.2rem; background: #fbfdfc }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft) }
"""


def render_page(report: dict[str, Any], means: pl.DataFrame) -> str:
    """The page of a report; `means` is `composition_means` of both splits."""
    plan, choice = report["plan"], report["choice"]
    applications = list(plan["applications"])
    parts = [
        f"<h1>mixstage: {escape(plan['name'])}</h1>",
        f"<p class=soft>{_queries(report['queries'])}</p>",
        _verdict(choice, report["confirmation"]["test"]),
        "<h2>The winner against its rivals</h2>",
        _comparison(report["confirmation"], choice),
        "<h2>The grid</h2><p>Primary metric; columns are rerankers, a number before the name is its weight in a linear "
        "mix with the retriever's score. Dev chose the winner (outlined); test only confirms.</p>",
    ]
    for split in ("dev", "test"):
        for application in ["all", *applications]:
            rows = means.filter((pl.col("split") == split) & (pl.col("application") == application))
            metric = "weighted mean" if application == "all" else plan["applications"][application]["metric"]
            parts.append(_heat_table(rows, f"{split}, {application}: {metric}", choice["winner"]))
    parts += [
        "<h2>Retrievers alone</h2><p>Recall budget: what a reranker could still find.</p>",
        _retrievers(means, plan["grid"]["ranking_depth"]),
        "<h2>What the stages learned from</h2>",
        *(_training(component, stages) for component, stages in report["training"].items()),
        "<h2>Cost</h2>",
        _cost(report["pairs"]),
        f"<p class=soft>{escape(', '.join(f'{k} {v}' for k, v in report['libraries'].items()))}</p>",
    ]
    title = f"<title>mixstage: {escape(plan['name'])}</title>"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width">{title}<style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'


def _queries(counts: dict[str, dict[str, int]]) -> str:
    told = [f"{split}: " + ", ".join(f"{n} {escape(app)}" for app, n in apps.items()) for split, apps in counts.items()]
    return "Queries: " + "; ".join(told)


def _verdict(choice: dict[str, Any], test: dict[str, Any]) -> str:
    against = test["incumbent"]
    if against["overall"] is None:
        line = "The incumbent stays: no eligible composition was better or cheaper on dev."
    else:
        overall = against["overall"]
        line = (
            f"On test, against the incumbent <code>{escape(against['composition'])}</code>: {_signed(overall['mean'])} "
            f"[{_signed(overall['low'])}, {_signed(overall['high'])}], <b>{overall['verdict']}</b>."
        )
    own = "".join(
        f"<li>{escape(app)}: <code>{escape(name)}</code></li>" for app, name in choice["per_application"].items()
    )
    return (
        f"<div class=card><p>Winner: <code>{escape(choice['winner'])}</code></p><p>Why: {escape(choice['reason'])}. "
        f"{choice['eligible']} compositions were eligible, {choice['over_budget']} over budget, {choice['regressing']} "
        f"turned away because an application would lose too much.</p><p>{line}</p>"
        f"<p>Best for each application by itself on dev:</p><ul>{own}</ul></div>"
    )


def _comparison(confirmation: dict[str, Any], choice: dict[str, Any]) -> str:
    differences = [d["overall"] for split in confirmation.values() for d in split.values() if d["overall"]]
    span = max([abs(v) for d in differences for v in (d["low"], d["high"])], default=1.0) or 1.0
    rows = []
    for split, rivals in confirmation.items():
        for role, found in rivals.items():
            name = f"<code>{escape(found['composition'])}</code>"
            cells = f"<td class=text>{split}</td><td class=text>{role}</td><td class=text>{name}</td>"
            if found["overall"] is None:
                rows.append(f"<tr>{cells}<td colspan=5 class=text>is the winner</td></tr>")
                continue
            each = [("all", found["overall"]), *found["applications"].items()]
            rows.append(f"<tr>{cells}{_difference(each[0][1], span)}</tr>")
            rows += [
                f"<tr><td></td><td></td><td class='text soft'>{escape(a)}</td>{_difference(d, span)}</tr>"
                for a, d in each[1:]
            ]
    head = "<tr><th>split<th>rival<th>composition<th>difference<th>interval<th><th>wins : losses<th>verdict</tr>"
    caption = f"Winner <code>{escape(choice['winner'])}</code> minus rival, paired bootstrap. "
    caption += "Dev intervals do not correct for having chosen there."
    return f"<div class=wide><table><caption>{caption}</caption>{head}{''.join(rows)}</table></div>"


def _difference(found: dict[str, Any], span: float) -> str:
    return (
        f"<td>{_signed(found['mean'])}</td><td>[{_signed(found['low'])}, {_signed(found['high'])}]</td>"
        f"<td>{_interval(found, span)}</td><td>{found['wins']} : {found['losses']}</td>"
        f"<td class=text>{found['verdict']}</td>"
    )


def _interval(found: dict[str, Any], span: float) -> str:
    def at(value: float) -> float:
        return 80 + 75 * max(-1.0, min(1.0, value / span))

    colour = {"better": "#0b6e4f", "worse": "#b42318"}.get(found["verdict"], "#667085")
    return (
        '<svg width="160" height="14"><line x1="80" x2="80" y1="0" y2="14" stroke="#c4cad4"/>'
        f'<line x1="{at(found["low"]):.1f}" x2="{at(found["high"]):.1f}" y1="7" y2="7" '
        f'stroke="{colour}" stroke-width="3"/>'
        f'<circle cx="{at(found["mean"]):.1f}" cy="7" r="4" fill="{colour}"/></svg>'
    )


def _heat_table(rows: pl.DataFrame, caption: str, winner: str) -> str:
    columns = rows.select("reranker", "mix").unique(maintain_order=True).rows()
    lines = rows.select("retriever", "depth").unique(maintain_order=True).sort("depth", maintain_order=True).rows()
    values = {(r["retriever"], r["depth"], r["reranker"], r["mix"]): r for r in rows.iter_rows(named=True)}
    low, high = float(rows["primary"].min() or 0), float(rows["primary"].max() or 1)  # type: ignore[arg-type]
    head = "".join(f"<th>{escape(name if mix == 1 else f'{mix:g}*{name}')}" for name, mix in columns)
    body = []
    for retriever, depth in lines:
        cells = []
        for reranker, mix in columns:
            row = values.get((retriever, depth, reranker, mix))
            cells.append("<td></td>" if row is None else _heat_cell(row, low, high, winner))
        body.append(f"<tr><th scope=row>{escape(retriever)}@{depth}</th>{''.join(cells)}</tr>")
    return (
        f"<div class=wide><table><caption>{escape(caption)}</caption><tr><th>{head}</tr>{''.join(body)}</table></div>"
    )


def _heat_cell(row: dict[str, Any], low: float, high: float, winner: str) -> str:
    share = (row["primary"] - low) / ((high - low) or 1)
    colour = f"hsl(156 55% {97 - 42 * share:.0f}%)"
    mark = " class=winner" if row["composition"] == winner else ""
    return f'<td{mark} style="background:{colour}" title="{escape(row["composition"])}">{row["primary"]:.3f}</td>'


def _retrievers(means: pl.DataFrame, depth: int) -> str:
    bare = means.filter((pl.col("reranker") == "none") & (pl.col("depth") == depth))
    measures = bare.columns[bare.columns.index("queries") + 1 : bare.columns.index("primary")]
    head = "<tr><th>split<th>application<th>retriever" + "".join(f"<th>{escape(m)}" for m in measures) + "</tr>"
    rows = []
    for row in bare.iter_rows(named=True):
        names = "".join(f"<td class=text>{escape(row[key])}</td>" for key in ("split", "application", "retriever"))
        rows.append(f"<tr>{names}{''.join(f'<td>{row[m]:.3f}</td>' for m in measures)}</tr>")
    return f"<div class=wide><table>{head}{''.join(rows)}</table></div>"


def _training(component: str, stages: dict[str, Any]) -> str:
    rows = []
    for name, stage in stages.items():
        samples = stage["samples"]
        sources = ", ".join(f"{n} {s}" for s, n in samples["sources"].items()) if samples else "untrained"
        mining = "; ".join(
            f"{app}: {m['kept']} of {m['queries']} queries kept, "
            f"{m['suspected_positives']} suspected positives turned away"
            for app, m in (samples or {}).get("mining", {}).items()
        )
        curve = stage["curve"]
        loss = f"{curve[0]['loss']:.3f} to {curve[-1]['loss']:.3f}" if curve else ""
        rows.append(
            f"<tr><th scope=row>{escape(name)}</th><td class=text>{escape(sources)}</td>"
            f"<td class=text>{escape(mining)}</td>"
            f"<td>{loss}</td><td class=text><code>{stage['checkpoint'][:8]}</code></td></tr>"
        )
    head = "<tr><th>stage<th>samples by source<th>mining<th>loss<th>checkpoint</tr>"
    return f"<h3>{escape(component)}</h3><div class=wide><table>{head}{''.join(rows)}</table></div>"


def _cost(pairs: dict[str, Any]) -> str:
    return (
        f"<p>Scoring each composition by itself: {pairs['naive']:,} pairs. Union of candidates, each pair once: "
        f"{pairs['union']:,}; {pairs['found']:,} were in the store, "
        f"{pairs['scored']:,} scored in {pairs['seconds']:,} s.</p>"
    )


def _signed(value: float) -> str:
    return f"{value:+.4f}"
