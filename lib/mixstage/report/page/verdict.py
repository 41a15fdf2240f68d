"""The page's verdict: a sentence and its few figures, why this winner, and the winner against its rivals."""

from collections.abc import Iterator, Mapping
from html import escape

from mixstage.insight.finding import interval, signed
from mixstage.report.charts.forest import forests
from mixstage.report.charts.spec import figure
from mixstage.report.contents import Contents
from mixstage.report.page.table import table
from mixstage.report.warnings import warnings
from mixstage.selection.choose import Decision
from mixstage.selection.select import Against


def verdict_part(report: Contents) -> str:
    """The top of the page."""
    choice, word = report.choice, report.verdict.word
    rest = escape(report.verdict.sentence.removeprefix(word).lstrip(", "))
    facts = "".join(f"<div><dt>{escape(what)}</dt><dd>{html}</dd></div>" for what, html in _facts(report))
    own = "; ".join(f"{escape(app)} <code>{escape(str(one))}</code>" for app, one in choice.per_application.items())
    count = len(warnings(report))
    clouds = f'<p class=warn><a href="#warnings">{count} warnings</a> cloud these numbers.</p>' if count else ""
    return (
        f"<section class='verdict {word}'><div class=word>{word}</div><p class=sentence>{rest}</p>"
        f"<dl class=facts>{facts}</dl>"
        f"<p>Why <code>{escape(str(choice.winner))}</code>: {escape(choice.reason)}. {_turned_away(choice)}</p>"
        f"<p class=soft>Best for each application by itself on dev: {own}.</p>{clouds}</section>"
    )


def _facts(report: Contents) -> Iterator[tuple[str, str]]:
    """(what, HTML)."""
    choice, verdict, gain = report.choice, report.verdict, report.gain
    if verdict.overall is not None:
        yield "gain on test, t bounds", f"<b>{signed(verdict.overall.mean)}</b> {interval(verdict.overall)}"
    for name, bounds in verdict.applications.items():
        yield f"{name}, {bounds.queries} queries", f"<b>{signed(bounds.mean)}</b> {interval(bounds)}"
    yield "pairs scored a query", f"<b>{choice.winner.pairs}</b> incumbent: {choice.incumbent.pairs}"
    if gain is not None:
        yield "gain on dev queries that did not choose", f"<b>{signed(gain.mean)}</b> {interval(gain)}"


def _turned_away(choice: Decision) -> str:
    return (
        f"{choice.eligible} compositions were eligible, {choice.over_budget} over budget, {choice.regressing} "
        f"turned away because an application would lose too much; {len(choice.near)} tie with the best, by a "
        "simultaneous bootstrap band."
    )


def rivals_part(report: Contents) -> str:
    """Forest plots of the winner minus each rival, and the numbers."""
    confirmation, limit = report.confirmation, report.plan.selection.max_regression
    test = confirmation["test"]
    figures = [
        figure(spec, f"winner minus {role}", str(test[role].composition), _numbers(confirmation, role))
        for role, spec in forests(confirmation, limit).items()
    ]
    same = [role for role, rival in test.items() if rival.overall is None]
    also = f"<p class=soft>The winner is also: {escape(', '.join(same))}.</p>" if same else ""
    return (
        "<p>Paired bootstrap intervals of the difference, right of 0 where the winner is better. Dev chose, so its "
        f"intervals flatter the winner; test did not. Dashed: the {limit:g} points that no application may lose.</p>"
        f"{also}<div class='charts two'>{''.join(figures)}</div>"
    )


def _numbers(confirmation: Mapping[str, Mapping[str, Against]], role: str) -> str:
    rows = [
        (
            *(split, name, signed(one.mean), interval(one)),
            f"{one.wins} : {one.losses} of {one.queries}",
            one.verdict,
        )
        for split in ("test", "dev")
        for name, one in confirmation[split][role].differences().items()
    ]
    return table(["split", "application", "difference", "interval", "wins : losses", "verdict"], rows, texts=2)
