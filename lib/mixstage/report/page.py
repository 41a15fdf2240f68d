"""The report as one self-contained page: verdict, intervals, the grid, forgetting, what the stages learned from."""

from html import escape
from typing import Any

import polars as pl

from mixstage.report.page_grid import forgetting_part, heat_table, marks_of, retrievers_table
from mixstage.report.page_table import table
from mixstage.report.page_training import training_part
from mixstage.report.page_why import why_part

_STYLE = """
:root { --ink: #1b2430; --soft: #667085; --line: #e3e7ee; --accent: #0b6e4f; --bad: #b42318; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2.2rem } h3 { font-size: 1rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0 1.2rem }
caption { text-align: left; color: var(--soft); padding-bottom: .3rem }
th, td { padding: .25rem .6rem; border: 1px solid var(--line); text-align: right; white-space: nowrap }
th { font-weight: 600; background: #f7f8fa; vertical-align: bottom } th[scope=row], .text { text-align: left }
td.text { white-space: normal } td code { overflow-wrap: normal }
.heat th, .heat td { padding: .2rem .5rem; font-size: 14px } th[scope=row] { position: sticky; left: 0 }
td.winner { outline: 3px solid var(--accent); outline-offset: -3px; font-weight: 700 }
.soft { color: var(--soft) } .wide { overflow-x: auto }
code { background: #f3f4f6; padding: .1rem .3rem; border-radius: 4px; overflow-wrap: anywhere }
.card { border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.2rem; background: #fbfdfc }
.stage { border-top: 1px solid var(--line); margin-top: .8rem }
.stage table { margin-bottom: .2rem } .warn { color: #b54708; cursor: help }
.columns { display: flex; flex-wrap: wrap; gap: 0 2rem; justify-content: space-between }
.columns > div { flex: 1 1 30rem; min-width: 0 } h4 { margin: .8rem 0 .2rem } summary { cursor: pointer }
.curve { flex: 0 1 360px; width: 100%; max-width: 360px; align-self: flex-start; margin: .6rem 0 1rem }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft) } svg text.dev { fill: var(--accent) }
.curve path { fill: none; stroke: var(--line) } .curve .cut { stroke-dasharray: 3 3; stroke: var(--soft) }
.curve polyline { fill: none; stroke: var(--ink); stroke-width: 1.5 } .curve circle.loss { fill: var(--ink) }
.curve circle.dev { fill: #fff; stroke: var(--accent); stroke-width: 1.5 } .curve circle.kept { fill: var(--accent) }
"""


def render_page(report: dict[str, Any], means: pl.DataFrame) -> str:
    """The page of a report; `means` is `composition_means` of both splits."""
    plan, choice = report["plan"], report["choice"]
    applications, marks = list(plan["applications"]), marks_of(report["forgetting"])
    parts = [
        f"<h1>mixstage: {escape(plan['name'])}</h1>",
        f"<p class=soft>{_queries(report['queries'])}</p>",
        _verdict(report),
        "<h2>The winner against its rivals</h2>",
        _comparison(report["confirmation"], choice),
        "<h2>Why</h2>",
        why_part(report["why"]),
        "<h2>Forgetting</h2>",
        forgetting_part(report["forgetting"], plan["selection"]["max_regression"]),
        "<h2>The grid</h2><p>Primary metric; columns are rerankers, a number before the name is its weight in a linear "
        "mix with the retriever's score. Dev chose the winner (outlined); test only confirms.</p>",
    ]
    for split in ("dev", "test"):
        for application in ["all", *applications]:
            rows = means.filter((pl.col("split") == split) & (pl.col("application") == application))
            metric = "weighted mean" if application == "all" else plan["applications"][application]["metric"]
            parts.append(heat_table(rows, f"{split}, {application}: {metric}", choice["winner"], marks))
    parts += [
        "<h2>Retrievers alone</h2><p>Recall budget: what a reranker could still find.</p>",
        retrievers_table(means, plan["grid"]["ranking_depth"]),
        *_served(report["served"], plan["index"]),
        "<h2>What the stages learned from</h2>",
        training_part(report["training"]),
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


def _verdict(report: dict[str, Any]) -> str:
    choice, gain = report["choice"], report["choice"]["gain"]
    line = escape(report["verdict"]["sentence"])
    if gain is not None:
        line += (
            f" On dev queries that did not choose, the gain is {_signed(gain['mean'])} [{_signed(gain['low'])}, "
            f"{_signed(gain['high'])}]; {len(choice['near'])} compositions tie with the best."
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
    head = "<tr>" + "".join(f"<th class=text>{name}" for name in ("split", "rival", "composition"))
    head += "<th>difference<th>interval<th><th>wins : losses<th class=text>verdict</tr>"
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
        '<svg width="160" height="14" aria-hidden="true"><line x1="80" x2="80" y1="0" y2="14" stroke="#c4cad4"/>'
        f'<line x1="{at(found["low"]):.1f}" x2="{at(found["high"]):.1f}" y1="7" y2="7" '
        f'stroke="{colour}" stroke-width="3"/>'
        f'<circle cx="{at(found["mean"]):.1f}" cy="7" r="4" fill="{colour}"/></svg>'
    )


def _cost(pairs: dict[str, Any]) -> str:
    return (
        f"<p>Scoring each composition by itself: {pairs['naive']:,} pairs. Union of candidates, each pair once: "
        f"{pairs['union']:,}; {pairs['found']:,} were in the store, "
        f"{pairs['scored']:,} scored in {pairs['seconds']:,} s.</p>"
    )


def _served(rows: list[dict[str, Any]], index: dict[str, Any]) -> list[str]:
    if not rows:
        return []
    cells = [
        [
            *(row[name] for name in ("split", "application", "retriever", "measure")),
            *(f"{row[name]:.4f}" for name in ("exact", "served")),
            _signed(row["served"] - row["exact"]),
            f"{row['recall']:.3f}",
        ]
        for row in sorted(rows, key=lambda row: row["split"])
    ]
    head = ("split", "application", "retriever", "measure", "exact", "served", "difference", "recall@10")
    told = (
        f"The grid rests on exact search; <code>{escape(index['factory'])}</code> "
        f"<code>{escape(index['search'])}</code> is served. Each retriever alone, through both."
    )
    return ["<h2>What the approximate index costs</h2>", f"<p>{told}</p>", table(head, cells, texts=4)]


def _signed(value: float) -> str:
    return f"{value:+.4f}"
