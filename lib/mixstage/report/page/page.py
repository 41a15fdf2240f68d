"""The report as one self-contained page: verdict, the grid, rivals, the reason why, queries to read, configuration."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from functools import cache
from html import escape
from importlib import resources

import polars as pl
import vl_convert
import yaml

from mixstage.evaluation.race import RaceNotes
from mixstage.insight.finding import signed
from mixstage.pairs.cost import PairCost
from mixstage.plan.schema import IndexPlan
from mixstage.report.contents import Contents, Served
from mixstage.report.page.examples import examples_part
from mixstage.report.page.grid import forgetting_part, grid_part
from mixstage.report.page.sharing import operating_part, sharing_part
from mixstage.report.page.table import table
from mixstage.report.page.training import training_part
from mixstage.report.page.validity import validity_part
from mixstage.report.page.verdict import rivals_part, verdict_part
from mixstage.report.page.why import why_part
from mixstage.report.warnings import warnings

# Nothing may be fetched; Vega compiles its expressions, hence unsafe-eval.
_POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data:"
# What the charts' style `near` fills with: Vega-Lite has no patterns, but its SVG may name one of the page.
_HATCH = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><pattern id="hatch" width="6" '
    'height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="1.8" height="6" '
    'style="fill:var(--hatch)"/></pattern></defs></svg>'
)


def render_page(report: Contents, means: pl.DataFrame) -> str:
    """The page of a report; `means` is `composition_means` of both splits."""
    plan, why, margin = report.plan, report.why, report.plan.selection.max_regression
    sections = {
        "The grid": grid_part(report, means),
        "The winner against its rivals": rivals_part(report),
        "Why": why_part(why),
        **({"Queries won and lost": examples_part(why), "What the numbers rest on": _validity(report)} if why else {}),
        "One winner for all": sharing_part(report.sharing, margin),
        "Operating points": operating_part(report.operating_points),
        "Warnings": _warnings(report),
        "Forgetting": forgetting_part(report.forgetting, margin),
        **_served(report.served, plan.index),
        "What the stages learned from": training_part(report.training),
        "Cost": _cost(report.pairs.all) + race_part(report.race),
        "Configuration": config_part(report),
    }
    anchors = {title: title.lower().replace(" ", "-") for title in sections}
    links = "".join(f'<a href="#{anchors[title]}">{title}</a>' for title in sections)
    title = f"mixstage: {escape(plan.name)}"
    body = [
        f"<h1>{title} <span class=soft>· {_queries(report.queries)}</span></h1>",
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
    return resources.files("mixstage.report.page").joinpath(name).read_text(encoding="utf-8")


def _queries(counts: Mapping[str, Mapping[str, int]]) -> str:
    splits = [
        f"{split}: " + ", ".join(f"{n} {escape(app)}" for app, n in apps.items()) for split, apps in counts.items()
    ]
    return "queries of " + "; ".join(splits)


def _warnings(report: Contents) -> str:
    lines = "".join(f"<li class=warn>{escape(line)}.</li>" for line in warnings(report))
    return f"<ul>{lines}</ul>" if lines else "<p>None.</p>"


def _validity(report: Contents) -> str:
    applications = report.why.applications if report.why else {}
    confidence = report.plan.selection.confidence
    return "".join(validity_part(name, reasons, confidence) for name, reasons in applications.items())


def _cost(pairs: PairCost) -> str:
    return (
        f"<p>Scoring each composition by itself: {pairs.naive:,} pairs. Union of candidates, each pair once: "
        f"{pairs.union:,}; {pairs.found:,} were in the store, "
        f"{pairs.scored:,} scored in {pairs.seconds:,} s.</p>"
    )


def _served(rows: Sequence[Served], index: IndexPlan) -> dict[str, str]:
    """{title: section}, nothing if exact search is served."""
    if not rows:
        return {}
    cells = [
        (
            *(row.split, row.application, row.retriever, row.measure),
            *(f"{value:.4f}" for value in (row.exact, row.served)),
            signed(row.served - row.exact),
            f"{row.recall:.3f}",
        )
        for row in sorted(rows, key=lambda row: row.split)
    ]
    head = ("split", "application", "retriever", "measure", "exact", "served", "difference", "recall@10")
    how = (
        f"The grid rests on exact search; <code>{escape(index.factory)}</code> "
        f"<code>{escape(index.search)}</code> is served. Each retriever alone, through both."
    )
    return {"What the approximate index costs": f"<p>{how}</p>{table(head, cells, texts=4)}"}


def race_part(race: RaceNotes | None) -> str:
    """A sentence on the race, and a row a round: what it scored, and what was left; nothing without a race."""
    if race is None:
        return ""
    rows = [
        [str(number), *(f"{count:,}" for count in astuple(counts))]
        for number, counts in enumerate(race.rounds, start=1)
    ]
    head = ("round", "dev queries an application", "compositions", "rerankers", "new pairs", "scored now")
    how = (
        f"{race.dropped:,} compositions were behind beyond chance on a sample of dev, by a simultaneous bootstrap "
        f"band, and dropped out; {race.saved:.0%} of all pairs were never needed. They are in no table here, since "
        "all of them rest on the same queries: the grid's dropped.parquet has their means and the number of queries "
        "behind them. The last round scores both splits; p values and the corrected gain are of those that were left."
    )
    return f"<h3>Race</h3><p>{how}</p>{table(head, rows, texts=1)}"


def config_part(report: Contents) -> str:
    """The whole plan, the digests of what was compared, the libraries."""
    plan = yaml.safe_dump(report.plan.resolved(), sort_keys=False, allow_unicode=True, width=100)
    libraries = ", ".join(f"{name} {version}" for name, version in report.libraries.items())
    machine = report.machine
    return (
        f"{table(['what', 'which', 'digest'], _digests(report), texts=3)}"
        f"<details><summary>The whole plan, defaults included</summary><pre>{escape(plan)}</pre></details>"
        f"<p class=soft>{escape(libraries)}; {escape(machine.processor)}, Python {escape(machine.python)}</p>"
    )


def _digests(report: Contents) -> Iterator[tuple[str, str, str]]:
    for what, digest in report.digests.items():
        yield "artifact", what, digest
    for component, stages in report.training.items():
        for name, stage in stages.items():
            yield f"{component} checkpoint", name, stage.checkpoint
