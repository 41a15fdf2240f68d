"""The report as one self-contained page: verdict, the grid, rivals, the reason why, queries to read, configuration."""

from functools import cache
from html import escape
from importlib import resources
from typing import Any

import polars as pl
import vl_convert

from mixstage.report.charts import signed
from mixstage.report.page_config import config_part
from mixstage.report.page_examples import examples_part
from mixstage.report.page_grid import forgetting_part, grid_part
from mixstage.report.page_race import race_part
from mixstage.report.page_rivals import rivals_part
from mixstage.report.page_sharing import operating_part, sharing_part
from mixstage.report.page_table import table
from mixstage.report.page_training import training_part
from mixstage.report.page_validity import validity_part
from mixstage.report.page_verdict import verdict_part
from mixstage.report.page_why import why_part
from mixstage.report.warnings import warnings

# Nothing may be fetched; Vega compiles its expressions, hence unsafe-eval.
_POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data:"
# What the charts' style `near` fills with: Vega-Lite has no patterns, but its SVG may name one of the page.
_HATCH = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><pattern id="hatch" width="6" '
    'height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="1.8" height="6" '
    'style="fill:var(--hatch)"/></pattern></defs></svg>'
)


def render_page(report: dict[str, Any], means: pl.DataFrame) -> str:
    """The page of a report; `means` is `composition_means` of both splits."""
    plan, why = report["plan"], report["why"]
    sections = {
        "The grid": grid_part(report, means),
        "The winner against its rivals": rivals_part(report),
        "Why": why_part(why),
        **({"Queries won and lost": examples_part(why), "What the numbers rest on": _validity(why)} if why else {}),
        "One winner for all": sharing_part(report["sharing"], plan["selection"]["max_regression"]),
        "Operating points": operating_part(report["operating_points"]),
        "Warnings": _warnings(report),
        "Forgetting": forgetting_part(report["forgetting"], plan["selection"]["max_regression"]),
        **_served(report["served"], plan["index"]),
        "What the stages learned from": training_part(report["training"]),
        "Cost": _cost(report["pairs"]) + race_part(report["race"]),
        "Configuration": config_part(report),
    }
    anchors = {title: title.lower().replace(" ", "-") for title in sections}
    links = "".join(f'<a href="#{anchors[title]}">{title}</a>' for title in sections)
    title = f"mixstage: {escape(plan['name'])}"
    body = [
        f"<h1>{title} <span class=soft>· {_queries(report['queries'])}</span></h1>",
        verdict_part(report),
        f"<nav>{links}</nav>",
        "<noscript><p class=warn>The charts need scripts; the tables under them do not.</p></noscript>",
        *(f'<section><h2 id="{anchors[name]}">{name}</h2>{part}</section>' for name, part in sections.items()),
        _HATCH,
        f"<script>{_vega()}</script><script>{_file('page.js')}</script>",
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{title}</title><style>{_file('page.css')}</style>"
    )
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>'


@cache
def _vega() -> str:
    """Vega, Vega-Lite and vega-embed in one script, 0.9 MB."""
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    assert "</script" not in bundle
    return bundle


def _file(name: str) -> str:
    return resources.files("mixstage.report").joinpath(name).read_text(encoding="utf-8")


def _queries(counts: dict[str, dict[str, int]]) -> str:
    told = [f"{split}: " + ", ".join(f"{n} {escape(app)}" for app, n in apps.items()) for split, apps in counts.items()]
    return "queries of " + "; ".join(told)


def _warnings(report: dict[str, Any]) -> str:
    found = warnings(report)
    lines = "".join(f"<li class=warn>{escape(line)}.</li>" for line in found)
    return f"<ul>{lines}</ul>" if found else "<p>None.</p>"


def _validity(why: dict[str, Any]) -> str:
    return "".join(validity_part(name, found) for name, found in why["applications"].items())


def _cost(pairs: dict[str, Any]) -> str:
    return (
        f"<p>Scoring each composition by itself: {pairs['naive']:,} pairs. Union of candidates, each pair once: "
        f"{pairs['union']:,}; {pairs['found']:,} were in the store, "
        f"{pairs['scored']:,} scored in {pairs['seconds']:,} s.</p>"
    )


def _served(rows: list[dict[str, Any]], index: dict[str, Any]) -> dict[str, str]:
    """{title: section}, nothing if exact search is served."""
    if not rows:
        return {}
    cells = [
        [
            *(row[name] for name in ("split", "application", "retriever", "measure")),
            *(f"{row[name]:.4f}" for name in ("exact", "served")),
            signed(row["served"] - row["exact"]),
            f"{row['recall']:.3f}",
        ]
        for row in sorted(rows, key=lambda row: row["split"])
    ]
    head = ("split", "application", "retriever", "measure", "exact", "served", "difference", "recall@10")
    told = (
        f"The grid rests on exact search; <code>{escape(index['factory'])}</code> "
        f"<code>{escape(index['search'])}</code> is served. Each retriever alone, through both."
    )
    return {"What the approximate index costs": f"<p>{told}</p>{table(head, cells, texts=4)}"}
